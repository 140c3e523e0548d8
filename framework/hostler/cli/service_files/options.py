"""What the commands of `hostler service` share: their options, and how their errors are told."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from hostler.cli.arguments import DEFAULT_FILE, configuration_file
from hostler.cli.client.daemon import BAD_CALL, ClientError
from hostler.cli.client.output import Output
from hostler.cli.import_deadline import bounded_imports
from hostler.cli.service_files.definition import ALWAYS_SET, Service, describe
from hostler.cli.service_files.init_system import InitSystem
from hostler.config.load import load_resolved
from hostler.config.source.overrides import read_settings
from hostler.config.variables import NotedEnviron, words_of
from hostler.errors import InvalidConfiguration

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class ServiceCall(NamedTuple):
    """One call: the service that it is about, who manages it, where its file is, and how it answers."""

    service: Service
    manager: InitSystem
    path: Path
    output: Output
    profiles: tuple[str, ...]
    settings: tuple[str, ...]

    def check(self) -> dict[str, object]:
        """Read the configuration, and tell of variables that this shell has for it and its service will not.

        Raises InvalidConfiguration: its service would fail again and again.
        """
        environ = NotedEnviron(os.environ)
        with bounded_imports():
            configuration = load_resolved(
                self.service.configuration,
                profiles=self.profiles,
                settings=read_settings(self.settings),
                environ=environ,
            ).configuration
            names = (environ.asked | words_of(configuration)) & os.environ.keys()
        missing = sorted(names - ALWAYS_SET - dict(self.service.variables).keys())
        if missing:
            self.output.note(
                f"warning: the configuration refers to {', '.join(missing)}: this shell has it, and the"
                f" service will not\n  what to do: {self.manager.hand_over(self.service)}, or take a secret"
                ' from a file: { secret = "file:PATH" }'
            )
        return {"missing_variables": missing}

    def facts(self) -> dict[str, object]:
        """What programs want to know of it."""
        return {
            "name": self.service.name,
            "manager": self.manager.name,
            "user": self.service.is_own,
            "path": str(self.path),
            "configuration": self.service.configuration,
        }


def service_options(function: Callable[..., int]) -> Callable[..., None]:
    """Give a command of `hostler service` its arguments, as a ServiceCall, and its exit code."""

    @click.argument("file", type=click.Path(), default=DEFAULT_FILE, metavar="[FILE]", required=False)
    @click.option("--user", "is_own", is_flag=True, help="A service of your own user, which needs no root.")
    @click.option(
        "--for",
        "kind",
        type=click.Choice(["systemd", "launchd"]),
        help="The service manager. Default: that of this system.",
    )
    @click.option("--name", help="Its name. Default: hostler-FOLDER, by the folder of FILE.")
    @click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Run with [profiles.NAME].")
    @click.option("--set", "texts", multiple=True, metavar="KEY=VALUE", help="Run with this value set.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object, also for a failure.")
    @wraps(function)
    def command(as_json: bool, **options: Any) -> None:
        output = Output(as_json=as_json, quiet=False)
        own = ("file", "is_own", "kind", "name", "profiles", "texts")
        try:
            call = _call(output, *(options.pop(one) for one in own))
            raise SystemExit(function(call, **options))
        except ClientError as error:
            output.failure(error)
            raise SystemExit(error.code) from None
        except InvalidConfiguration as error:
            if not as_json:
                raise
            mistakes = [str(one) for one in error.problems]
            output.failure(ClientError("invalid_configuration", error.message, mistakes=mistakes))
            raise SystemExit(BAD_CALL) from None

    return command


def _call(
    output: Output,
    file: str,
    is_own: bool,
    kind: str | None,
    name: str | None,
    profiles: tuple[str, ...],
    texts: tuple[str, ...],
) -> ServiceCall:
    if name is not None and not _NAME.fullmatch(name):
        raise ClientError(
            "invalid_request", f"--name takes letters, digits, '.', '_' and '-', found {name!r}"
        )
    options = [f"--profile={one}" for one in profiles] + [f"--set={one}" for one in texts]
    try:
        file = str(configuration_file(file))
        service = describe(file, options, os.environ, is_own=is_own, name=name or "")
    except ValueError as error:
        raise ClientError("failed", str(error)) from None
    manager = _manager(kind)
    return ServiceCall(service, manager, manager.path(service, os.environ), output, profiles, texts)


def _manager(kind: str | None) -> InitSystem:
    if kind == "launchd" or (kind is None and sys.platform == "darwin"):
        from hostler.cli.service_files.launchd import Launchd  # noqa: PLC0415 - one of the two is needed

        return Launchd()
    from hostler.cli.service_files.systemd import Systemd  # noqa: PLC0415

    return Systemd()
