"""`hostler plugins check`: does a plugin conform to the hook contract?"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.errors import ServerError
from hostler.files.bounded_read import read_plain
from hostler.model.spec import ListenerSpec, PluginSpec
from hostler.plugins.discovery import find_class, installed
from hostler.plugins.messages import did_you_mean, said
from hostler.plugins.signatures import is_listener

if TYPE_CHECKING:
    from hostler.testing.conformance import Findings

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_KINDS = (PluginSpec, ListenerSpec)
_LARGEST_FILE = 16 * 2**20


@click.command("check")
@click.argument("what")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="OPTION=VALUE",
    help="An option for the plugin, with a value as in TOML; may be given several times.",
)
def command(what: str, settings: tuple[str, ...]) -> None:
    """Check that plugins conform to the hook contract; report where each breach is and how to fix it.

    WHAT is the name of a plugin or listener, or of an installed package (all of its), or
    "package.module:Class", or "path/to/file.py:Class". Hooks are really called, in folders that are removed
    afterwards, with an address that nobody listens at; a listener gets some events. The exit code is 1 when
    one does not conform.
    """
    specs = _plugins_of(what)
    options = _options(settings, specs)
    failed = [spec.name for spec in specs if not _conforms(spec, options)]
    if failed:
        raise SystemExit(1)


def _options(settings: Sequence[str], specs: Sequence[PluginSpec]) -> dict[str, Any]:
    if settings and len(specs) > 1:
        names = ", ".join(spec.name for spec in specs)
        raise click.UsageError(f"--set is for one plugin, and here are several: {names}; name one of them")
    return dict(_option(setting) for setting in settings)


def _option(setting: str) -> tuple[str, Any]:
    """An option with its value; what is no value of TOML is a string."""
    name, sign, text = setting.partition("=")
    if not sign or not name.strip():
        raise click.UsageError(f'--set {setting}: expected OPTION=VALUE, such as --set path="/health"')
    try:
        return name.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), text


def _conforms(spec: PluginSpec, options: dict[str, Any]) -> bool:
    from hostler.testing.conformance import check_contract  # noqa: PLC0415 - it brings the whole engine

    try:
        with bounded_imports():
            class_ = find_class(spec)
        findings = check_contract(class_, options)
    except ServerError as error:
        click.echo(str(error), err=True)
        return False
    except Exception as error:  # noqa: BLE001 - a plugin's code may fail wherever it is touched
        click.echo(f"{spec.name}: cannot be checked, since it raises {said(error)}", err=True)
        return False

    if spec.use is None and not _NAME.fullmatch(spec.name):
        mend = "name the entry point as it is to be named in TOML: lower case, with hyphens"
        findings.broken(spec.name, "is not in kebab-case", mend)

    contract = "contract of listeners" if is_listener(class_) else "hook contract"
    return _shown(spec.name, findings, contract, given=bool(options))


def _shown(name: str, findings: Findings, contract: str, *, given: bool) -> bool:
    bad = bool(findings.breaches) or (given and bool(findings.unbuilt))
    text = findings.text(name)

    if not findings.breaches:
        verdict = "OK, as far as could be checked" if findings.unbuilt else f"conforms to the {contract}"
        text = f"{name}: {verdict}\n{text}".rstrip()

    if findings.unbuilt:
        text += "\n  give it what it needs: --set OPTION=VALUE"

    click.echo(text, err=bad)
    return not bad


# -- from a word to plugins -------------------------------------------------------------------------


def _plugins_of(what: str) -> list[PluginSpec]:
    """The plugins that a word names. click.UsageError, with what was probably meant, where there are none."""
    if ":" in what:
        return [PluginSpec(what.rpartition(":")[2] or what, use=what)]
    if named := [kind(what) for kind in _KINDS if what in installed(kind)]:
        return named

    path = Path(what).expanduser()
    if path.suffix == ".py":
        raise click.UsageError(_without_class(path, what))

    is_folder = bool(what) and path.is_dir()
    specs = _of_distribution(what)
    if specs is None and is_folder:
        specs = _of_distribution(_project_name(path))

    if specs:
        return specs
    if specs is not None:
        groups = " or ".join(f'"{kind.group}"' for kind in _KINDS)
        raise click.UsageError(
            f"{what} is installed, and provides no plugin (no entry point in the group {groups})"
        )

    raise click.UsageError(_unknown(what, is_folder=is_folder))


def _of_distribution(name: str) -> list[PluginSpec] | None:
    """The plugins that an installed package offers; None when it is not installed."""
    try:
        points = distribution(name).entry_points if name else None
    except (PackageNotFoundError, ValueError):
        return None
    if points is None:
        return None
    names = {kind: {one.name for one in points.select(group=kind.group)} for kind in _KINDS}
    return [kind(name) for kind in _KINDS for name in sorted(names[kind])]


def _project_name(folder: Path) -> str:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return ""
    return str(project.get("name", "")) if isinstance(project, dict) else ""


def _without_class(path: Path, what: str) -> str:
    try:
        tree = ast.parse(read_plain(path, _LARGEST_FILE)[0])
    except (OSError, SyntaxError, ValueError) as error:
        return f"{what} cannot be read: {error}"
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    choices = " or ".join(f"{what}:{name}" for name in classes)
    return f"name the class too: {choices}" if classes else f"there is no class in {what}"


def _unknown(what: str, *, is_folder: bool) -> str:
    if is_folder:
        return f"the package in {what} is not installed: pip install -e {what}"
    packages = {
        str(one.name)
        for one in distributions()
        if any(point.group in {kind.group for kind in _KINDS} for point in one.entry_points)
    }
    choices = [*(name for kind in _KINDS for name in installed(kind)), *sorted(packages)]
    question = did_you_mean(what, choices) or f"; there are: {', '.join(choices)}"
    return f"there is no plugin and no installed package {what}{question} (for a file, write FILE.py:Class)"
