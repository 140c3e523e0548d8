"""A plugin's TOML table becomes its fields, or every mistake in it is told."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hostler import Duration, PluginError, PluginSpec, Problem, Size, hookimpl, option
from hostler.plugins.describe import describe
from hostler.plugins.options import build, option_problems

if TYPE_CHECKING:
    from decimal import Decimal

HERE = "test_plugins_options"


class Mode(Enum):
    FAST = "fast"
    SAFE = "safe"


SIZE = 'expected a size with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as "10 MiB"'
HOME = "expected a home directory that exists"


@dataclass(eq=False)
class Probe:
    """Asks now and then.

    A second paragraph.
    """

    path: str
    interval: Duration = option(Duration(1.5), "how often it asks")
    limit: Size | None = option(None, "how much it reads")
    tries: int = 3
    ratio: float = 0.5
    strict: bool = False
    words: list[str] = option(["a"], "what it looks for")
    table: dict[str, int] = field(default_factory=dict)
    kind: Literal["http", "tcp"] = "http"
    mode: Mode = Mode.FAST
    file: Path = Path("probe.log")
    seen: list[str] = field(init=False, default_factory=list)
    later: Decimal | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise ValueError("tries: must be 1 or more")
        if self.path == "/bad":
            raise ValueError("/bad is a bad path")
        if self.path == "/worse":
            raise KeyError("worse")

    @hookimpl
    async def on_ready(self) -> None: ...


WORSE = inspect.getsourcelines(Probe)[1] + inspect.getsource(Probe).partition("raise KeyError")[0].count("\n")


def spec_of(class_: type, **options: object) -> PluginSpec:
    """A spec that finds a class of this file the way a user's is found."""
    return PluginSpec("probe", options, use=f"{class_.__module__}:{class_.__qualname__}")


def problems_of(class_: type, **options: object) -> list[Problem]:
    return option_problems(spec_of(class_, **options))


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1
    return problems[0]


def test_options_become_fields_with_their_types() -> None:
    plugin: Any = build(
        spec_of(
            Probe,
            path="/event",
            interval="250ms",
            limit="64 KiB",
            tries=5,
            ratio=1,
            strict=True,
            words=["x", "y"],
            table={"a": 1},
            kind="tcp",
            mode="safe",
            file="logs/p.log",
        )
    )
    assert (plugin.path, plugin.tries, plugin.ratio, plugin.strict) == ("/event", 5, 1.0, True)
    assert isinstance(plugin.interval, Duration)
    assert plugin.interval == 0.25
    assert plugin.limit == 65536
    assert (plugin.words, plugin.table) == (["x", "y"], {"a": 1})
    assert (plugin.kind, plugin.mode, plugin.file) == ("tcp", Mode.SAFE, Path("logs/p.log"))


def test_what_is_not_given_has_its_default_and_is_not_shared() -> None:
    one, two = (vars(build(spec_of(Probe, path="/"))) for _ in range(2))
    assert one["interval"] == 1.5
    assert one["words"] == ["a"]
    assert one["words"] is not two["words"]


@pytest.mark.parametrize(
    ("options", "key", "message"),
    [
        (
            {"interval": 5},
            "interval",
            'expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s", found 5',
        ),
        (
            {"interval": "5"},
            "interval",
            'expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s", found "5"',
        ),
        (
            {"interval": True},
            "interval",
            'expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s", found true',
        ),
        (
            {"limit": 10},
            "limit",
            'expected a size with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as "10 MiB", found 10',
        ),
        ({"tries": "5"}, "tries", "expected a whole number (write it without quotes), found a string"),
        ({"tries": True}, "tries", "expected a whole number, found true"),
        ({"strict": 1}, "strict", "expected true or false, found 1"),
        ({"path": 5}, "path", 'expected a string (write "5"), found 5'),
        ({"words": "a"}, "words", 'expected a list, such as ["..."], found a string'),
        ({"words": ["a", 1]}, "words[1]", "expected a string, found a whole number"),
        ({"file": 3}, "file", "expected a path, found 3"),
        ({"tries": 0}, "tries", "must be 1 or more"),
        ({"path": "/bad"}, "", "/bad is a bad path"),
        ({"path": "/worse"}, "", f"{__file__}: line {WORSE}: KeyError('worse')"),
        ({"limit": "10 MBit"}, "limit", f'{SIZE}, found "10 MBit"'),
        ({"ratio": float("nan")}, "ratio", "expected a number that is one, found nan"),
        ({"ratio": float("inf")}, "ratio", "expected a number that is one, found inf"),
        ({"table": {"a": "b"}}, "table[...]", "expected a whole number, found a string"),
        ({"file": "~no-such-user-at-all/x"}, "file", f'{HOME}, found "~no-such-user-at-all/x"'),
    ],
)
def test_a_wrong_value_is_a_problem_of_its_key(options: dict[str, object], key: str, message: str) -> None:
    problem = only(problems_of(Probe, **({"path": "/"} | options)))
    assert (problem.key, problem.message) == (key, message)


@pytest.mark.parametrize(
    ("options", "choices"),
    [({"kind": "htp"}, '"http", "tcp", found "htp"'), ({"mode": "fats"}, '"fast", "safe", found "fats"')],
)
def test_a_word_that_is_no_choice_is_told_with_the_choices(options: dict[str, object], choices: str) -> None:
    problem = only(problems_of(Probe, path="/", **options))
    assert problem.message == f"expected one of {choices}"
    assert problem.proposal in {"http", "fast"}
    assert only(problems_of(Probe, path="/", kind=3)).proposal == ""


