"""The variables that `hostler up` hands over to a hostler that runs already: those that it asks for."""

from __future__ import annotations

import os

from hostler.cli.client.daemon import ClientError, Daemon


def variables_for(daemon: Daemon) -> dict[str, str | None]:
    """Those of our environment that its configuration refers to; None for one that is not set here."""
    asked = daemon.get("/v1/environment")
    found = {name: os.environ.get(name) for name in asked["names"]}
    if asked["patterns"]:
        from fnmatch import fnmatchcase  # noqa: PLC0415 - few need it

        for pattern in asked["patterns"]:
            found |= {name: value for name, value in os.environ.items() if fnmatchcase(name, pattern)}
    for name, value in found.items():
        if not (name + (value or "")).isascii():
            _refuse_bytes(name, value or "")
    return found


def _refuse_bytes(name: str, value: str) -> None:
    try:
        (name + value).encode()
    except UnicodeEncodeError:
        raise ClientError(
            "invalid_request",
            f"the variable {name} is no UTF-8",
            hint="set it anew, or use --keep-environment",
        ) from None


def explained(error: ClientError, handed: dict[str, str | None], keeping: str = "") -> ClientError:
    """The refusal of a reload, which may lack what is not set here, and was where the hostler was started.

    `keeping` is the option that hands over nothing, where the command has one.
    """
    unset = [name for name, value in handed.items() if value is None]
    told = "".join(error.problem.get("mistakes", ()))
    named = [name for name in unset if f"${{{name}}}" in told or f" env:{name}:" in told]
    if named and not error.problem.get("hint"):
        other = f", or keep what hostler has: {keeping}" if keeping else ""
        error.problem["hint"] = f"set {', '.join(named)} here{other}"
    if error.kind == "too_large":
        error.problem["detail"] = f"the variables that the configuration refers to are too large: {error}"
        other = f"; {keeping} hands over nothing" if keeping else ""
        error.problem["hint"] = f"put what is large into a file{other}"
    return error
