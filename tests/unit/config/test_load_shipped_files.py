"""Every file in configs/ loads, and says what its comments promise."""

from pathlib import Path

import pytest
from hostler.config.dump import dump
from hostler.config.load import load
from hostler.model.choices import RestartMode
from hostler.model.spec import Configuration

CONFIGS = Path(__file__).parents[3] / "configs"
FILES = sorted(CONFIGS.glob("*.toml"))
ENVIRON = {"HOME": "/home/ada", "PWD": "/home/ada/project"}


def shipped(name: str) -> Configuration:
    return load(CONFIGS / f"{name}.toml", environ=ENVIRON)


def test_the_promised_files_are_there() -> None:
    names = {"demo", "opencode", "opencode-source", "other-server", "two-servers", "worktrees"}

    assert names <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shipped_file_loads_and_reads_back_as_the_same(file: Path, tmp_path: Path) -> None:
    configuration = load(file, environ=ENVIRON)
    copy = tmp_path / file.name
    copy.write_text(dump(configuration))
    again = load(copy, environ=ENVIRON)

    assert again.document == configuration.document
    assert again.servers == configuration.servers


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_shipped_file_starts_with_a_comment_and_loads_without_any_variable(file: Path) -> None:
    assert file.read_text().startswith("# ")
    assert load(file, environ={}).servers


def test_opencode_works_where_hostler_is_called() -> None:
    server = shipped("opencode").servers["opencode"]

    assert server.cwd == Path("/home/ada/project")
    assert server.port == 0
    assert [plugin.name for plugin in server.plugins] == [
        "opencode",
        "regex-port",
        "sse-health",
        "log-rotation",
        "env-sanitizer",
    ]


def test_opencode_from_source_only_changes_where_it_comes_from() -> None:
    installed, source = (
        shipped("opencode").servers["opencode"],
        shipped("opencode-source").servers["opencode"],
    )

    assert source.plugins[0].options["source"] == "~/code/opencode"
    assert source.plugins[1:] == installed.plugins[1:]


def test_the_second_of_two_servers_waits_for_the_first() -> None:
    servers = shipped("two-servers").servers

    assert list(servers) == ["opencode", "review"]
    assert servers["review"].needs == ("opencode",)
    assert servers["review"].cwd == CONFIGS


def test_each_worktree_has_a_server_of_one_template() -> None:
    servers = shipped("worktrees").servers
    assert [server.cwd for server in servers.values()] == [Path("/home/ada/project"), CONFIGS]
    assert {len(server.plugins) for server in servers.values()} == {5}
    assert servers["review"].plugins[3].options["path"] == "review.log"
    assert servers["review"].needs == ("main",)


def test_the_profile_of_the_worktrees_changes_their_template() -> None:
    servers = load(CONFIGS / "worktrees.toml", environ=ENVIRON, profiles=["ci"]).servers
    assert {server.restart.policy for server in servers.values()} == {RestartMode.NEVER}
    assert [plugin.name for plugin in servers["main"].plugins] == [
        "opencode",
        "regex-port",
        "sse-health",
        "env-sanitizer",
    ]


def test_the_demo_uses_every_plugin_of_opencode_but_its_launcher() -> None:
    demo, opencode = shipped("demo").servers["demo"], shipped("opencode").servers["opencode"]

    assert [plugin.name for plugin in demo.plugins] == [plugin.name for plugin in opencode.plugins[1:]]
