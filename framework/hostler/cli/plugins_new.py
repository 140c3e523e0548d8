"""`hostler plugins new`: a package for a plugin of one's own, with tests that pass as they are written."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from keyword import iskeyword
from pathlib import Path

import click

from hostler.hooks import API
from hostler.version import __version__

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_IMPORTED = frozenset(
    ["ClassVar", "Endpoint", "FakeServerContext", "InvalidConfiguration", "Notice", "Path", "ServerView"]
)
_TEMPLATES = Path(__file__).with_name("new_plugin")
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
    "example.toml": "example.toml",
    "plugin.py": "src/{module}/__init__.py",
    "py.typed": "src/{module}/py.typed",
    "conftest.py": "tests/conftest.py",
    "test_plugin.py": "tests/test_{word}.py",
}


@dataclass(frozen=True, slots=True)
class NewPlugin:
    """The names of a new plugin, all made from one."""

    name: str

    @property
    def package(self) -> str:
        """What is installed: hostler-my-server."""
        return f"hostler-{self.name}"

    @property
    def values(self) -> dict[str, str]:
        """What is filled into the templates."""
        word = self.name.replace("-", "_")
        return {
            "name": self.name,
            "word": word,
            "package": self.package,
            "module": f"hostler_{word}",
            "class": self._class_name(),
            "api": API,
            "version": __version__,
        }

    def files(self) -> dict[str, str]:
        """The text of each file by its path."""
        values = self.values
        return {
            place.format_map(values): _filled((_TEMPLATES / f"{template}.template").read_text(), values)
            for template, place in _FILES.items()
        }

    def _class_name(self) -> str:
        name = "".join(part.capitalize() for part in self.name.split("-"))
        return f"{name}Plugin" if iskeyword(name) or name in _IMPORTED else name


@click.command("new")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    metavar="DIR",
    help="The folder in which the package's own folder is made (default: here).",
)
def command(name: str, into: Path) -> None:
    """Write a package for a plugin NAME (in kebab-case) into the new folder hostler-NAME.

    It has a plugin with an option and two hooks, its tests, an example and a README. Nothing is overwritten.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or name.startswith("hostler-"):
        raise click.UsageError(_refusal(name))

    plugin = NewPlugin(name)
    folder = into / plugin.package
    _write(folder, plugin.files())
    click.echo(f"{folder}: a package for the plugin {name}\n")
    click.echo("\n".join(f"  {path}" for path in plugin.files()))
    click.echo(
        f"\nnext: cd {folder}; pip install -e '.[test]'; pytest; hostler plugins check {name}; "
        "hostler run example.toml"
    )


def _refusal(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()
    likely = re.sub(r"[^a-z0-9]+", "-", words).strip("-").removeprefix("hostler-")[:_LONGEST].strip("-")
    rule = f"it is 1 to {_LONGEST} lower-case letters, digits and single hyphens, and begins with a letter"
    reason = 'the package is named "hostler-..." anyway' if name.startswith("hostler-") else rule
    question = f'; did you mean "{likely}"?' if _NAME.fullmatch(likely) and likely != name else ""
    return f'"{name}" cannot be the name of a plugin: {reason}{question}'


def _write(folder: Path, files: dict[str, str]) -> None:
    try:
        folder.mkdir()
    except FileExistsError:
        raise click.UsageError(f"{folder} exists already; nothing was written") from None
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be made: {error.strerror}") from None

    try:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise click.ClickException(
            f"{error.filename or folder} cannot be written: {error.strerror}"
        ) from None


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)
