"""Lists the hooks of one server's plugins in the order in which they are called."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import FunctionType
from typing import cast

import pluggy
from msgspec import Struct

from hostler import hooks
from hostler.plugins.signatures import FORMS, Marked, hook_arguments, marked_hooks


class Deprecation(Struct, frozen=True):
    """A plugin's use of something that will go; `argument` is "" where it is the whole hook."""

    plugin: str
    hook: str
    argument: str
    instead: str

    def __str__(self) -> str:
        what = f'the argument "{self.argument}" of {self.hook}' if self.argument else f"the hook {self.hook}"
        return f'plugin "{self.plugin}" uses {what}, which is deprecated: {self.instead}'


class Implementation(Struct, frozen=True):
    """One hook of one plugin, the arguments that it names, and which of all this is deprecated."""

    plugin: str
    hook: str
    function: Callable[..., object]
    arguments: tuple[str, ...]
    deprecations: tuple[Deprecation, ...] = ()

    def pick(self, offered: Mapping[str, object]) -> dict[str, object]:
        """Of all arguments of the hook, those that this implementation uses."""
        return {name: offered[name] for name in self.arguments}


class _Method(Struct, frozen=True):
    """A method that implements a hook; `place` is -1 for `tryfirst`, 1 for `trylast`."""

    attribute: str
    hook: str
    place: int
    arguments: tuple[str, ...]


def in_order(plugins: Mapping[str, object]) -> dict[str, tuple[Implementation, ...]]:
    """List what is called for each hook, of plugins that were checked.

    The order is that of the configuration; `tryfirst` and `trylast` go before and after it.
    """
    warned = {hook: _warned_of(hook, getattr(hooks, hook)) for hook in FORMS}
    found = [(name, plugin, method) for name, plugin in plugins.items() for method in _methods_of(plugin)]
    found.sort(key=lambda one: one[2].place)

    return {
        hook: tuple(
            _implementation(name, plugin, method, warned[hook])
            for name, plugin, method in found
            if method.hook == hook
        )
        for hook in FORMS
    }


def _methods_of(plugin: object) -> tuple[_Method, ...]:
    own = getattr(plugin, "__dict__", None)
    # A hook may stand on the object itself, as in a module.
    if own is None or any(map(callable, own.values())):
        return _methods_in(plugin)
    return _methods_of_class(type(plugin))  # type: ignore[arg-type]  # a class is hashable


@lru_cache(maxsize=256)  # every server with the plugin asks
def _methods_of_class(class_: type) -> tuple[_Method, ...]:
    return _methods_in(class_)


def _methods_in(holder: object) -> tuple[_Method, ...]:
    return tuple(_method(marked) for marked in marked_hooks(holder) if marked.hook in FORMS)


def _method(marked: Marked) -> _Method:
    named = inspect.signature(marked.function).parameters
    arguments = tuple(name for name in hook_arguments(marked.hook) if name in named)
    place = bool(marked.options.get("trylast")) - bool(marked.options.get("tryfirst"))
    return _Method(marked.attribute, marked.hook, place, arguments)


def _implementation(
    name: str, plugin: object, method: _Method, warned: Mapping[str, Warning]
) -> Implementation:
    function: Callable[..., object] = getattr(plugin, method.attribute)
    deprecations = tuple(_deprecations(name, method, function, warned)) if warned else ()
    return Implementation(name, method.hook, function, method.arguments, deprecations)


@lru_cache(maxsize=64)  # every server asks, and specifications stay as they are
def _warned_of(hook: str, _specified: Callable[..., object]) -> Mapping[str, Warning]:
    """What the specification of a hook warns of, by argument; "" is the whole hook."""
    # It only reads markers: to register the plugins of a server with one would cost milliseconds.
    options = pluggy.PluginManager(hooks.PROJECT).parse_hookspec_opts(hooks, hook)
    assert options is not None
    whole = options["warn_on_impl"]
    return ({} if whole is None else {"": whole}) | dict(options["warn_on_impl_args"] or {})


def _deprecations(
    name: str, method: _Method, function: Callable[..., object], warned: Mapping[str, Warning]
) -> Iterator[Deprecation]:
    code = cast("FunctionType", function).__code__
    for argument, warning in warned.items():
        if argument in {"", *method.arguments}:
            warnings.warn_explicit(warning, type(warning), code.co_filename, code.co_firstlineno)
            yield Deprecation(name, method.hook, argument, str(warning))
