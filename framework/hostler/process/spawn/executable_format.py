"""Whether a file that is no script is a program for this machine: format, architecture, loader."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from hostler.errors import ProcessSpawnFailed

_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_RUNS = {"x86_64": {62, 3}, "aarch64": {183, 40}, "riscv64": {243}}  # 64-bit ones run their 32-bit ones too
_NAMES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64", 243: "RISC-V"}
_PT_INTERP = 3
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def check_binary(program: str, head: bytes) -> None:
    """Check the first bytes of a program; an unknown format passes where the kernel was taught others.

    Raises ProcessSpawnFailed (permanent) when the kernel will refuse it.
    """
    if sys.platform == "darwin":  # pragma: other-system
        known = head.startswith(_MACH_O)
    else:
        known = head.startswith(b"\x7fELF")

    if known:
        _check_elf(program, head)
    elif b"\0" not in head:
        raise cannot_run(
            f"{program} is a script without a #! line, or empty",
            "let its first line name the interpreter, such as #!/bin/sh",
        )
    elif not _knows_more_formats():
        raise cannot_run(f"{program} is not a program for this system", "get the build for this system")


def _knows_more_formats() -> bool:
    try:
        return any(entry.name not in {"register", "status"} for entry in _BINFMT.iterdir())
    except OSError:
        return False


def _check_elf(program: str, head: bytes) -> None:
    """Look for the two mistakes of a downloaded binary: another architecture, another C library."""
    if len(head) < 64 or head[:4] != b"\x7fELF" or head[5] != 1:  # cut off, Mach-O, or big endian
        return

    machine = int(struct.unpack_from("<H", head, 18)[0])
    if machine not in _RUNS.get(os.uname().machine, {machine}) and not _knows_more_formats():
        name = _NAMES.get(machine, f"architecture {machine}")
        raise cannot_run(
            f"{program} is built for {name}, not for this machine", "get the build for this machine"
        )

    loader = _loader(head)
    if loader is not None and not Path(loader).exists():
        raise cannot_run(
            f"{program} needs the loader {loader}, which is not on this system",
            "get the build for this system's C library (musl or glibc)",
        )


def _loader(head: bytes) -> str | None:
    """Find the dynamic loader that a 64-bit program names in its first bytes, if any."""
    if head[4] != 2:
        return None
    offset, size, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
    for start in range(offset, min(offset + size * count, len(head) - 55), size or 56):
        kind, _, place, _, _, length = struct.unpack_from("<IIQQQQ", head, start)
        if kind == _PT_INTERP and place + length <= len(head):
            return str(head[place : place + length].rstrip(b"\0"), "utf-8", "replace")
    return None


def cannot_run(message: str, hint: str) -> ProcessSpawnFailed:
    """Make the error for a program that no number of tries will run."""
    return ProcessSpawnFailed(message, hint=hint, permanent=True)
