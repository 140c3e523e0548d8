"""`hostler plugins check`: does a plugin keep what it promises?"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.errors import ServerError
from hostler.model.spec import PluginSpec
from hostler.plugins.discovery import find_class
from hostler.plugins.messages import said
from hostler.text.sanitize import harmless

if TYPE_CHECKING:
    from hostler.testing.conformance import Findings

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


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
    """Check that plugins keep what they promise, and say of what is wrong where it is and how to mend it.

    WHAT is the name of a plugin, or of an installed package (all its plugins), or "package.module:Class",
    or "path/to/file.py:Class". Their hooks are really called, in folders that are removed afterwards, with
    an address that nobody listens at. Ends with 1 when a promise is broken.
    """
    from hostler.cli.plugin_targets import targets  # noqa: PLC0415 - only this command needs it

    specs = targets(what)
    options = _options(settings, specs)
    failed = [spec.name for spec in specs if not _keeps_its_promises(spec, options)]
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


def _keeps_its_promises(spec: PluginSpec, options: dict[str, Any]) -> bool:
    from hostler.testing.conformance import check_contract  # noqa: PLC0415 - it brings the whole engine

    try:
        with bounded_imports():
            class_ = find_class(spec)
        findings = check_contract(class_, options)
    except ServerError as error:
        click.echo(harmless(str(error)), err=True)
        return False
    except Exception as error:  # noqa: BLE001 - a plugin's code may fail wherever it is touched
        click.echo(harmless(f"{spec.name}: cannot be checked, since it raises {said(error)}"), err=True)
        return False

    if spec.use is None and not _NAME.fullmatch(spec.name):
        mend = "name the entry point as it is to be named in TOML: lower case, with hyphens"
        findings.broken(spec.name, "is not in kebab-case", mend)

    return _shown(spec.name, findings, given=bool(options))


def _shown(name: str, findings: Findings, *, given: bool) -> bool:
    bad = bool(findings.breaches) or (given and bool(findings.unbuilt))
    text = findings.text(name)

    if not findings.breaches:
        verdict = "OK, as far as could be checked" if findings.unbuilt else "conforms to the hook contract"
        text = f"{name}: {verdict}\n{text}".rstrip()

    if findings.unbuilt:
        text += "\n  give it what it needs: --set OPTION=VALUE"

    click.echo(harmless(text), err=bad)
    return not bad
