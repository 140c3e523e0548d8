"""Certificates that a variable names and that the server cannot read: told at its start, once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bubblewrap import folder_outside_tmp, needs_bwrap
from hostler_process import Configure, Run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a server as another user")
FAILS_TWICE = """
[servers.web]
command = ["sh", "-c", "exit 3"]
port = false
cwd = "{}"
restart = {{ start_retries = 1, max_restarts = 1, initial_delay = "10ms" }}
"""
OTHER_USER = '[servers.web.plugins]\nprivileges = { user = "2001" }\n'
Warned = Callable[..., list[str]]


@pytest.fixture
def bundle() -> Iterator[Path]:
    """A file in a folder that root alone may enter, in one that everybody may and no sandbox replaces."""
    with folder_outside_tmp() as folder:
        file = folder / "certs/ca.pem"
        file.parent.mkdir(mode=0o700)
        file.write_text("certificates\n")
        yield file


@pytest.fixture
def warned(configure: Configure, run: Run, environ: dict[str, str], bundle: Path) -> Warned:
    """The warnings of two starts with these plugins and variables."""

    def call(plugins: str, **variables: str) -> list[str]:
        configure(text=FAILS_TWICE.format(bundle.parent.parent) + plugins)
        done = run("run", env=environ | variables)
        assert done.returncode == 1
        assert (done.stdout + done.stderr).count("Starting web server") > 1, done
        return [line for line in (done.stdout + done.stderr).splitlines() if "certificates" in line]

    return call


@pytest.mark.parametrize("name", ["NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR"])
def test_what_the_user_of_the_server_cannot_read_is_told_once_with_the_cure(
    warned: Warned, bundle: Path, name: str
) -> None:
    path = str(bundle.parent if name == "SSL_CERT_DIR" else bundle)
    (line,) = warned(OTHER_USER, **{name: path})
    assert f"{name} names {path}, which the server as user 2001 cannot read" in line
    assert "let 2001 read it and enter the folders above it" in line


@needs_bwrap
def test_what_the_sandbox_hides_is_told_with_the_cure(warned: Warned, bundle: Path) -> None:
    hidden = f'hidden = ["{bundle.parent}"]'
    readable = f'readable = ["{bundle}"]'
    (line,) = warned(f"[servers.web.plugins]\nsandbox = {{ {hidden} }}\n", CURL_CA_BUNDLE=str(bundle))
    assert "which the server in its sandbox cannot read" in line
    assert f"sandbox = {{ {readable} }}" in line
    assert (
        warned(f"[servers.web.plugins]\nsandbox = {{ {hidden}, {readable} }}\n", CURL_CA_BUNDLE=str(bundle))
        == []
    )


def test_nothing_is_said_of_what_can_be_read_or_is_nowhere(warned: Warned, bundle: Path) -> None:
    bundle.parent.chmod(0o755)
    assert warned(OTHER_USER, NODE_EXTRA_CA_CERTS=str(bundle), PIP_CERT="/nowhere.pem") == []
