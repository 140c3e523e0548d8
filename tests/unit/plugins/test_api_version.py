"""The version of the hook API: who is refused, who is accepted, and how something is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
from hostler import Directories, PluginError, PluginSpec, ServerSpec, State, hookimpl, hooks, hookspec, option
from hostler.plugins.host import PluginHost
from hostler.plugins.options import option_problems
from hostler.plugins.signatures import api_fault
from hostler.testing import FakeChild, SimulatedHost, run_virtually


@dataclass(eq=False)
class Silent:
    @hookimpl
    async def on_ready(self) -> None: ...


def built(instance: object) -> PluginHost:
    return PluginHost([PluginSpec("mine", instance=instance)], on_failure=lambda failure: None)


def refusal(instance: object) -> str:
    with pytest.raises(PluginError) as caught:
        built(instance)
    return caught.value.message


@pytest.mark.parametrize("said", ["annotated", "plain", "nothing"])
def test_a_plugin_for_the_present_version_is_accepted(said: str) -> None:
    class Annotated(Silent):
        api: ClassVar[str] = hooks.API

    class Plain(Silent):
        api = hooks.API

    assert built({"annotated": Annotated, "plain": Plain, "nothing": Silent}[said]()).has("on_ready")


def test_a_plugin_for_a_newer_version_is_refused_and_told_what_to_do() -> None:
    class Newer(Silent):
        api = "99"

        @hookimpl
        async def on_full_moon(self) -> None: ...

    message = refusal(Newer())
    assert "written for version 99 of the hook API" in message
    assert f"has version {hooks.API}" in message
    assert "install a newer hostler, or an older version of this plugin" in message
    assert "on_full_moon" not in message


def test_a_plugin_for_a_version_that_is_no_longer_supported_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Old(Silent):
        api = "2"

    monkeypatch.setattr("hostler.plugins.signatures.API", "4")
    monkeypatch.setattr("hostler.plugins.signatures.OLDEST_API", "3")
    assert "supports 3 to 4: install a newer version of this plugin" in api_fault(Old())


@pytest.mark.parametrize("version", ["3", "4"])
def test_older_versions_are_accepted_as_long_as_they_are_supported(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.plugins.signatures.API", "4")
    monkeypatch.setattr("hostler.plugins.signatures.OLDEST_API", "3")
    assert api_fault(type("Older", (), {"api": version})) == ""


@pytest.mark.parametrize("version", [1, 1.0, "one", "1.0", "", "-1"])
def test_what_is_no_version_is_refused(version: object) -> None:
    class Odd(Silent):
        api = version

    assert f"api = {version!r} is no version of the hooks" in refusal(Odd())


def test_an_option_or_a_method_of_that_name_is_no_version() -> None:
    @dataclass(eq=False)
    class WithOption(Silent):
        api: str = option("https://example.org/v9", "where it asks")

    class WithMethod(Silent):
        def api(self) -> None: ...

    assert built(WithOption()).has("on_ready")
    assert built(WithMethod()).has("on_ready")


def test_a_configuration_that_names_a_newer_plugin_is_wrong_before_anything_starts() -> None:
    class Newer(Silent):
        api = "99"

    (problem,) = option_problems(PluginSpec("mine", instance=Newer()))
    assert "version 99 of the hook API" in problem.message


# -- what will go ------------------------------------------------------------------------------------


@pytest.fixture
def reason_will_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A future in which on_shutdown still has `reason`, and warns of it."""

    @hookspec(warn_on_impl_args={"reason": DeprecationWarning("use server.state")})
    async def on_shutdown(server: object, reason: str) -> None: ...

    monkeypatch.setattr(hooks, "on_shutdown", on_shutdown)


class Named:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    @hookimpl
    async def on_shutdown(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.usefixtures("reason_will_go")
def test_a_deprecated_argument_is_warned_of_where_it_is_named() -> None:
    with pytest.warns(DeprecationWarning, match="use server.state") as warned:
        plugins = built(Named())
    assert warned[0].filename == __file__
    (found,) = plugins.deprecations
    assert str(found) == (
        'plugin "mine" uses the argument "reason" of on_shutdown, which is deprecated: use server.state'
    )


@pytest.mark.usefixtures("reason_will_go")
def test_who_does_not_name_it_is_not_warned() -> None:
    class Modern:
        @hookimpl
        async def on_shutdown(self, server: object) -> None: ...

    assert built(Modern()).deprecations == ()


@pytest.mark.filterwarnings("ignore:use server.state")
@pytest.mark.usefixtures("reason_will_go")
def test_a_plugin_with_a_deprecated_argument_still_works_and_its_user_is_told(
    directories: Directories,
) -> None:
    plugin = Named()
    spec = ServerSpec(name="web", command=("web",), plugins=(PluginSpec("mine", instance=plugin),))
    notices: list[str] = []

    def hear(event: object) -> None:
        notices.extend([event.text] if getattr(event, "topic", "") == "deprecated" else [])  # type: ignore[attr-defined]

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = FakeChild.listen
        async with world.supervisor(spec, directories=directories) as supervisor:
            supervisor.listen(hear)
            await supervisor["web"].wait_ready(5)
        assert supervisor["web"].state is State.STOPPED

    run_virtually(main)
    assert len(plugin.reasons) == 1
    assert notices == [
        'plugin "mine" uses the argument "reason" of on_shutdown, which is deprecated: use server.state'
    ]


def test_a_hook_that_will_go_as_a_whole_is_warned_of_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @hookspec(warn_on_impl=DeprecationWarning("use health_check"))
    async def on_ready(server: object, endpoint: object) -> None: ...

    monkeypatch.setattr(hooks, "on_ready", on_ready)

    with pytest.warns(DeprecationWarning, match="use health_check"):
        plugins = built(Silent())

    assert (
        str(plugins.deprecations[0])
        == 'plugin "mine" uses the hook on_ready, which is deprecated: use health_check'
    )
