"""The file of a service on disk: written whole or not at all, and only where it is ours."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from hostler.cli.client.daemon import ClientError
from hostler.cli.service_files.definition import MARKER

_PATH = re.compile(r'^Environment="PATH=.*$|<key>PATH</key>\s*<string>[^<]*', re.MULTILINE)


def read(path: Path) -> str | None:
    """What it holds; None where there is none. Raises ClientError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        # A link to nowhere is somebody's, too.
        return "" if path.is_symlink() else None
    except OSError as error:
        raise _refused(path, "read", error) from None


def is_ours(text: str) -> bool:
    """Whether hostler has written it."""
    return MARKER in text


def is_same(text: str, other: str) -> bool:
    """Whether two say the same, except for the PATH, which each shell has its own of."""
    return _PATH.sub("", text) == _PATH.sub("", other)


def write(path: Path, text: str, *, mode: int) -> None:
    """Write it, by way of a file beside it. Raises ClientError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".hostler-")
    except OSError as error:
        raise _refused(path, "written", error) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        raise _refused(path, "written", error) from None
    finally:
        with suppress(FileNotFoundError):  # it has its place
            Path(name).unlink()


def remove(path: Path) -> None:
    """Remove it. Raises ClientError."""
    try:
        path.unlink()
    except OSError as error:
        raise _refused(path, "removed", error) from None


def _refused(path: Path, what: str, error: OSError) -> ClientError:
    more = {}
    if isinstance(error, PermissionError) and not path.is_relative_to(Path.home()):
        more["hint"] = "a service for all users needs root (sudo); --user has one of your own"
    return ClientError("failed", f"{path} cannot be {what}: {error.strerror}", **more)
