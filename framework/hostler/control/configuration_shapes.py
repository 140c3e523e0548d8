"""What the control API takes and answers about the configuration, as types."""

from __future__ import annotations

from msgspec import Struct


class Reload(Struct, kw_only=True, forbid_unknown_fields=True):
    """With `dry_run` nothing is changed. The variables of `environment` replace those that hostler has.

    One that is null is not set. They are kept in memory, in no answer, and for later reloads, too. With
    `start` all are started that start by themselves, and were neither started nor stopped until now.
    """

    dry_run: bool = False
    start: bool = False
    environment: dict[str, str | None] | None = None


class Variables(Struct, kw_only=True):
    """Variables of the environment: `names`, and `patterns` of names as in the shell (`*`, `?`, `[...]`)."""

    names: list[str]
    patterns: list[str]


class Value(Struct, kw_only=True):
    """One value of a configuration: its dotted key, the value as TOML, and where it comes from."""

    key: str
    value: str
    origin: str


class Configuration(Struct, kw_only=True):
    """A configuration as it is on disk now, merged; `pending` are the servers that a reload would change."""

    toml: str
    values: list[Value]
    pending: list[str]


class KeyChange(Struct, kw_only=True):
    """One key of a server, before and after, secrets masked; null where it was not there."""

    key: str
    before: str | None
    after: str | None


class ListenerChanges(Struct, kw_only=True):
    """What a reload changed, or would change, of the listeners."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[KeyChange]]


class Changes(Struct, kw_only=True):
    """What a reload changed, or would change. `when_idle` are restarted once nothing runs on them.

    `control` are the keys of `[control]`, which apply when hostler is started anew.
    """

    added: list[str]
    removed: list[str]
    restarted: list[str]
    unchanged: list[str]
    changed: dict[str, list[KeyChange]]
    when_idle: list[str]
    listeners: ListenerChanges
    control: list[KeyChange]
