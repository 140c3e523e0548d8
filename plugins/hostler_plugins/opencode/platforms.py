"""The names of npm's packages for this machine: system, processor, C library, and whether it has AVX2."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_SYSTEM_ROOT = Path("/")


def platform_name() -> str:
    """System and processor as npm's packages name them, such as "linux-x64"."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def package_names(root: Path = _SYSTEM_ROOT) -> list[str]:
    """The packages with a native OpenCode for this machine, the best one first."""
    base = f"opencode-{platform_name()}"
    baselines = ["", "-baseline"] if base.endswith("-x64") else [""]
    if not has_avx2(root):
        baselines.reverse()
    libraries = [""] if sys.platform == "darwin" else ["", "-musl"]
    if is_musl(root):
        libraries.reverse()
    return [base + baseline + library for library in libraries for baseline in baselines]


def bun_package(root: Path = _SYSTEM_ROOT) -> str:
    """The package with a native bun for this machine."""
    base = f"@oven/bun-{platform_name().replace('arm64', 'aarch64')}"
    baseline = "-baseline" if base.endswith("-x64") and not has_avx2(root) else ""
    return base + ("-musl" if is_musl(root) else "") + baseline


def is_musl(root: Path = _SYSTEM_ROOT) -> bool:
    """Whether the C library is musl and no glibc is beside it."""
    folders = [root / "lib", root / "lib64"]
    glibc = any(next(folder.glob("ld-linux-*.so.*"), None) for folder in folders)
    return not glibc and any(next(folder.glob("ld-musl-*"), None) for folder in folders)


def has_avx2(root: Path = _SYSTEM_ROOT) -> bool:
    """Whether the processor has AVX2, which all but baseline builds need; True where nobody can tell."""
    if sys.platform == "darwin":  # pragma: other-system
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "hw.optional.avx2_0"], capture_output=True, timeout=2, check=False
        )
        return asked.returncode != 0 or asked.stdout.strip() == b"1"

    try:
        return " avx2 " in (root / "proc/cpuinfo").read_text(errors="replace").replace("\n", " ")
    except OSError:
        return True
