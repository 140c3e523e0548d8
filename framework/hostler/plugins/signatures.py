"""Checks that the hooks of a plugin have the form that the engine calls, before any is called."""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType, MethodType

import pluggy
from msgspec import Struct

from hostler import hooks
from hostler.errors import PluginError
from hostler.hooks import API, OLDEST_API
from hostler.plugins.messages import did_you_mean, place_of
from hostler.version import __version__

FORMS: Mapping[str, str] = MappingProxyType(
    {
        "pre_spawn": "async def",
        "parse_port": "def",
        "health_check": "async def with yield",
        "on_ready": "async def",
        "on_crash": "async def",
        "on_shutdown": "async def",
    }
)
LISTENER_ARGUMENTS = ("events", "context")
LISTENER_FORM = "async def listen(self, events, context)"
# hostler passes by name what a method names: not the rest of `*args` or `**kwargs`.
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Marked(Struct, frozen=True):
    """One method that is marked with `@hookimpl`; `hook` is the hook that it means to implement."""

    attribute: str
    hook: str
    function: Callable[..., object]
    options: Mapping[str, object]


def hook_arguments(hook: str) -> tuple[str, ...]:
    """The arguments that a hook may name."""
    return tuple(inspect.signature(getattr(hooks, hook)).parameters)


def marked_hooks(plugin: object) -> list[Marked]:
    """Everything in a plugin (object or class) that is marked with `@hookimpl`."""
    manager = pluggy.PluginManager(hooks.PROJECT)
    found = []
    for attribute in dir(plugin):
        if attribute.startswith("__"):  # what every object has, and no hook
            continue
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is not None:
            hook = options.get("specname") or attribute
            found.append(Marked(attribute, hook, _bound(plugin, attribute), dict(options)))
    return found


def _bound(plugin: object, attribute: str) -> Callable[..., object]:
    function: Callable[..., object] = getattr(plugin, attribute)
    if inspect.isclass(plugin) and inspect.isfunction(inspect.getattr_static(plugin, attribute)):
        # As an object would bind it: there is no object yet, and its first argument is not a hook's.
        return MethodType(function, plugin)
    return function


def _form_of(function: Callable[..., object]) -> str:
    """What kind of function this is, in the words of `FORMS`."""
    if inspect.isasyncgenfunction(function):
        return "async def with yield"
    if inspect.iscoroutinefunction(function):
        return "async def"
    return "def with yield" if inspect.isgeneratorfunction(function) else "def"


def hook_faults(plugin: object) -> Iterator[str]:
    """Every way in which a plugin's hooks could not be called as they are meant, as sentences."""
    if fault := api_fault(plugin):
        yield fault  # and nothing else: hooks that are unknown here are its consequence
        return

    marked = marked_hooks(plugin)
    attributes = {each.attribute for each in marked}
    forgotten = [
        name for name in FORMS if name not in attributes and inspect.isroutine(getattr(plugin, name, None))
    ]
    yield from (f'"{name}" is not marked with @hookimpl' for name in forgotten)

    if not marked and not forgotten and inspect.isroutine(getattr(plugin, "listen", None)):
        yield "it is a listener: write it in [listeners], or give it to Supervisor(listeners=...)"
    elif not marked and not forgotten:
        yield f"it has no hook: mark a method with @hookimpl ({', '.join(FORMS)})"

    for hook, number in Counter(each.hook for each in marked).items():
        if number > 1:
            yield f'hook "{hook}" is implemented {number} times'

    for each in marked:
        yield from _faults_of(each)


def _faults_of(marked: Marked) -> Iterator[str]:
    hook = marked.hook
    if hook not in FORMS:
        if not marked.options.get("optionalhook"):
            yield f'there is no hook "{hook}"{did_you_mean(hook, FORMS) or "; there are " + ", ".join(FORMS)}'
        return
    if marked.options.get("wrapper") or marked.options.get("hookwrapper"):
        yield f'hook "{hook}" is a wrapper: hostler calls plugins one by one, there is nothing to wrap'
        return

    form = _form_of(marked.function)
    if form != FORMS[hook]:
        yield f'hook "{hook}" is "{form}" and must be "{FORMS[hook]}"'

    yield from argument_faults(hook, marked.function, hook_arguments(hook))


