"""The tests of simpervisor and pytest-xprocess (mirakuru's cannot be had) against hostler in their place.

`.venv/bin/python tests/peers/run.py [NAME ...]` fetches the source archive of each from PyPI, puts a thin
shim of its public classes (`shims/`) in its place, and runs its own test files, not changed by a letter.
Failures that are the shim's, or another design, are listed below with the reason. Ends with 1 when anything
else fails. What cannot be run is told as skipped, with the reason. Neither CI nor `./dev test` runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

SHIMS = Path(__file__).parent / "shims"
LOOP = (
    "the shim's doing: the program gathers all tasks of its loop after a signal, hostler's own among them, "
    "which end as cancelled, so its `gather` raises. What the test is about holds: each child got one "
    "SIGTERM and was gone before its supervisor"
)
NO_TESTS = "its source archives on PyPI have no tests (twelve versions from 0.1.4 to 3.1.0 were looked at)"
STOPPED = "another design: a server that is not ready in time is stopped, and there is none left to talk to"
OWNED = "another design: servers end with their owner, none is left for --xkill"
POPEN = "the shim's doing: it has no Popen object to ask"
INSTANT = "the shim's doing: a timeout below nothing is no failure"
XPROCESS = {
    "test_runtime_error_on_start_fail": STOPPED,
    "test_startup_with_pattern_and_callback[s1": STOPPED,
    "test_timeout_raise_exception": STOPPED,
    "test_functional_work_flow": OWNED,
    "test_interruption_does_not_cleanup": OWNED,
    "test_popen_kwargs": POPEN,
    "test_return_value_on_failure": INSTANT,
}


@dataclass(frozen=True)
class Peer:
    """A project, what of it stays its own, the failures to expect; or why it is skipped."""

    version: str
    keeps: tuple[str, ...] = ()
    expected: dict[str, str] = field(default_factory=dict)
    package: str = ""
    options: tuple[str, ...] = ()
    skipped: str = ""


PEERS = {
    "simpervisor": Peer(
        "1.0.0",
        ("simpervisor/atexitasync.py",),
        {"test_sigtermreap": LOOP},
        options=("-o", "asyncio_mode=auto", "-o", "anyio_mode=auto"),
    ),
    "mirakuru": Peer("3.1.0", skipped=NO_TESTS),
    "pytest-xprocess": Peer("1.0.2", ("xprocess/pytest_xprocess.py",), XPROCESS, "xprocess"),
}


def fetch(name: str, version: str, folder: Path) -> Path:
    """The unpacked source archive."""
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", str(folder)]
    subprocess.run([*pip, f"{name}=={version}"], check=True)
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", archive, "--no-same-owner"], check=True, cwd=folder)
    return next(path for path in folder.iterdir() if path.is_dir())


def run(name: str, peer: Peer, folder: Path) -> bool:
    """Run one suite and print what came of it; whether all is as documented."""
    if peer.skipped:
        print(f"{name} {peer.version}: skipped: {peer.skipped}")
        return True

    source = fetch(name, peer.version, folder)
    package = peer.package or name
    shim = SHIMS / package
    site = folder / "site"
    (site / package).mkdir(parents=True)

    for path in [*shim.glob("*.py"), *(source / kept for kept in peer.keeps)]:
        (site / package / path.name).write_bytes(path.read_bytes())

    for told in source.glob("*.egg-info"):  # its entry points: a plugin of pytest is found by them
        shutil.copytree(told, site / told.name)

    shutil.rmtree(source / package)  # pytest puts its folder before all others
    words = ["-m", "pytest", "-q", "-rA", "--color=no", *peer.options]
    env = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, *words, "--timeout=40", "tests"],
        cwd=source,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return judge(name, peer, done.stdout)


def judge(name: str, peer: Peer, said: str) -> bool:
    passed = re.findall(r"^PASSED (\S+)", said, re.MULTILINE)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    print(f"{name} {peer.version}: {len(passed)} passed, {len(failed)} failed")
    wrong = [test for test in failed if not why(test, peer)]

    for test in failed:
        print(f"  {test}: {why(test, peer) or 'NOT EXPECTED'}")

    if wrong or not passed:
        print(said[-6000:])

    return bool(passed) and not wrong


def why(test: str, peer: Peer) -> str:
    name = test.rpartition("::")[2]
    return next((reason for start, reason in peer.expected.items() if name.startswith(start)), "")


def main() -> int:
    good = True
    for name in sys.argv[1:] or PEERS:
        with tempfile.TemporaryDirectory() as folder:
            good = run(name, PEERS[name], Path(folder)) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
