"""Values that a program gives: taken as they are, or read as in TOML and checked in its words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostler.model.spec import EnvFile, PluginSpec, RestartPolicy, ServerSpec


def settle(made: EnvFile | PluginSpec | RestartPolicy | ServerSpec, key: str) -> None:
    """Have every field of a new value hold what it should; `key` is where it would stand in TOML.

    Raises InvalidConfiguration with every mistake that was found.
    """
    known = made.__dataclass_fields__
    given = {name: getattr(made, name) for name, one in known.items()}
    given = {name: value for name, value in given.items() if not _is(value, known[name].default)}

    if given:
        from hostler.model.schema.python_values import read  # noqa: PLC0415 - the readers import this package

        for name, value in read(made, given, key).items():
            object.__setattr__(made, name, value)


def _is(value: object, default: object) -> bool:
    return value is default or (type(value) is type(default) and value == default)
