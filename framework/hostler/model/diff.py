"""What a reload changes, as a value: which servers, and which of their keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from enum import Enum

from hostler.model.dataclass import dataclass
from hostler.model.dependencies import Need, as_needs
from hostler.model.secret import Secret
from hostler.model.spec import ControlSpec, EnvFile, ListenerSpec, PluginSpec, ServerSpec
from hostler.secrets.credentials import MASK, is_secret_name, masked_words, passwords_in
from hostler.secrets.masking import Masker


@dataclass(frozen=True, slots=True)
class Change:
    """One key of one server before and after, as text, secrets masked; None where it was not there."""

    key: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        before = "(none)" if self.before is None else self.before
        return f"{self.key}: {before} -> {'(none)' if self.after is None else self.after}"


@dataclass(frozen=True, slots=True)
class ListenerChanges:
    """What a reload changes of the listeners, by name; those of `changed` are ended, and begin anew."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload changed, or would: names of servers, in order.

    `restarted` are those of `changed` that were wanted up; the others are taken as they are at rest.
    `when_idle` are those of `restarted` that run on until nothing runs on them. `listeners` tells of those,
    and `control` of the keys of `[control]`, which apply when hostler is started anew.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    changed: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    when_idle: tuple[str, ...] = ()
    listeners: ListenerChanges = field(default_factory=ListenerChanges)
    control: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.listeners or self.control)


def differences(old: ServerSpec, new: ServerSpec) -> tuple[Change, ...]:
    """The keys in which two specs of one server differ."""
    return _differences(dict(_entries(old)), dict(_entries(new)), Masker(old.secrets | new.secrets))


def listener_differences(old: ListenerSpec, new: ListenerSpec, hidden: Iterable[str]) -> tuple[Change, ...]:
    """The options in which two specs of one listener differ; texts that are `hidden` are masked."""
    before, after = (
        {**spec.options, "use": spec.instance or spec.use, **dict(_entries_of_environ(spec.environ))}
        for spec in (old, new)
    )
    return _differences(before, after, Masker([*old.secrets, *new.secrets, *hidden]))


def control_differences(old: ControlSpec, new: ControlSpec) -> tuple[Change, ...]:
    """The keys in which what stands below `[control]` differs."""
    before, after = (
        {one.name: getattr(spec, one.name) for one in dataclasses.fields(spec)} for spec in (old, new)
    )
    return _differences(before, after, Masker([]))


def _differences(
    before: Mapping[str, object], after: Mapping[str, object], masker: Masker
) -> tuple[Change, ...]:
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]

    def text(key: str, values: Mapping[str, object]) -> str | None:
        # A variable that stands in one of them alone is hostler's own in the other.
        default = {key: _Hidden("")} if key.startswith("environ.") else {}
        found = {**default, **values}
        return masker.text(_text(key.rpartition(".")[2], found[key])) if key in found else None

    return tuple(Change(key, text(key, before), text(key, after)) for key in keys)


@dataclass(frozen=True, slots=True)
class _Hidden:
    """The value of a variable that hostler was given (None: it is not set): compared, and never shown."""

    value: str | None = field(repr=False)


# -- keys ------------------------------------------------------------------------------------------


def _entries(spec: ServerSpec) -> Iterator[tuple[str, object]]:
    """Every value of a spec with its dotted key."""
    for one in dataclasses.fields(spec):
        value = getattr(spec, one.name)
        match one.name:
            # The name is the same in both, and the rest is no key of a file.
            case "name" | "secrets" | "unset" | "template":
                continue
            case "plugins":
                yield from _entries_of_plugins(value)
            case "environ":
                yield from _entries_of_environ(value)
            case "env":
                yield from ((f"env.{name}", item) for name, item in value.items())
            case "restart":
                yield from ((f"restart.{o.name}", getattr(value, o.name)) for o in dataclasses.fields(value))
            case "port":
                yield "port", "false" if value is None else value
            case "needs":
                yield "needs", as_needs(value)
            case _:
                yield one.name, value


def _entries_of_environ(environ: Mapping[str, str | None]) -> Iterator[tuple[str, object]]:
    for name, value in environ.items():
        yield f"environ.{name}", _Hidden(value)


def _entries_of_plugins(plugins: Sequence[PluginSpec]) -> Iterator[tuple[str, object]]:
    yield "plugins", tuple(plugin.name for plugin in plugins)
    for plugin in plugins:
        yield from ((f"plugins.{plugin.name}.{name}", value) for name, value in plugin.options.items())
        yield f"plugins.{plugin.name}.use", plugin.instance or plugin.use


# -- values as text --------------------------------------------------------------------------------


def _text(name: str, value: object) -> str:  # noqa: C901, PLR0911 - a table
    if is_secret_name(name) and not isinstance(value, bool | Secret | Mapping | _Hidden | None):
        return MASK
    match value:
        case Mapping():
            return "{" + ", ".join(f"{key} = {_text(str(key), item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(masked_words(_text(name, item) for item in value)) + "]"
        case _Hidden(value=None) | None:
            return "(none)"
        case _Hidden():
            return MASK
        case Secret():
            return f"the secret {value.secret}"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g} s"
        case EnvFile():
            return f"{value.path}{' (optional)' if value.optional else ''}"
        case Need():
            return f"{value.server} ({value.condition.value}, {value.on_restart.value})"
        case _:
            return _without_passwords(str(value.value if isinstance(value, Enum) else value) or '""')


def _without_passwords(text: str) -> str:
    for password in passwords_in(text):
        text = text.replace(password, MASK)
    return text
