"""Registers the plugins of one server with a pluggy manager of their own, and lists their hooks in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from types import ModuleType

import pluggy

from hostler import hooks
from hostler.plugins.signatures import FORMS, hook_arguments


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


@dataclass(frozen=True, slots=True)
class Implementation:
    """One hook of one plugin, the arguments that it names, and which of all this is deprecated."""

    plugin: str
    hook: str
    function: Callable[..., object]
    arguments: tuple[str, ...]
    deprecations: tuple[Deprecation, ...] = ()

    def pick(self, offered: Mapping[str, object]) -> dict[str, object]:
        """Of all arguments of the hook, those that this implementation uses."""
        return {name: offered[name] for name in self.arguments}


def in_order(plugins: Mapping[str, object]) -> dict[str, tuple[Implementation, ...]]:
    """Register the plugins with one manager of their own, and list what is called for each hook.

    The order is that of the configuration; `tryfirst` and `trylast` go before and after it.
    """
    # One manager for each server: `subset_hook_caller` of a shared one (pluggy <= 1.6) would call
    # implementations with a `specname` for other servers too.
    manager = _new_manager()
    names = list(plugins)
    for name in names:
        manager.register(plugins[name], name=name)
    manager.check_pending()

    def place(call: pluggy.HookImpl) -> tuple[int, int]:
        return call.trylast - call.tryfirst, names.index(call.plugin_name)

    # Sorted here, since pluggy calls the last registered first, but not among several that are `trylast`.
    callers = {hook: getattr(manager.hook, hook) for hook in FORMS}
    return {
        hook: tuple(_implementation(caller, call) for call in sorted(caller.get_hookimpls(), key=place))
        for hook, caller in callers.items()
    }


def _implementation(caller: pluggy.HookCaller, call: pluggy.HookImpl) -> Implementation:
    named = signature(call.function).parameters
    arguments = tuple(name for name in hook_arguments(caller.name) if name in named)
    return Implementation(
        call.plugin_name, caller.name, call.function, arguments, _deprecations(caller, call)
    )


def _new_manager() -> pluggy.PluginManager:
    """An empty plugin manager that knows the six hooks."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    specs = ModuleType(hooks.__name__)  # pluggy looks at every name of a module: six instead of forty
    vars(specs).update({name: getattr(hooks, name) for name in FORMS})
    manager.add_hookspecs(specs)
    return manager


def _deprecations(caller: pluggy.HookCaller, call: pluggy.HookImpl) -> tuple[Deprecation, ...]:
    """What one implementation of a hook uses although its specification warns of it."""
    assert caller.spec is not None
    plugin, whole = call.plugin_name, caller.spec.warn_on_impl
    named = signature(call.function).parameters
    found = [] if whole is None else [Deprecation(plugin, caller.name, "", str(whole))]
    for argument, warning in (caller.spec.warn_on_impl_args or {}).items():
        found += [Deprecation(plugin, caller.name, argument, str(warning))] if argument in named else []
    return tuple(found)
