"""`hostler.show`: a configuration for people and programs, without credentials."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostler import InvalidConfiguration, show

TEXT = """\
[servers.web]
command = ["sleep", "60"]
env = { GREETING = "${GREETING}", API_KEY = "sesame-open-sesame" }

[servers.db]
command = ["sleep", "60"]

[listeners.webhook]
url = "http://127.0.0.1:9/${HOOK}"
headers = { X-Token = "sesame-of-the-hook" }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "hostler.toml"
    path.write_text(TEXT)
    return path


def test_all_of_it_is_shown_with_the_place_of_each_value(file: Path) -> None:
    shown = show(file, environ={"GREETING": "good-morning", "HOOK": "of-mine"})
    places = {one.key: (one.value, one.place) for one in shown.values}
    assert places["servers.web.env.GREETING"] == ('"${GREETING}"', f"{file}:3")
    assert places["servers.db.host"] == ('"127.0.0.1"', "default")
    assert places["listeners.webhook.url"][1] == f"{file}:9"
    assert "[listeners.webhook]" in shown.toml
    told = shown.toml + "".join(one.value for one in shown.values)
    assert [word for word in ("sesame", "good-morning", "of-mine") if word in told] == []


def test_one_server_is_shown_alone(file: Path) -> None:
    shown = show(file, "db", environ={})
    assert {one.key.split(".")[1] for one in shown.values} == {"db"}
    assert "[servers.db]" in shown.toml
    assert "web" not in shown.toml
    with pytest.raises(KeyError):
        show(file, "wbe", environ={})


def test_a_mistake_is_raised(file: Path) -> None:
    file.write_text("[servers.web]\ncomand = 3\n")
    with pytest.raises(InvalidConfiguration, match='did you mean "command"'):
        show(file)
