"""`hostler plugins new`: a package for a plugin of one's own, with tests that pass as they are written."""

from __future__ import annotations

import re
import shutil
from keyword import iskeyword
from pathlib import Path

import click

from hostler.hooks import API
from hostler.model.spec import ListenerSpec, PluginSpec
from hostler.version import __version__

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
# A plugin's class of one of these names would hide what its module imports.
_IMPORTED = frozenset(
    [
        *("AsyncIterator", "ClassVar", "Directories", "Endpoint", "Event", "FakeListenerContext"),
        *("FakeServerContext", "InvalidConfiguration", "ListenerContext", "Notice", "Path", "ServerView"),
        "Supervisor",
    ]
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
# What a listener has instead of the plugin's.
_OF_A_LISTENER = {
    "README.md": "listener_README.md",
    "example.toml": "listener_example.toml",
    "plugin.py": "listener.py",
    "test_plugin.py": "test_listener.py",
}
_DESCRIPTIONS: dict[type[PluginSpec], str] = {
    PluginSpec: "A plugin for hostler that knows how {} announces where it listens.",
    ListenerSpec: "A listener for hostler, {}, that writes events to a file.",
}


@click.command("new")
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    metavar="DIR",
    help="The folder in which the package's own folder is made (default: here).",
)
@click.option("--listener", is_flag=True, help="Write a listener of all servers' events instead of a plugin.")
def command(name: str, into: Path, listener: bool) -> None:
    """Write a package for a plugin NAME (in kebab-case) into the new folder hostler-NAME.

    It has a plugin with an option and two hooks, its tests, an example and a README. Nothing is overwritten.
    With --listener it has a listener, which stands in [listeners] and follows the events of all servers.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or name.startswith("hostler-"):
        raise click.UsageError(_refusal(name))

    kind = ListenerSpec if listener else PluginSpec
    folder, files = into / f"hostler-{name}", package_files(name, kind)
    _write(folder, files)
    click.echo(f"{folder}: a package for the {kind.noun} {name}\n")
    click.echo("\n".join(f"  {path}" for path in files))
    click.echo(
        f"\nnext: cd {folder}; pip install -e '.[test]'; pytest; hostler plugins check {name}; "
        "hostler run example.toml\nhostler is not on PyPI yet: in a new environment, install it first, "
        "with pip install and the path of its checkout"
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


def package_files(name: str, kind: type[PluginSpec] = PluginSpec) -> dict[str, str]:
    """The text of each file of the package by its path; all names in it are made from the plugin's."""
    word, class_name = name.replace("-", "_"), "".join(part.capitalize() for part in name.split("-"))
    is_taken = iskeyword(class_name) or class_name in _IMPORTED
    values = {
        "name": name,
        "word": word,
        "package": f"hostler-{name}",
        "module": f"hostler_{word}",
        "class": f"{class_name}Plugin" if is_taken else class_name,
        "api": API,
        "version": __version__,
        "group": kind.group,
        "noun": kind.noun,
        "description": _DESCRIPTIONS[kind].format(name),
    }
    other = _OF_A_LISTENER if kind is ListenerSpec else {}
    files = {place: other.get(template, template) for template, place in _FILES.items()}
    texts = {place: (_TEMPLATES / f"{template}.template").read_text() for place, template in files.items()}
    return {
        place.format_map(values): re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)
        for place, text in texts.items()
    }
