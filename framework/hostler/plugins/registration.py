"""The plugins of one server, registered with a pluggy manager of their own, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING

from hostler.errors import PluginError
from hostler.model.spec import PluginSpec
from hostler.plugins.api_version import Deprecation, deprecations
from hostler.plugins.options import build
from hostler.plugins.signatures import FORMS, hook_arguments, new_manager

if TYPE_CHECKING:
    import pluggy


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


def build_all(specs: Sequence[PluginSpec]) -> dict[str, object]:
    """Build every plugin, by name in the order of the configuration; PluginError for one that comes twice."""
    plugins: dict[str, object] = {}
    for spec in specs:
        if spec.name in plugins:
            raise PluginError(f'plugin "{spec.name}" is named twice')
        plugin = build(spec)
        twin = next((name for name, other in plugins.items() if other is plugin), None)
        if twin is not None:
            raise PluginError(f'plugins "{twin}" and "{spec.name}" are one and the same object')
        plugins[spec.name] = plugin
    return plugins


def in_order(plugins: Mapping[str, object]) -> dict[str, tuple[Implementation, ...]]:
    """Register the plugins with one manager of their own, and list what is called for each hook.

    The order is that of the configuration; `tryfirst` and `trylast` go before and after it.
    """
    # One manager for each server: `subset_hook_caller` of a shared one (pluggy <= 1.6) would call
    # implementations with a `specname` for other servers too.
    manager = new_manager()
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
    return Implementation(call.plugin_name, caller.name, call.function, arguments, deprecations(caller, call))
