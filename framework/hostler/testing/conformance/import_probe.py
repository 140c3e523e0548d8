"""No work at import: a plugin's module is imported in a program of its own, which reports what that did."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from hostler.testing.conformance.findings import Findings, place_of

HEAVY = frozenset(
    {
        *("aiohttp", "boto3", "cryptography", "django", "docker", "fastapi", "flask", "httpx", "matplotlib"),
        *(
            "numpy",
            "pandas",
            "psutil",
            "requests",
            "rich",
            "scipy",
            "sqlalchemy",
            "torch",
            "urllib3",
            "watchfiles",
        ),
    }
)
_SECONDS = 60.0
_PROGRAM = (
    "import json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order['path']; "
    "from hostler.testing.conformance.probe import main; main(sys.argv[1])"
)
_LATER = "do it in a hook: hostler imports a plugin to check a configuration, and nothing may happen then"


def check_import(class_: type, findings: Findings) -> None:
    """Import the module of a plugin where nothing else is, and judge what it did."""
    place = place_of(class_)

    if "<locals>" in class_.__qualname__ or class_.__module__ == "__main__":
        findings.notes.append(f"{place}: its import, for it stands in no module that could be imported alone")
        return

    file = Path(inspect.getfile(class_)).resolve()
    try:
        done = subprocess.run(
            _argv(class_, file), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        findings.broken(place, f"takes longer than {_SECONDS:g} s to import", _LATER)
        return

    printed, _, answer = done.stdout.rstrip().rpartition("\n")
    try:
        told = json.loads(answer)
    except ValueError:
        findings.broken(place, f"ends the program that imports it (exit code {done.returncode})", _LATER)
        return

    _judge(place, told, printed + done.stderr, findings)


def _argv(class_: type, file: Path) -> list[str]:
    order = {
        "path": [str(Path(entry).resolve()) for entry in sys.path if Path(entry or ".").exists()],
        "module": class_.__module__,
        "file": str(file),
        "qualname": class_.__qualname__,
        "root": str(file.parent if file.name == "__init__.py" else file),
    }
    # -B: no bytecode is written beside somebody's file.
    return [sys.executable, "-B", "-c", _PROGRAM, json.dumps(order)]


def _judge(place: str, told: dict[str, Any], printed: str, findings: Findings) -> None:
    if told["error"]:
        findings.broken(
            place,
            f"cannot be imported in a program of its own: {told['error']}",
            "name what it needs in its package's dependencies",
        )

    for deed in dict.fromkeys(told["deeds"]):
        findings.broken(place, f"{deed} when it is imported", _LATER)

    for what in told["changed"]:
        findings.broken(place, f"changes {what} when it is imported", "leave them to the host program")

    if printed.strip() and not told["error"]:
        findings.broken(place, f"prints when it is imported: {printed.strip()[:200]!r}", _LATER)

    heavy = sorted(HEAVY & set(told["modules"]))
    if heavy:
        findings.broken(
            place,
            f"imports {', '.join(heavy)} as soon as it is imported itself, which is slow",
            "import it in the hook that uses it, and let it be imported while the child starts: "
            "launch.warm_up(lambda: import_module(...))",
        )