def argument_faults(hook: str, function: Callable[..., object], allowed: Collection[str]) -> Iterator[str]:
    """Every way in which a hook cannot be called by name with the `allowed` arguments, as sentences."""
    choices = f"it may have {', '.join(allowed)}"

    if isinstance(function, MethodType):
        first = next(iter(inspect.signature(function.__func__).parameters), None)
        if first is None or first in allowed:
            yield f'hook "{hook}" lacks "self"'
            return

    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in _NAMED:
            yield f'hook "{hook}" must name its arguments, not take "{parameter}"; {choices}'
        elif parameter.name not in allowed and parameter.default is parameter.empty:
            question = did_you_mean(parameter.name, allowed) or f"; {choices}"
            yield f'hook "{hook}" has an unknown argument "{parameter.name}"{question}'


def check_plugin(name: str, plugin: object) -> None:
    """Raise PluginError, with everything that is wrong with a plugin object, before it is called."""
    if inspect.isclass(plugin):
        raise PluginError(
            f'plugin "{name}" is the class {plugin.__name__}, not an object of it',
            hint=f"write {plugin.__name__}(...), with its options",
        )
    check_hooks(name, plugin)


def check_hooks(name: str, plugin: object) -> None:
    """Raise PluginError, with every fault of its hooks, for a plugin (object, class or module)."""
    class_ = plugin if inspect.isclass(plugin) else type(plugin)
    # Two plugins with equal options would pass for one.
    if class_.__eq__ is not object.__eq__:
        raise PluginError(
            f'plugin "{name}": {class_.__qualname__} compares by value, so two of them could not be told '
            "apart; declare it with @dataclass(eq=False)"
        )
    find = _class_faults if plugin is class_ else hook_faults
    faults = tuple(find(plugin))
    if faults:
        place = plugin.__name__ if inspect.ismodule(plugin) else place_of(class_)
        raise PluginError(f'plugin "{name}" ({place}): ' + "; ".join(faults))


def check_listener(name: str, listener: object) -> None:
    """Raise PluginError, with what is wrong, for an object or class that cannot be called as a listener."""
    class_ = listener if inspect.isclass(listener) else type(listener)
    faults = tuple(listener_faults(listener))
    if faults:
        raise PluginError(f'listener "{name}" ({place_of(class_)}): ' + "; ".join(faults))


def is_listener(class_: type) -> bool:
    """Whether a class is meant as a listener: it has a method `listen`, and no hooks."""
    return inspect.isroutine(getattr(class_, "listen", None)) and not marked_hooks(class_)


def listener_faults(listener: object) -> Iterator[str]:
    """Every way in which an object or class could not be called as a listener, as sentences."""
    if fault := api_fault(listener):
        yield fault
    elif not inspect.iscoroutinefunction(getattr(listener, "listen", None)):
        hooks_of_it = ", ".join(each.hook for each in marked_hooks(listener))
        where = f"; it has hooks ({hooks_of_it}): a plugin is used in [servers.NAME.plugins]"
        yield f'it has no "{LISTENER_FORM}"{where if hooks_of_it else ""}'
    else:
        listen = _bound(listener, "listen")
        named = inspect.signature(listen).parameters
        yield from argument_faults("listen", listen, LISTENER_ARGUMENTS)
        yield from (f'"listen" lacks the argument "{one}"' for one in LISTENER_ARGUMENTS if one not in named)


@lru_cache(maxsize=256)  # every server with the plugin asks
def _class_faults(class_: type) -> tuple[str, ...]:
    return tuple(hook_faults(class_))


def api_fault(plugin: object) -> str:
    """Why a plugin (object, class or module) cannot be used with this version of the hooks; "" if it can.

    A plugin declares its version by `api = "1"`; without a declaration it is "1".
    """
    wanted = getattr(plugin, "api", "1")
    if _is_option(plugin, "api") or not isinstance(wanted, str | int | float):
        return ""  # a word that a plugin may use for itself
    if not isinstance(wanted, str) or not wanted.isdecimal():
        return f'api = {wanted!r} is no version of the hooks: it is a whole number in quotes, such as "{API}"'
    versions = f"it was written for version {wanted} of the hook API, and hostler {__version__}"
    if int(wanted) > int(API):
        return f"{versions} has version {API}: install a newer hostler, or an older version of this plugin"
    if int(wanted) < int(OLDEST_API):
        return (
            f"{versions} supports {OLDEST_API} to {API}: "
            "install a newer version of this plugin, or an older hostler"
        )
    return ""


def _is_option(plugin: object, name: str) -> bool:
    fields = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ()
    return any(field.name == name for field in fields)
