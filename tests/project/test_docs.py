"""What the documentation says is there, and what is there is in the documentation."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import hostler
import key_tables
import notice_topics
import plugin_page
import pytest
from hostler import InvalidConfiguration, PluginSpec, ServerSpec, from_dict
from hostler.cli.commands import group
from hostler.model.schema.control_keys import CONTROL_KEYS
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS
from hostler.model.states import MOVES
from hostler.plugins.describe import describe
from hostler.plugins.discovery import installed
from hostler.plugins.signatures import FORMS

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
BENCHMARKS = ROOT / "benchmarks" / "README.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
ALL = "\n".join(page.read_text() for page in PAGES)
LINK = re.compile(r"\[[^\]]*\]\((?!https?://|mailto:)([^)\s]+)\)")
ENVIRON = {"HOME": "/home/me", "PWD": "/home/me/code", "ANTHROPIC_API_KEY": "x"}


def blocks(kind: str) -> Iterator[tuple[str, str]]:
    """Each fenced block of a kind, with the page and line where it stands."""
    for page in PAGES:
        text = page.read_text()
        for found in re.finditer(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            yield f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found[1]


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("hook", FORMS)
def test_every_hook_is_named(hook: str) -> None:
    assert re.search(rf"\b{hook}\b", ALL)


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_and_its_options_are_named(name: str) -> None:
    assert f"hostler {name}" in ALL
    command = group.get_command(click.Context(group), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.opts[0] in ALL, parameter.opts


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", [name for name in installed() if name in plugin_page.BUNDLED])
def test_every_bundled_plugin_and_its_options_are_named(name: str) -> None:
    assert f"`{name}`" in (ROOT / "README.md").read_text()
    section = plugin_page.PAGE.read_text().partition(f"## {name}\n")[2].partition("\n## ")[0]
    assert section
    assert [
        one.name for one in describe(PluginSpec(name)).options if f"| `{one.name}` |" not in section
    ] == []


@pytest.mark.requirement("R44")
@pytest.mark.parametrize("name", plugin_page.LISTENERS)
def test_every_bundled_listener_is_named(name: str) -> None:
    assert f"`{name}`" in (ROOT / "README.md").read_text()


def test_the_page_of_the_plugins_is_up_to_date() -> None:
    assert plugin_page.PAGE.read_text() == plugin_page.page(), "run python tests/support/plugin_page.py"


def test_every_bundled_plugin_has_its_page() -> None:
    own = [name for name in installed() if describe(PluginSpec(name)).version == hostler.__version__]
    assert set(own) == set(plugin_page.BUNDLED)


@pytest.mark.requirement("R44")
def test_every_key_of_a_server_is_in_the_page_of_the_configuration() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", CONFIGURATION.read_text(), re.MULTILINE)
    keys = [
        field.name
        for field in fields(ServerSpec)
        if field.name not in {"name", "secrets", "unset", "environ", "template"}
    ]
    assert sorted(rows) == sorted([*keys, *RESTART_KEYS, *CONTROL_KEYS])
    assert set(SERVER_KEYS) <= set(rows)


def test_the_tables_of_keys_are_up_to_date() -> None:
    text = key_tables.PAGE.read_text()
    assert text == key_tables.page(text), "run python tests/support/key_tables.py"


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(("place", "text"), list(blocks("toml")), ids=[place for place, _ in blocks("toml")])
def test_every_toml_block_loads(place: str, text: str, tmp_path: Path) -> None:
    table = tomllib.loads(text)
    if not table.get("servers"):
        return  # a part of another file, or pyproject.toml

    (tmp_path / "base.toml").touch()
    lend_plugins(tmp_path)

    for server in table["servers"].values():
        server.setdefault("command", ["true"])
        server.get("plugins", {}).pop("mine", None)

    try:
        from_dict(table, base=tmp_path, environ=ENVIRON)
    except InvalidConfiguration as error:
        pytest.fail(f"{place}: {error}")


def lend_plugins(folder: Path) -> None:
    """Write the plugins that the pages show into the files in which they say that they are."""
    (folder / "plugins").mkdir()
    for _, text in blocks("python"):
        if named := re.match(r"# (\w+\.py)\n", text):
            (folder / named[1]).write_text(text)
            (folder / "plugins" / named[1]).write_text(text)


@pytest.mark.requirement("R44")
@pytest.mark.parametrize(
    "page", [*PAGES, *([BENCHMARKS] if BENCHMARKS.exists() else [])], ids=lambda page: page.name
)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_topic_of_a_notice_is_on_the_page_of_events() -> None:
    core, plugins = notice_topics.emitted(notice_topics.CORE, notice_topics.PLUGINS)
    assert core == set(notice_topics.OF_THE_CORE)
    assert plugins == set(notice_topics.OF_PLUGINS)


def test_every_module_and_test_named_on_the_page_of_the_architecture_exists() -> None:
    named = re.findall(r"`((?:\w+/)*\w+\.py)`", ARCHITECTURE.read_text())
    places = (ROOT, Path(hostler.__file__).parent)
    gone = [path for path in named if not any((place / path).exists() for place in places)]
    assert not gone, f"docs/architecture.md names them: write there where that is now, {gone}"
    assert len(named) > 40


def test_the_diagram_of_the_states_has_every_move_and_no_other() -> None:
    drawn = re.findall(r"<title>(\w+) to (\w+)</title>", (ROOT / "docs/images/states.svg").read_text())
    moves = [(state.value, after.value) for state in MOVES for after in MOVES[state]]
    assert sorted(drawn) == sorted(moves)


def anchors(page: Path) -> set[str]:
    """The headings of a page as the addresses that they are given."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
