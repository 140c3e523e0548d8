"""What a child gets of hostler's own environment, and the last look for secrets that leaked in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostler import EnvironmentSetupFailed, Launch
from hostler.process.spawn.environment import refuse_leaks, safe_base, secrets_of
from hostler.secrets.masking import Masker

SECRET = "hunter2-hunter2"


def launch(host: dict[str, str] | None = None, argv: tuple[str, ...] = ("server",), **env: str) -> Launch:
    given: dict[str, Any] = {
        "server": "web",
        "generation": 1,
        "host": "127.0.0.1",
        "port": 1,
        "cwd": Path("/"),
    }
    given |= {"data_dir": Path("/"), "cache_dir": Path("/")}
    return Launch(argv=list(argv), env=dict(env), host_env=host or {}, **given)


@pytest.mark.requirement("R10")
def test_the_base_is_short_and_safe() -> None:
    host = {
        "PATH": "/bin",
        "HOME": "/root",
        "LANG": "C",
        "LC_TIME": "C",
        "TZ": "UTC",
        "TMPDIR": "/tmp",
        "XDG_CACHE_HOME": "/c",
    }
    others = {
        "OPENAI_API_KEY": SECRET,
        "LD_PRELOAD": "/evil.so",
        "EDITOR": "vi",
        "HOSTLER_RUN_ID": "1",
        "path": "/x",
        "LC": "C",
    }
    assert safe_base(host | others) == host


def test_proxies_and_bundles_of_certificates_are_handed_on() -> None:
    names = (
        "HTTP_PROXY https_proxy ALL_PROXY NO_PROXY no_proxy SSL_CERT_FILE NODE_EXTRA_CA_CERTS "
        "REQUESTS_CA_BUNDLE CURL_CA_BUNDLE GIT_SSL_CAINFO AWS_CA_BUNDLE PIP_CERT DENO_CERT"
    )
    host = dict.fromkeys(names.split(), "/x")
    assert safe_base(host | {"HTTP_PROXY_PASSWORD": SECRET}) == host


@pytest.mark.parametrize("address", [f"http://me:{SECRET}@proxy:8080", f"me:{SECRET}@proxy:8080"])
def test_the_password_of_a_proxy_is_masked_and_handed_on_in_variables_of_proxies_alone(address: str) -> None:
    host = {"https_proxy": address, "PROXY_PASSWORD": SECRET}
    masker = Masker()

    for value in secrets_of(launch(host, https_proxy=address)):
        masker.register(value)

    assert SECRET not in masker.text(f"connecting to {address}")
    refuse_leaks(launch(host, https_proxy=address))

    for refused in (launch(host, JAVA_OPTS=f"-Dproxy={address}"), launch(host, ("x", address))):
        with pytest.raises(EnvironmentSetupFailed):
            refuse_leaks(refused)


def test_a_secret_of_the_host_that_stands_in_the_child_is_refused_by_name_only() -> None:
    with pytest.raises(EnvironmentSetupFailed) as caught:
        refuse_leaks(launch({"OPENAI_API_KEY": SECRET}, HARMLESS=f"key={SECRET}", OTHER="x"))
    assert caught.value.context.details == {"names": ["HARMLESS"]}
    assert caught.value.permanent
    assert "HARMLESS" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_secret_that_a_plugin_sets_is_refused_until_it_is_allowed() -> None:
    made = launch(MY_TOKEN=SECRET)
    with pytest.raises(EnvironmentSetupFailed, match="MY_TOKEN"):
        refuse_leaks(made)
    made.allowed.add("MY_TOKEN")
    refuse_leaks(made)


def test_a_value_allowed_under_one_name_is_allowed_under_others() -> None:
    made = launch({"OPENAI_API_KEY": SECRET}, OPENAI_API_KEY=SECRET, COPY=SECRET)
    made.allowed.add("OPENAI_API_KEY")
    refuse_leaks(made)


def test_one_allowed_secret_does_not_let_another_pass() -> None:
    made = launch(
        {"A_TOKEN": SECRET, "B_TOKEN": "swordfish-swordfish"}, A_TOKEN=SECRET, X="swordfish-swordfish"
    )
    made.allowed.add("A_TOKEN")
    with pytest.raises(EnvironmentSetupFailed, match=r"allowed: X\n"):
        refuse_leaks(made)


def test_a_secret_given_on_purpose_passes_in_the_environment_but_never_in_argv() -> None:
    made = launch()
    made.set_secret("PASSWORD", SECRET)
    refuse_leaks(made)
    made.argv += ["--password", SECRET]
    with pytest.raises(EnvironmentSetupFailed, match=r"word 2 of argv") as caught:
        refuse_leaks(made)
    assert SECRET not in str(caught.value)


def test_a_secret_of_the_host_in_argv_is_refused() -> None:
    with pytest.raises(EnvironmentSetupFailed, match=r"word 1 of argv"):
        refuse_leaks(launch({"API_KEY": SECRET}, argv=("server", f"--key={SECRET}")))


@pytest.mark.parametrize("value", ["true", "a1b2c3d"])
def test_short_values_are_no_secrets(value: str) -> None:
    refuse_leaks(launch({"USE_TOKEN": value}, argv=("server", f"--secure={value}"), OTHER=value))


@pytest.mark.parametrize("value", ["a1b2c3d4", "a1b2c3d4e"])
def test_values_of_eight_characters_and_more_are(value: str) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="OTHER"):
        refuse_leaks(launch({"USE_TOKEN": value}, OTHER=value))


def test_what_stands_in_the_safe_base_cannot_be_told_from_it() -> None:
    refuse_leaks(launch({"HOME": "/home/somebody", "DB_PASSWORD": "somebody"}, HOME="/home/somebody"))


def test_a_child_without_secrets_passes() -> None:
    refuse_leaks(launch({"PATH": "/bin"}, PATH="/bin", PORT="8080"))


def test_a_secret_in_what_runs_the_command_is_refused_too() -> None:
    spawned = launch({"OPENAI_API_KEY": SECRET})
    spawned.wrapper = ["sandbox", f"--setenv=KEY={SECRET}"]
    with pytest.raises(EnvironmentSetupFailed, match="the command line would show a secret"):
        refuse_leaks(spawned)
