"""The form of a plugin's hooks is checked before anything is called."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest
from hostler import (
    Advice,
    Endpoint,
    Healthy,
    Launch,
    PluginError,
    PluginSpec,
    Report,
    ServerView,
    hookimpl,
    hooks,
)
from hostler.plugins.host import PluginHost
from hostler.plugins.options import option_problems
from hostler.plugins.signatures import FORMS


def plugin_set(*instances: object) -> PluginHost:
    specs = [PluginSpec(f"p{number}", instance=instance) for number, instance in enumerate(instances)]
    return PluginHost(specs, on_failure=lambda failure: None)


def refusal(instance: object) -> str:
    with pytest.raises(PluginError) as caught:
        plugin_set(instance)
    return str(caught.value)


class Good:
    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None: ...

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None: ...

    @hookimpl
    async def health_check(self, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]:
        yield Healthy()

    @hookimpl
    async def on_ready(self) -> None: ...

    @hookimpl
    async def on_crash(self, exit: object) -> Advice | None: ...

    @hookimpl
    async def on_shutdown(self, server: ServerView, reason: str, extra: int = 1) -> None: ...


def test_every_hook_specification_has_a_form_and_a_plugin_can_have_all_of_them() -> None:
    specified = {name for name, value in vars(hooks).items() if hasattr(value, "hostler_spec")}
    assert set(FORMS) == specified
    plugins = plugin_set(Good())
    assert all(plugins.has(hook) for hook in FORMS)


def test_a_coroutine_function_is_specified_where_one_is_wanted() -> None:
    for hook, form in FORMS.items():
        assert inspect.iscoroutinefunction(getattr(hooks, hook)) == (form == "async def")


def test_a_plain_function_for_an_async_hook_is_refused() -> None:
    class Wrong:
        @hookimpl
        def on_ready(self) -> None: ...

    message = refusal(Wrong())
    assert 'plugin "p0"' in message
    assert "Wrong" in message
    assert 'hook "on_ready" is "def" and must be "async def"' in message


def test_an_async_function_for_a_plain_hook_is_refused() -> None:
    class Wrong:
        @hookimpl
        async def parse_port(self, line: str) -> None: ...

    assert 'hook "parse_port" is "async def" and must be "def"' in refusal(Wrong())


@pytest.mark.parametrize("form", ["async def", "def", "def with yield"])
def test_a_health_check_must_be_an_async_generator(form: str) -> None:
    class Coroutine:
        @hookimpl
        async def health_check(self) -> None: ...

    class Function:
        @hookimpl
        def health_check(self) -> None: ...

    class Generator:
        @hookimpl
        def health_check(self) -> Iterator[int]:
            yield 1

    wrong = {"async def": Coroutine, "def": Function, "def with yield": Generator}[form]
    assert f'hook "health_check" is "{form}" and must be "async def with yield"' in refusal(wrong())


def test_a_generator_for_an_async_hook_is_refused() -> None:
    class Wrong:
        @hookimpl
        async def pre_spawn(self) -> AsyncGenerator[None, None]:
            yield

    assert 'hook "pre_spawn" is "async def with yield" and must be "async def"' in refusal(Wrong())


def test_a_misspelt_hook_is_told_with_the_likely_word() -> None:
    class Misspelt:
        @hookimpl
        async def on_raedy(self) -> None: ...

    message = refusal(Misspelt())
    assert 'plugin "p0"' in message
    assert 'there is no hook "on_raedy"; did you mean "on_ready"?' in message


def test_a_hook_like_no_other_is_told_with_all_of_them() -> None:
    class Unknown:
        @hookimpl(specname="zzz")
        async def on_ready(self) -> None: ...

    assert 'there is no hook "zzz"; there are pre_spawn, parse_port' in refusal(Unknown())


def test_a_hook_of_a_later_hostler_may_be_marked_optional() -> None:
    class Ahead:
        @hookimpl(optionalhook=True)
        async def on_full_moon(self) -> None: ...

        @hookimpl
        async def on_ready(self) -> None: ...

    assert plugin_set(Ahead()).has("on_ready")


def test_a_hook_may_have_another_name_than_its_method() -> None:
    class Renamed:
        @hookimpl(specname="on_ready")
        async def say_hello(self) -> None: ...

    assert plugin_set(Renamed()).has("on_ready")


def test_a_hook_that_is_implemented_twice_is_refused() -> None:
    class Twice:
        @hookimpl(specname="on_ready")
        async def one(self) -> None: ...

        @hookimpl(specname="on_ready")
        async def two(self) -> None: ...

    assert 'hook "on_ready" is implemented 2 times' in refusal(Twice())


def test_a_method_named_like_a_hook_but_not_marked_is_told() -> None:
    class Forgotten:
        @hookimpl
        async def on_ready(self) -> None: ...

        async def on_crash(self) -> None: ...

    assert '"on_crash" is not marked with @hookimpl' in refusal(Forgotten())


def test_wrappers_are_refused() -> None:
    class New:
        @hookimpl(wrapper=True)
        def parse_port(self) -> Iterator[None]:
            yield

    class Old:
        @hookimpl(hookwrapper=True)
        def parse_port(self) -> Iterator[None]:
            yield

    for wrapper in (New(), Old()):
        assert 'hook "parse_port" is a wrapper' in refusal(wrapper)


def test_an_unknown_argument_is_told_with_the_likely_word() -> None:
    class Wrong:
        @hookimpl
        async def on_ready(self, sever: ServerView) -> None: ...

    assert 'hook "on_ready" has an unknown argument "sever"; did you mean "server"?' in refusal(Wrong())


def test_an_argument_like_no_other_is_told_with_all_of_them() -> None:
    class Wrong:
        @hookimpl
        async def on_ready(self, zzz: int) -> None: ...

    assert 'unknown argument "zzz"; it may have server, endpoint' in refusal(Wrong())


def test_arguments_must_be_named_one_by_one() -> None:
    class Stars:
        @hookimpl
        async def on_ready(self, *args: object, **more: object) -> None: ...

    message = refusal(Stars())
    assert 'must name its arguments, not take "*args' in message
    assert 'not take "**more' in message


def test_a_method_without_self_is_told() -> None:
    class Nothing:
        @hookimpl
        async def on_ready() -> None: ...  # type: ignore[misc]

    class Server:
        @hookimpl
        async def on_ready(server) -> None: ...  # noqa: N805

    for wrong in (Nothing(), Server()):
        assert 'hook "on_ready" lacks "self"' in refusal(wrong)


def test_all_faults_of_a_plugin_are_told_at_once() -> None:
    class Wrong:
        @hookimpl
        def on_ready(self, sever: ServerView) -> None: ...

        @hookimpl
        async def on_chrash(self) -> None: ...

    message = refusal(Wrong())
    assert all(part in message for part in ('"def" and must be', '"sever"', '"on_chrash"'))


@dataclass(eq=False)
class Malformed:
    @hookimpl
    def on_ready(self, server: ServerView, endpoint: Endpoint) -> None: ...


def test_a_malformed_hook_is_found_when_the_configuration_is_checked() -> None:
    problem = option_problems(PluginSpec("mine", use=f"{__name__}:Malformed"))[0]
    assert 'is "def" and must be "async def"' in problem.message
    assert "self" not in problem.message


def test_modules_functions_on_objects_and_static_methods_can_be_plugins() -> None:
    heard = []

    @hookimpl
    async def on_ready(endpoint: Endpoint | None) -> None:
        heard.append("function")

    class Static:
        @staticmethod
        @hookimpl
        async def on_ready() -> None:
            heard.append("static")

        @classmethod
        @hookimpl
        async def on_shutdown(cls, reason: str) -> None:
            heard.append("class")

    module = ModuleType("mine")
    module.on_ready = on_ready  # type: ignore[attr-defined]
    holder = type("Holder", (), {})()
    holder.on_ready = on_ready
    plugins = plugin_set(module, holder, Static())

    async def call() -> None:
        await plugins.on_ready(None, None)  # type: ignore[arg-type]
        await plugins.on_shutdown(None, "")  # type: ignore[arg-type]

    asyncio.run(call())
    assert heard == ["function", "function", "static", "class"]


def test_a_module_with_a_malformed_hook_is_named() -> None:
    @hookimpl
    def on_ready() -> None: ...

    module = ModuleType("mine")
    module.on_ready = on_ready  # type: ignore[attr-defined]
    assert 'plugin "p0" (mine)' in refusal(module)


def test_one_object_twice_and_one_name_twice_are_refused() -> None:
    good = Good()
    with pytest.raises(PluginError, match='"p0" and "p1" are the same object'):
        plugin_set(good, good)
    specs = [PluginSpec("same", instance=Good()), PluginSpec("same", instance=Good())]
    with pytest.raises(PluginError, match='"same" is named twice'):
        PluginHost(specs, on_failure=lambda failure: None)
