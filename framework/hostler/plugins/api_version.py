"""The version of the hook API: what a plugin was written for, what there is, what will go."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostler.hooks import API, OLDEST_API
from hostler.version import __version__

if TYPE_CHECKING:
    import pluggy


@dataclass(frozen=True, slots=True)
class Deprecation:
    """A plugin's use of something that will go; `argument` is "" where it is the whole hook."""

    plugin: str
    hook: str
    argument: str
    instead: str

    def __str__(self) -> str:
        what = f'the argument "{self.argument}" of {self.hook}' if self.argument else f"the hook {self.hook}"
        return f'plugin "{self.plugin}" uses {what}, which is deprecated: {self.instead}'


def api_fault(plugin: object) -> str:
    """Why a plugin (object, class or module) cannot be used with this version of the hooks; "" if it can.

    A plugin says what it was written for by `api = "1"`; one that says nothing was written for "1".
    """
    wanted = getattr(plugin, "api", "1")
    if _is_option(plugin, "api") or not isinstance(wanted, str | int | float):
        return ""  # a word that a plugin may use for itself
    if not isinstance(wanted, str) or not wanted.isdecimal():
        return f'api = {wanted!r} is no version of the hooks: it is a whole number in quotes, such as "{API}"'
    if int(wanted) > int(API):
        return (
            f"it was written for version {wanted} of the hook API, "
            f"and hostler {__version__} has version {API}: "
            "install a newer hostler, or an older version of this plugin"
        )
    if int(wanted) < int(OLDEST_API):
        return (
            f"it was written for version {wanted} of the hook API, and hostler {__version__} supports "
            f"{OLDEST_API} to {API}: install a newer version of this plugin, or an older hostler"
        )

    return ""


def deprecations(caller: pluggy.HookCaller, call: pluggy.HookImpl) -> tuple[Deprecation, ...]:
    """What one implementation of a hook uses although its specification warns of it."""
    assert caller.spec is not None
    plugin, whole = call.plugin_name, caller.spec.warn_on_impl
    named = inspect.signature(call.function).parameters
    found = [] if whole is None else [Deprecation(plugin, caller.name, "", str(whole))]
    for argument, warning in (caller.spec.warn_on_impl_args or {}).items():
        found += [Deprecation(plugin, caller.name, argument, str(warning))] if argument in named else []
    return tuple(found)


def _is_option(plugin: object, name: str) -> bool:
    fields = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ()
    return any(field.name == name for field in fields)