def test_an_unknown_option_is_told_with_the_likely_word() -> None:
    assert problems_of(Probe, path="/", intervall="1s") == [
        Problem("intervall", "unknown option", proposal="interval")
    ]


def test_an_unknown_option_like_no_other_is_told_with_all_of_them() -> None:
    assert "path, interval, limit" in only(problems_of(Probe, path="/", zzz=1)).message
    assert "there are: none" in only(problems_of(Bare, zzz=1)).message


def test_run_state_is_no_option() -> None:
    problem = only(problems_of(Probe, path="/", seen=["x"]))
    assert (problem.key, problem.message.partition(";")[0]) == ("seen", "unknown option")


def test_a_required_option_that_is_missing_is_told() -> None:
    assert problems_of(Probe) == [Problem("path", "this option is required")]


def test_all_problems_of_a_table_are_told_at_once() -> None:
    found = problems_of(Probe, tries="x", interval=3, patth="/", words=[1])
    assert {problem.key for problem in found} == {"tries", "interval", "patth", "words[0]"}


def test_building_with_wrong_options_names_the_plugin_and_every_problem() -> None:
    with pytest.raises(PluginError) as caught:
        build(spec_of(Probe, tries="x", interval=3))
    assert 'plugin "probe"' in str(caught.value)
    assert "tries: expected a whole number" in str(caught.value)
    assert "path: this option is required" in str(caught.value)


def test_right_options_have_no_problems() -> None:
    assert problems_of(Probe, path="/") == []


def test_a_text_that_may_be_a_secret_is_never_shown() -> None:
    found = problems_of(
        Probe, path="/", tries="hunter2-secret", strict="hunter2-secret", words="hunter2-secret"
    )
    assert len(found) == 3
    assert "hunter2" not in " ".join(str(problem) for problem in found)


class Plain:
    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass
class ByValue:
    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass(eq=False)
class Hookless:
    def helper(self) -> None: ...


@dataclass(eq=False)
class Bare:
    @hookimpl
    async def on_ready(self) -> None: ...


class Inherited(Bare):
    pass


@dataclass(eq=False)
class Unevaluable:
    when: Decimal | None = None

    @hookimpl
    async def on_ready(self) -> None: ...


@dataclass(eq=False)
class Unconvertible:
    when: Duration | bool = False

    @hookimpl
    async def on_ready(self) -> None: ...


@pytest.mark.parametrize(
    ("class_", "words"),
    [
        (Plain, "Plain is no dataclass; declare it with @dataclass(eq=False)"),
        (ByValue, "declare it with @dataclass(eq=False)"),
        (Hookless, "it has no hook: mark a method with @hookimpl (pre_spawn, parse_port"),
    ],
)
def test_a_malformed_class_is_a_problem_of_the_plugin(class_: type, words: str) -> None:
    problem = only(problems_of(class_))
    assert problem.key == ""
    assert words in problem.message
    with pytest.raises(PluginError):
        build(spec_of(class_))


@pytest.mark.parametrize(
    ("class_", "words"), [(Unevaluable, "TYPE_CHECKING"), (Unconvertible, "cannot be an option")]
)
def test_an_option_whose_type_cannot_be_used_is_told(class_: type, words: str) -> None:
    assert words in only(problems_of(class_, when="1s")).message


def test_a_subclass_of_a_plugin_is_a_plugin() -> None:
    assert isinstance(build(spec_of(Inherited)), Inherited)


def test_a_ready_made_object_is_taken_as_it_is() -> None:
    plugin = Plain()
    assert build(PluginSpec("probe", instance=plugin)) is plugin
    assert option_problems(PluginSpec("probe", instance=plugin)) == []


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        (Bare, "is the class Bare, not an object of it"),
        (ByValue(), "compares by value"),
        (Hookless(), "it has no hook"),
    ],
)
def test_a_ready_made_object_must_be_one_that_can_be_called(instance: object, words: str) -> None:
    with pytest.raises(PluginError, match=words):
        build(PluginSpec("probe", instance=instance))
    assert words in only(option_problems(PluginSpec("probe", instance=instance))).message


def test_an_installed_plugin_is_described_by_its_class() -> None:
    found = describe(PluginSpec("env-sanitizer"))
    names = [entry.name for entry in found.options]
    assert (found.name, found.hooks, names) == (
        "env-sanitizer",
        ("pre_spawn",),
        ["allow", "deny", "hygiene", "mask"],
    )
    assert found.version
    assert found.summary.startswith("Keeps secrets")
    assert found.options[0].type == "list[str]"
    assert found.options[0].default == "[]"
    assert "copy" in found.options[0].meaning


def test_a_number_without_its_unit_is_told_with_the_likely_one() -> None:
    assert only(problems_of(Probe, path="/", interval=5)).proposal == "5s"
    assert only(problems_of(Probe, path="/", limit=5)).proposal == ""
    assert only(problems_of(Probe, path="/", interval="5")).proposal == "5s"


def test_the_home_folder_stands_in_a_path_where_its_sign_was_written() -> None:
    assert vars(build(spec_of(Probe, path="/", file="~/x")))["file"] == Path.home() / "x"
