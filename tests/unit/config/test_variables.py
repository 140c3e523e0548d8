"""The variables of the environment that a configuration refers to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hostler.config.load import load_resolved
from hostler.config.variables import NotedEnviron, with_environ, words_of
from hostler.model.spec import Configuration

TEXT = """
[defaults.plugins]
env-sanitizer = { allow = ["SHOP_*"] }
[servers.web]
command = ["sh", "-c", "${FILLED}", "${server.port}", "$${NOT}"]
env = { A = { secret = "env:OF_ENV" }, B = { secret = "file:/x" } }
[templates.one]
parameters = { port = 1 }
command = ["sh", "${parameter.port}", "${OF_TEMPLATE:-x}"]
env = { A = { secret = "env:SECRET_OF_TEMPLATE" } }
plugins.env-sanitizer = { allow = ["ALLOWED"] }
[listeners.webhook]
url = "http://${OF_LISTENER}/"
headers = { Authorization = { secret = "env:SECRET_OF_LISTENER" } }
"""


def loaded(folder: Path, environ: Mapping[str, str]) -> Configuration:
    (folder / "hostler.toml").write_text(TEXT)
    return load_resolved(folder / "hostler.toml", environ=environ).configuration


def test_they_are_found_wherever_they_stand(tmp_path: Path) -> None:
    environ = NotedEnviron({"FILLED": "x", "OF_LISTENER": "y", "UNRELATED": "z"})
    words = words_of(loaded(tmp_path, environ))
    assert {"FILLED", "OF_LISTENER"} <= environ.asked
    assert words == {
        "SHOP_*",
        "OF_ENV",
        "OF_TEMPLATE",
        "SECRET_OF_TEMPLATE",
        "ALLOWED",
        "SECRET_OF_LISTENER",
    }
    assert not {"UNRELATED", "NOT"} & environ.asked


def test_each_is_given_what_it_reads_or_hands_on(tmp_path: Path) -> None:
    values = {"SHOP_A": "1", "OF_ENV": None, "ALLOWED": "2", "SECRET_OF_LISTENER": "3", "FILLED": "4"}
    given = with_environ(loaded(tmp_path, {"FILLED": "4", "OF_LISTENER": "3"}), values)
    assert given.servers["web"].environ == {"SHOP_A": "1", "OF_ENV": None}
    assert given.listeners["webhook"].environ == {"SECRET_OF_LISTENER": "3"}
    made = given.templates["one"]("new")
    assert made.environ == {"ALLOWED": "2"}


def test_a_secret_that_they_lack_is_noted_where_it_stands(tmp_path: Path) -> None:
    lost = ["OF_ENV", "SECRET_OF_LISTENER"]
    given = with_environ(loaded(tmp_path, {"FILLED": "4", "OF_LISTENER": "3"}), {}, lost)
    (of_server,), (of_listener,) = given.servers["web"].unset, given.listeners["webhook"].unset
    assert str(of_server) == "servers.web.env.A: cannot read secret env:OF_ENV: it is not set, or empty"
    assert of_listener.key == "listeners.webhook.headers"
