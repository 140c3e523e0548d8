"""`[control]`: read, laid over, written back, told with its origins."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hostler import Configuration, ControlSpec, InvalidConfiguration, dump, load
from hostler.config.load import load_resolved
from hostler.config.provenance import origins_of_control

SERVERS = "[servers.web]\ncommand = ['sleep', '9']\nport = false\n"


def write(folder: Path, text: str, name: str = "hostler.toml") -> Path:
    (folder / name).write_text(text + SERVERS)
    return folder / name


def test_every_key_is_read_and_paths_are_those_of_the_file(tmp_path: Path) -> None:
    text = """
        [control]
        socket = "${DIR}/x.sock"
        tcp = "[::]:8443"
        expose = true
        certificate_file = "tls/box.pem"
        key_file = "/keys/box.key"
    """
    spec = load(write(tmp_path, text), environ={"DIR": "run"}).control
    assert spec.socket == tmp_path / "run/x.sock"
    assert (spec.tcp, spec.address, spec.expose) == ("[::]:8443", ("::", 8443), True)
    assert (spec.certificate_file, spec.key_file) == (tmp_path / "tls/box.pem", Path("/keys/box.key"))


def test_without_the_table_there_is_the_usual_socket_alone(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")).control == ControlSpec()
    assert "control" not in dump(load(write(tmp_path, "")))


def test_layers_lie_over_it(tmp_path: Path) -> None:
    write(tmp_path, "[control]\ntcp = '127.0.0.1:0'\nsocket = 'a.sock'\n", "base.toml")
    file = write(
        tmp_path, "extends = ['base.toml']\n[profiles.off.control]\nsocket = true\ntcp = '127.0.0.1:9'\n"
    )
    assert load(file).control == ControlSpec(tcp="127.0.0.1:0", socket=tmp_path / "a.sock")
    assert load(file, profiles=["off"]).control == ControlSpec(tcp="127.0.0.1:9")
    settings = {"control.tcp": "localhost:0"}
    assert load(file, settings=settings).control.tcp == "localhost:0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("control = 5\n", "control: expected a table, found 5"),
        ("[control]\ntpc = 1\n", 'control.tpc: unknown key; did you mean "tcp"?'),
        ("[contrl]\n", 'contrl: unknown key; did you mean "control"?'),
        ("[control]\ntcp = 8080\n", 'found 8080; did you mean "127.0.0.1:8080"?'),
        ("[control]\ntcp = ':80'\n", 'did you mean "127.0.0.1:80"?'),
        ("[control]\ntcp = true\n", 'did you mean "127.0.0.1:0"?'),
        ("[control]\ntcp = '127.0.0.1'\n", 'did you mean "127.0.0.1:0"?'),
        ("[control]\ntcp = '1.2.3:80'\n", "control.tcp: expected an address with a port"),
        ("[control]\ntcp = '127.0.0.1:65536'\n", "control.tcp: expected an address with a port"),
        ("[control]\ntcp = '0.0.0.0:80'\n", 'control.tcp: "0.0.0.0" may be reached from outside; allowed: '),
        ("[control]\nsocket = 'off'\n", "expected a path, or false (write false, without quotes)"),
        (
            f"[control]\nsocket = '/{'x' * 100}'\n",
            "the path of a socket has 100 bytes at most",
        ),
        ("[control]\nexpose = 'yes'\n", "control.expose: expected true or false (write true"),
        ("[control]\nkey_file = '${NONE}'\n", "${NONE} is not defined"),
        ("[profiles.x.control]\ntpc = 1\n", 'profiles.x.control.tpc: unknown key; did you mean "tcp"?'),
        ("profiles.x.control = 1\n", "expected a table, [profiles.x.control], found 1"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        load(write(tmp_path, text), environ={})
    (problem,) = caught.value.problems
    assert expected in str(problem)
    assert problem.line == text.count("\n")


def test_it_is_written_back_as_it_was_read_or_made(tmp_path: Path) -> None:
    files = "key_file = '${KEY}'\ncertificate_file = '/c'\n"
    text = f"[control]\nsocket = 'x.sock'\ntcp = '127.0.0.1:${{PORT}}'\n{files}"
    written = dump(load(write(tmp_path, text), environ={"PORT": "7", "KEY": "/k"}))
    assert tomllib.loads(written)["control"] == {
        "socket": f"{tmp_path}/x.sock",
        "tcp": "127.0.0.1:${PORT}",
        "key_file": "${KEY}",
        "certificate_file": "/c",
    }
    made = Configuration(servers={}, control=ControlSpec(socket=False))
    assert tomllib.loads(dump(made))["control"] == {"socket": False}


def test_every_value_has_its_origin(tmp_path: Path) -> None:
    control = load_resolved(write(tmp_path, "[control]\ntcp = '127.0.0.1:0'\n")).control
    assert control is not None
    assert [(one.key, one.value, one.place.rpartition("/")[2]) for one in origins_of_control(control)] == [
        ("control.tcp", '"127.0.0.1:0"', "hostler.toml:2"),
        ("control.socket", "true", "default"),
        ("control.expose", "false", "default"),
    ]
