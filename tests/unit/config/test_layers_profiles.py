"""Profiles: chosen tables that are laid over the files; and the one order of precedence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.dump import dump
from hostler.config.load import from_dict, load
from hostler.errors import InvalidConfiguration
from hostler.model.spec import Configuration

Write = Callable[[str, str], Path]

FILE = """\
[servers.web]
command = ["x"]
startup_timeout = "10s"
env = { A = "file", B = "file" }

[servers.web.plugins]
first = { use = "plugin.py:Launcher", pattern = "p" }
second = { use = "plugin.py:Watcher" }

[profiles.ci.servers.web]
startup_timeout = "20s"
env = { B = "ci" }
plugins = { second = false, first = { count = 2 } }

[profiles.fast.servers.web]
startup_timeout = "1s"
plugins = { first = false, second = true }

[profiles.more.servers.extra]
command = ["y"]
"""


def mistakes(call: Callable[[], Configuration]) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        call()
    return [str(problem) for problem in caught.value.problems]


def test_without_being_chosen_a_profile_changes_nothing(write: Write) -> None:
    web = load(write("a.toml", FILE)).servers["web"]
    assert (web.startup_timeout, web.env) == (10.0, {"A": "file", "B": "file"})
    assert [plugin.name for plugin in web.plugins] == ["first", "second"]


def test_a_profile_merges_as_a_file_does_that_comes_last(write: Write) -> None:
    web = load(write("a.toml", FILE), profiles=["ci"]).servers["web"]
    assert (web.startup_timeout, web.env) == (20.0, {"A": "file", "B": "ci"})
    assert [(plugin.name, plugin.options) for plugin in web.plugins] == [
        ("first", {"pattern": "p", "count": 2})
    ]


def test_of_several_profiles_the_last_one_wins(write: Write) -> None:
    file = write("a.toml", FILE)
    one = load(file, profiles=("ci", "fast")).servers["web"]
    other = load(file, profiles=("fast", "ci")).servers["web"]
    assert (one.startup_timeout, other.startup_timeout) == (1.0, 20.0)
    assert [plugin.name for plugin in one.plugins] == ["second"]
    assert [plugin.name for plugin in other.plugins] == ["first"]
    assert one.env["B"] == "ci"


def test_a_profile_may_bring_a_server_of_its_own(write: Write) -> None:
    file = write("a.toml", FILE)
    assert list(load(file).servers) == ["web"]
    assert list(load(file, profiles="more").servers) == ["web", "extra"]


def test_profiles_of_extended_files_merge_with_those_of_the_file(write: Write) -> None:
    write("base.toml", FILE)
    file = write("a.toml", 'extends = ["base.toml"]\n[profiles.ci.servers.web]\nport = 7000\n')
    web = load(file, profiles=["ci"]).servers["web"]
    assert (web.port, web.startup_timeout) == (7000, 20.0)


def test_a_path_in_a_profile_is_seen_from_its_file(write: Write, tmp_path: Path) -> None:
    write("deep/base.toml", "[profiles.ci.servers.web]\ncwd = 'here'\n")
    file = write("a.toml", 'extends = ["deep/base.toml"]\n[servers.web]\ncommand = ["x"]\n')
    assert load(file, profiles=["ci"]).servers["web"].cwd == tmp_path / "deep" / "here"


def test_a_mapping_has_profiles_too(tmp_path: Path) -> None:
    table = {"servers": {"a": {"command": ["x"]}}, "profiles": {"p": {"servers": {"a": {"port": 9}}}}}
    assert from_dict(table, base=tmp_path, profiles=["p"]).servers["a"].port == 9
    assert mistakes(lambda: from_dict(table, base=tmp_path, profiles=["q"])) == [
        'profiles: there is no profile "q"; there are: p'
    ]


def test_what_is_written_back_holds_the_profile_and_no_profiles(write: Write) -> None:
    configuration = load(write("a.toml", FILE), profiles=["ci"])
    text = dump(configuration)
    assert "profiles" not in text
    assert load(write("b.toml", text)).servers == configuration.servers


# -- mistakes ------------------------------------------------------------------------------------


def test_an_unknown_profile_is_told_with_those_there_are_and_a_proposal(write: Write) -> None:
    file = write("a.toml", FILE)
    assert mistakes(lambda: load(file, profiles=["fats", "cj"])) == [
        'a.toml: profiles: there is no profile "fats"; there are: ci, fast, more; did you mean "fast"?',
        'a.toml: profiles: there is no profile "cj"; there are: ci, fast, more',
    ]
    bare = write("b.toml", "[servers.a]\ncommand = ['x']\n")
    assert mistakes(lambda: load(bare, profiles=["ci"])) == [
        'b.toml: profiles: there is no profile "ci"; there are no profiles'
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("profiles = 5", "a.toml:1: profiles: expected a table of profiles, [profiles.NAME], found 5"),
        (
            "profiles.ci = 5",
            (
                "a.toml:1: profiles.ci: expected a table of servers, templates, defaults, listeners and "
                "control, found 5"
            ),
        ),
        ("[profiles.ci.server.web]", 'a.toml:1: profiles.ci.server: unknown key; did you mean "servers"?'),
        (
            "[profiles.ci]\nextends = []",
            (
                "a.toml:2: profiles.ci.extends: unknown key; it belongs to the top of the file, "
                "above the first [table]"
            ),
        ),
        (
            "[profiles.ci.servers.web]\nprot = 1",
            'a.toml:2: profiles.ci.servers.web.prot: unknown key; did you mean "port"?',
        ),
        (
            "[profiles.ci.servers.web.restart]\npolice = 1",
            'a.toml:2: profiles.ci.servers.web.restart.police: unknown key; did you mean "policy"?',
        ),
        (
            "[profiles.ci.templates.t]\nparameter = {}",
            'a.toml:2: profiles.ci.templates.t.parameter: unknown key; did you mean "parameters"?',
        ),
    ],
)
@pytest.mark.parametrize("profiles", [(), ("ci",)], ids=["not chosen", "chosen"])
def test_a_misspelt_key_is_told_once_whether_the_profile_is_chosen_or_not(
    write: Write, text: str, message: str, profiles: tuple[str, ...]
) -> None:
    file = write("a.toml", f"{text}\n[servers.web]\ncommand = ['x']\n")
    told = mistakes(lambda: load(file, profiles=profiles))
    assert [one for one in told if "there is no profile" not in one] == [message]


def test_a_wrong_value_is_told_at_its_line_in_the_profile_once_it_is_chosen(write: Write) -> None:
    file = write("a.toml", "[servers.web]\ncommand = ['x']\n[profiles.ci.servers.web]\nport = 'x'\n")
    assert load(file).servers["web"].port == 0
    (told,) = mistakes(lambda: load(file, profiles=["ci"]))
    assert told.startswith("a.toml:4: servers.web.port: expected a whole number")


def test_a_misspelt_server_is_told_before_its_profile_is_chosen(write: Write) -> None:
    path = write(
        "a.toml", FILE + "[profiles.x.servers.wbe]\nport = 1\n[profiles.y.servers.extra]\nport = 2\n"
    )

    assert mistakes(lambda: load(path, environ={})) == [
        'a.toml:21: servers.wbe: there is no server "wbe" to change; did you mean "web"?'
    ]


def test_a_misspelt_server_in_a_chosen_profile_is_no_new_server(write: Write) -> None:
    file = write("a.toml", "[servers.web]\ncommand = ['x']\n[profiles.ci.servers.wbe]\nport = 1\n")
    assert mistakes(lambda: load(file, profiles=["ci"])) == [
        'a.toml:3: servers.wbe: there is no server "wbe" to change; did you mean "web"?'
    ]


# -- the order of precedence -----------------------------------------------------------------------

STEPS = {
    "template": "[templates.t]\nstartup_timeout = '1s'\n",
    "first extended file": "[servers.web]\nstartup_timeout = '2s'\n",
    "second extended file": "[servers.web]\nstartup_timeout = '3s'\n",
    "file": "[servers.web]\nstartup_timeout = '4s'\n",
    "first profile": "[profiles.one.servers.web]\nstartup_timeout = '5s'\n",
    "second profile": "[profiles.two.servers.web]\nstartup_timeout = '6s'\n",
}


@pytest.mark.parametrize("number", range(len(STEPS) + 1))
def test_each_step_of_the_law_of_precedence_wins_over_all_before_it(write: Write, number: int) -> None:
    """template < extended files in order < the file < profiles in order < settings."""
    names = list(STEPS)[: number + 1]

    def text(name: str) -> str:
        return STEPS[name] if name in names else ""

    write("first.toml", text("first extended file"))
    write("second.toml", text("second extended file"))
    base = "extends = ['first.toml', 'second.toml']\n[servers.web]\ntemplate = 't'\ncommand = ['x']\n"
    file = text("file").removeprefix("[servers.web]\n")
    profiles = text("first profile") + text("second profile")
    write("a.toml", base + file + profiles + STEPS["template"])
    chosen = [name for name in ("one", "two") if f"profiles.{name}." in profiles]
    settings = {"servers.web.startup_timeout": "7s"} if number == len(STEPS) else {}
    web = load("a.toml", profiles=chosen, settings=settings).servers["web"]
    assert web.startup_timeout == number + 1


def test_the_page_tells_the_law_of_precedence_on_one_line() -> None:
    page = Path(__file__).parents[3] / "docs" / "configuration.md"
    law = "template < extended files in order < the file < profiles in the given order < `--set`"
    assert [line for line in page.read_text().splitlines() if law in line] != []


def test_a_template_changed_by_a_profile_still_loses_to_the_servers_own_table(write: Write) -> None:
    file = write(
        "a.toml",
        """
        [templates.t]
        command = ["x"]
        port = 1
        scheme = "one"
        [servers.web]
        template = "t"
        port = 2
        [profiles.p.templates.t]
        port = 3
        scheme = "three"
        """,
    )
    web = load(file, profiles=["p"]).servers["web"]
    assert (web.port, web.scheme) == (2, "three")
