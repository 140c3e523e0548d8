"""Options with references are filled in before each spawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hosted_plugins import host_plugins
from hostler import (
    PluginError,
    PluginSpec,
    hookimpl,
)
from hostler.plugins.host import PluginHost


@dataclass(eq=False)
class Templated:
    url: str = "none"
    words: list[str] = field(default_factory=list)
    table: dict[str, str] = field(default_factory=dict)
    plain: str = "plain"
    number: int = 1
    mixed: list[Any] = field(default_factory=list)
    length: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if "refused" in self.url:
            raise ValueError("refused")
        self.length = len(self.url)

    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass(eq=False, frozen=True)
class Frozen:
    url: str = ""

    @hookimpl
    async def on_ready(self) -> None: ...


def templated(class_: type = Templated, **options: object) -> tuple[PluginHost, Any]:
    spec = PluginSpec("t", options, use=f"{__name__}:{class_.__name__}")
    plugins = PluginHost([spec], on_failure=lambda failure: None)
    return plugins, plugins.plugins["t"]


def filler(port: int) -> Callable[[str], str]:
    return lambda text: text.replace("${server.port}", str(port)).replace("$$", "$")


def test_options_with_references_are_filled_in_anew_before_each_spawn() -> None:
    plugins, plugin = templated(
        url="http://h:${server.port}/",
        words=["a", "p=${server.port}"],
        table={"x": "${server.port}", "y": "$$5"},
        number=5,
        mixed=[1, "${server.port}"],
        plain="as it is",
    )

    for port in (8080, 9):
        plugins.expand(filler(port))
        assert plugin.url == f"http://h:{port}/"
        assert plugin.words == ["a", f"p={port}"]
        assert plugin.table == {"x": str(port), "y": "$5"}
        assert plugin.mixed == [1, str(port)]
        assert plugin.length == len(plugin.url), "what __post_init__ derives follows"

    assert (plugin.number, plugin.plain) == (5, "as it is")


def test_what_does_not_change_is_left_alone() -> None:
    plugins, plugin = templated(url="ends with $", table={"y": "$"}, words=["$", "x"])
    plugin.length = -1
    plugins.expand(filler(1))
    assert plugin.length == -1


def test_a_filled_option_that_the_plugin_refuses_is_told() -> None:
    plugins, _ = templated(url="${word}")
    for _ in range(2):
        with pytest.raises(PluginError, match=r'plugin "t" refuses what was filled into url: ValueError'):
            plugins.expand(lambda text: "refused")


def test_an_option_that_cannot_be_set_is_told() -> None:
    plugins, _ = templated(Frozen, url="${server.port}")
    with pytest.raises(PluginError, match="FrozenInstanceError"):
        plugins.expand(filler(1))


def test_a_reference_that_nobody_knows_is_the_callers_error() -> None:
    plugins, _ = templated(url="${nobody}")

    def unknown(text: str) -> str:
        raise LookupError(text)

    with pytest.raises(LookupError):
        plugins.expand(unknown)


def test_a_ready_made_object_is_not_filled_in() -> None:
    plugin = Templated(url="${server.port}")
    host_plugins(t=plugin).plugins.expand(filler(1))
    assert plugin.url == "${server.port}"
