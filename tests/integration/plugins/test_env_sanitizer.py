"""What of hostler's environment reaches a server through env-sanitizer, and what is kept back and said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostler import Launch, PluginSpec, hookimpl
from hostler.plugins.host import PluginHost
from hostler.plugins.options import build, option_problems
from hostler.testing import FakeServerContext

SECRET = "sk-0123456789abcdef"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def a_launch(host: Mapping[str, str], env: Mapping[str, str] | None = None) -> Launch:
    """A launch as the engine hands it over: a safe base, the server's own env, and hostler's to copy from."""
    here = Path()
    return Launch(
        server="web",
        generation=1,
        argv=["server"],
        cwd=here,
        env={"PATH": "/bin"} | dict(env or {}),
        host="127.0.0.1",
        port=None,
        data_dir=here,
        cache_dir=here,
        host_env={"PATH": "/bin"} | dict(host),
    )


async def sanitize(launch: Launch, **options: object) -> FakeServerContext:
    plugin: Any = build(PluginSpec("env-sanitizer", options))
    server = FakeServerContext("web")
    await plugin.pre_spawn(server, launch)
    return server


def withheld(server: FakeServerContext) -> list[object]:
    return [name for _, _, _, details in server.notices for name in details["names"]]  # type: ignore[attr-defined]


@pytest.mark.requirement("R10")
async def test_without_options_nothing_is_copied_and_the_safe_base_stays() -> None:
    launch = a_launch({"EDITOR": "vi"}, {"MODE": "fast"})
    server = await sanitize(launch)
    assert launch.env == {"PATH": "/bin", "MODE": "fast"}
    assert server.notices == []


async def test_allowed_names_and_patterns_are_copied() -> None:
    launch = a_launch({"EDITOR": "vi", "GO_FLAGS": "-v", "GO_ROOT": "/go", "OTHER": "x"})
    await sanitize(launch, allow=["EDITOR", "GO_*"])
    assert launch.env == {"PATH": "/bin", "EDITOR": "vi", "GO_FLAGS": "-v", "GO_ROOT": "/go"}


async def test_what_the_server_has_already_is_not_overwritten() -> None:
    launch = a_launch({"EDITOR": "vi"}, {"EDITOR": "nano"})
    await sanitize(launch, allow=["EDITOR"])
    assert launch.env["EDITOR"] == "nano"


async def test_the_case_of_a_name_counts() -> None:
    launch = a_launch({"http_proxy": "a", "HTTP_PROXY": "b"})
    await sanitize(launch, allow=["http_*"])
    assert "http_proxy" in launch.env
    assert "HTTP_PROXY" not in launch.env


@pytest.mark.requirement("R10")
async def test_a_secret_that_is_allowed_by_name_reaches_the_server_declared_and_masked() -> None:
    launch = a_launch({"ANTHROPIC_API_KEY": SECRET})
    server = await sanitize(launch, allow=["ANTHROPIC_API_KEY"])
    assert launch.env["ANTHROPIC_API_KEY"] == SECRET
    assert launch.allowed == {"ANTHROPIC_API_KEY"}
    assert launch.secrets == {"ANTHROPIC_API_KEY": SECRET}
    assert SECRET in server.redacted
    assert server.notices == []


async def test_a_pattern_never_brings_in_a_secret_and_this_is_said() -> None:
    launch = a_launch({"ANTHROPIC_API_KEY": SECRET, "ANTHROPIC_MODEL": "m"})
    server = await sanitize(launch, allow=["ANTHROPIC_*"])
    assert launch.env == {"PATH": "/bin", "ANTHROPIC_MODEL": "m"}
    assert withheld(server) == ["ANTHROPIC_API_KEY"]
    assert launch.allowed == set()


@pytest.mark.parametrize(
    "name",
    [
        "NODE_OPTIONS",
        "BUN_OPTIONS",
        "BUN_INSPECT_NOTIFY",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_INSERT_LIBRARIES",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "PYTHONSTARTUP",
        "PYTHONPATH",
        "BASH_ENV",
        "BASH_FUNC_ls%%",
        "ENV",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "GIT_DIR",
        "GIT_CONFIG_COUNT",
        "GIT_SSH_COMMAND",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "OPENCODE",
        "OPENCODE_PID",
        "AGENT",
    ],
)
async def test_a_variable_that_changes_programs_passes_only_by_its_full_name(name: str) -> None:
    by_pattern, set_by_hand, by_name = a_launch({name: "x"}), a_launch({}, {name: "x"}), a_launch({name: "x"})
    said = await sanitize(by_pattern, allow=["*"])
    assert name not in by_pattern.env
    assert withheld(said) == [name]

    said = await sanitize(set_by_hand)
    assert name not in set_by_hand.env
    assert withheld(said) == [name]

    if name.isidentifier():
        said = await sanitize(by_name, allow=[name])
        assert by_name.env[name] == "x"
        assert said.notices == []


async def test_ordinary_git_variables_are_not_hygiene() -> None:
    launch = a_launch({"GIT_AUTHOR_NAME": "Ada"})
    await sanitize(launch, allow=["GIT_*"])
    assert launch.env["GIT_AUTHOR_NAME"] == "Ada"


async def test_hygiene_can_be_replaced() -> None:
    launch = a_launch({}, {"NODE_OPTIONS": "--x", "MY_HOOK": "y"})
    server = await sanitize(launch, hygiene=["MY_*"])
    assert launch.env == {"PATH": "/bin", "NODE_OPTIONS": "--x"}
    assert withheld(server) == ["MY_HOOK"]


async def test_a_secret_that_a_plugin_added_is_dropped_by_name_only() -> None:
    launch = a_launch({}, {"STRIPE_SECRET": SECRET})
    server = await sanitize(launch)
    assert "STRIPE_SECRET" not in launch.env
    assert withheld(server) == ["STRIPE_SECRET"]
    topic, text, level, _ = server.notices[0]
    assert (topic, level) == ("env_withheld", "info")
    assert "STRIPE_SECRET" in text
    assert "allow" in text
    assert SECRET not in repr(server.notices)
    assert SECRET in server.redacted


async def test_a_secret_that_a_plugin_added_passes_when_its_name_is_allowed() -> None:
    launch = a_launch({}, {"STRIPE_SECRET": SECRET})
    await sanitize(launch, allow=["STRIPE_SECRET"])
    assert launch.env["STRIPE_SECRET"] == SECRET
    assert launch.secrets == {"STRIPE_SECRET": SECRET}


async def test_a_secret_that_a_launcher_set_on_purpose_stays() -> None:
    launch = a_launch({})
    launch.set_secret("OPENCODE_SERVER_PASSWORD", SECRET)
    server = await sanitize(launch)
    assert launch.env["OPENCODE_SERVER_PASSWORD"] == SECRET
    assert launch.allowed == {"OPENCODE_SERVER_PASSWORD"}
    assert server.notices == []


async def test_deny_wins_over_a_launchers_own_secret_and_this_is_a_warning() -> None:
    launch = a_launch({})
    launch.set_secret("OPENCODE_SERVER_PASSWORD", SECRET)
    server = await sanitize(launch, deny=["OPENCODE_*"])
    assert launch.env == {"PATH": "/bin"}
    assert launch.allowed == set()
    assert launch.secrets == {}
    assert SECRET in server.redacted
    assert [(topic, level, details) for topic, _, level, details in server.notices] == [
        ("env_withheld", "warning", {"names": ["OPENCODE_SERVER_PASSWORD"]})
    ]


async def test_deny_wins_over_allow_patterns_and_the_safe_base() -> None:
    launch = a_launch({"GO_ROOT": "/go", "GO_FLAGS": "-v"})
    server = await sanitize(launch, allow=["GO_*"], deny=["GO_FLAGS", "PATH"])
    assert launch.env == {"GO_ROOT": "/go"}
    assert withheld(server) == ["GO_FLAGS", "PATH"]


async def test_secrets_of_hostlers_environment_that_stay_behind_are_named_and_masked() -> None:
    launch = a_launch({"GITHUB_TOKEN": SECRET, "DB_PASSWORD": "short", "PLAIN": "long enough"})
    server = await sanitize(launch)
    assert withheld(server) == ["DB_PASSWORD", "GITHUB_TOKEN"]
    assert SECRET in server.redacted
    assert "long enough" not in server.redacted


async def test_mask_makes_other_names_secret() -> None:
    launch = a_launch({"LICENCE": SECRET, "CORP_A": SECRET + "2"}, {"CORP_B": SECRET + "3"})
    server = await sanitize(launch, allow=["LICENCE", "CORP_*"], mask=["LICENCE", "CORP_*"])
    assert launch.env == {"PATH": "/bin", "LICENCE": SECRET}
    assert launch.secrets == {"LICENCE": SECRET}
    assert withheld(server) == ["CORP_A", "CORP_B"]
    assert set(server.redacted) == {SECRET, SECRET + "2", SECRET + "3"}


async def test_a_secret_that_a_launcher_set_under_a_plain_name_is_masked() -> None:
    launch = a_launch({})
    launch.set_secret("PLAIN", SECRET)
    server = await sanitize(launch)
    assert launch.env == {"PATH": "/bin", "PLAIN": SECRET}
    assert server.redacted == [SECRET]


@pytest.mark.parametrize("option", ["allow", "deny", "hygiene", "mask"])
@pytest.mark.parametrize("word", ["", "A=B", "A B", "[A", "A]", "A\0"])
def test_what_is_no_name_and_no_pattern_is_a_problem_of_its_option(option: str, word: str) -> None:
    (problem,) = option_problems(PluginSpec("env-sanitizer", {option: ["GOOD", word]}))
    assert problem.key == option
    assert problem.message == "entry 2 is neither a variable's name nor a pattern"


@pytest.mark.parametrize(
    "options",
    [
        {"allow": ["A_KEY"], "deny": ["A_KEY"]},
        {"allow": ["A_KEY"], "deny": ["*_KEY"]},
        {"allow": ["A_*"], "deny": ["A_*"]},
    ],
)
def test_an_entry_of_allow_that_deny_makes_void_is_a_problem(options: dict[str, object]) -> None:
    (problem,) = option_problems(PluginSpec("env-sanitizer", options))
    assert problem.key == "allow"
    assert "is in deny too" in problem.message


def test_a_deny_that_narrows_a_pattern_is_none() -> None:
    options = {"allow": ["AWS_*", "[AB]_[!C]", "X?"], "deny": ["AWS_SESSION"]}
    assert option_problems(PluginSpec("env-sanitizer", options)) == []


async def test_it_comes_last_whatever_its_place_in_the_configuration() -> None:
    @dataclass(eq=False)
    class Launcher:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.env["NODE_OPTIONS"] = "--require=./evil.js"

    specs = [PluginSpec("env-sanitizer"), PluginSpec("launcher", instance=Launcher())]
    launch = a_launch({})
    await PluginHost(specs, on_failure=lambda failure: None).pre_spawn(
        FakeServerContext("web"), launch, deadline=5
    )
    assert launch.env == {"PATH": "/bin"}
