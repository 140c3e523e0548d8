"""Whether a program can be executed, asked before it is: a prefix command would hide the reason."""

from __future__ import annotations

import os
import re
import stat
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from hostler.errors import ProcessSpawnFailed
from hostler.files.trusted_path import read_as
from hostler.process.spawn.privileges import Account

_HEAD = 4096
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_BUILTINS = frozenset({".", "source", "cd", "exec", "export", "eval", "set", "unset", "ulimit", "trap"})
_MAX_SCRIPT_DEPTH = 4  # as many interpreters of interpreters as the kernel follows
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf")
_ELF = b"\x7fELF"
_MACHINES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "ARM64", 243: "RISC-V"}  # e_machine of elf(5)
_RUNS = {"x86_64": {62, 3}, "aarch64": {183, 40}, "riscv64": {243}}  # 64-bit ones run their 32-bit ones too
_PT_INTERP = 3
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def find_program(name: str, *, cwd: Path, env: Mapping[str, str], account: Account | None = None) -> str:
    """Find the absolute path that execution of `name` in `cwd` with `env` would use.

    `account` is the other user that it will run as: what the program is, is read as that one.

    Raises ProcessSpawnFailed (permanent), with what to do next, when it could not be executed.
    """
    check_directory(cwd)
    if not name or "\0" in name:
        raise _refusal("the command is empty", "set command to a program and its arguments")
    program = _look_up(name, cwd, env)
    _Checks(cwd, env, account).check(program, _MAX_SCRIPT_DEPTH)
    return program


def check_directory(cwd: Path) -> None:
    """Raise ProcessSpawnFailed (permanent) where nothing could work in this directory."""
    if not os.path.isdir(cwd):  # noqa: PTH112 - every restart waits for this
        if cwd.exists():
            raise _refusal(f"the working directory {cwd} is not a directory", "correct cwd")
        name = _VARIABLE.search(str(cwd))
        hint = f"write ${{{name[1]}}} for a variable in cwd" if name else "create it, or correct cwd"
        raise _refusal(f"the working directory {cwd} does not exist", hint)
    if not os.access(cwd, os.X_OK):
        raise _refusal(
            f"the working directory {cwd} cannot be entered", "check its permissions, or correct cwd"
        )


def _look_up(name: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Walk the child's PATH as execvp would: the first that is executable, else the first that exists."""
    if "/" in name:
        return os.path.join(cwd, name.removeprefix("./"))  # noqa: PTH118

    path = env.get("PATH", os.defpath)
    places = [os.path.join(cwd, folder, name) for folder in path.split(os.pathsep)]  # noqa: PTH118
    for mode in (os.X_OK, os.F_OK):
        for place in places:
            if os.path.isfile(place) and os.access(place, mode):  # noqa: PTH113 - every restart waits for this
                return place

    if shell := _shell_only(name):
        raise _refusal(*shell)
    raise _refusal(
        f"{name} was not found on the PATH of the server ({path})",
        _question(name, path) + f"install {name}, give its full path in command, or set PATH in env",
    )


def _shell_only(name: str) -> tuple[str, str] | None:
    """What is wrong, and what to do, where the word is one for a shell: a whole line, or a builtin."""
    import shlex  # noqa: PLC0415 - only these messages need it

    from hostler.text.command_line import NotACommandLine, split  # noqa: PLC0415

    use_one = 'or have a shell read it: command = ["sh", "-c", "..."]'

    if any(letter.isspace() for letter in name):
        reason = f"no program is called {shlex.quote(name)}"
        try:
            words = ", ".join(f'"{word}"' for word in split(name))
        except NotACommandLine as error:
            return reason, str(error)
        reason += ": the command is one word with spaces in it"
        return reason, f"give its words one by one, [{words}], {use_one}"
    variable, is_assigned, _ = name.partition("=")
    if is_assigned and variable.isidentifier():
        reason = f"{variable}=... sets a variable in a shell, and no shell is used"
        return reason, f"write it in env: env = {{ {variable} = ... }}"
    if name in _BUILTINS:
        hint = f"start the program itself, with cwd and env for its folder and variables, {use_one}"
        return f"{name} is no program but a command of the shell, and no shell is used", hint

    return None


def _question(name: str, path: str) -> str:
    """A question about the program that was probably meant, or ""."""
    from difflib import get_close_matches  # noqa: PLC0415 - only this message needs it

    programs: set[str] = set()
    for folder in filter(None, path.split(os.pathsep)):
        with suppress(OSError):
            programs.update(one for one in os.listdir(folder) if one[:1] == name[:1])  # noqa: PTH208
    near = get_close_matches(name, programs, n=1, cutoff=0.75)
    return f'did you mean "{near[0]}"? Otherwise ' if near else ""


class _Checks(Struct, frozen=True):
    """Whether the kernel would run a file, and the interpreters that it names."""

    cwd: Path
    env: Mapping[str, str]
    account: Account | None

    def check(self, program: str, depth: int) -> None:
        identity = _check_file(program)
        try:
            head = self._head(program, identity)
        except OSError:
            # A program may be executable without being readable: the kernel decides.
            return
        if not head.startswith(b"#!"):
            _check_binary(program, head)
            return

        for needed in self._interpreters(program, head, depth):
            try:
                self.check(needed, depth - 1)
            except ProcessSpawnFailed as error:
                reason = f"the interpreter of {program} cannot run: {error.message}"
                raise _refusal(reason, error.context.hint) from None

    def _head(self, program: str, identity: tuple[int, ...]) -> bytes:
        who = self.account
        if who is not None:
            return read_as(who.uid, who.gid, who.groups, program, _HEAD)
        return _read_head(program, identity)

    def _interpreters(self, program: str, head: bytes, depth: int) -> list[str]:
        """What the first line of a script names: its interpreter, and what `env` would look for."""
        line = head[2:].split(b"\n", 1)[0].decode(errors="replace")
        words = line.strip(" \t").split(maxsplit=1)
        if line.endswith("\r"):
            raise _refusal(
                f"the first line of {program} ends with a Windows line ending",
                "save it with Unix line endings",
            )
        if not words or not depth:
            raise _refusal(
                f"{program} names no interpreter that can run it", "correct the #! in its first line"
            )

        interpreter = os.path.join(self.cwd, words[0])  # noqa: PTH118
        if Path(interpreter).name != "env" or len(words) < 2:
            return [interpreter]
        name = (words[1].removeprefix("-S").split() or [""])[0]
        if not name or name.startswith("-") or "=" in name:  # env itself will see to it
            return [interpreter]
        return [interpreter, _look_up(name, self.cwd, self.env)]


@lru_cache(maxsize=64)  # each restart asks; a file that has changed has another identity
def _read_head(program: str, identity: tuple[int, ...]) -> bytes:
    # A pipe that was put there meanwhile does not hold us up.
    descriptor = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _HEAD)
    finally:
        os.close(descriptor)


def _check_file(program: str) -> tuple[int, ...]:
    """Return what changes with the file."""
    try:
        found = os.stat(program)  # noqa: PTH116 - as above
    except FileNotFoundError:
        raise _refusal(f"{program} does not exist", "install it, or correct command") from None
    except OSError as error:
        raise _refusal(
            f"{program} cannot be inspected: {error.strerror}", "check the path in command"
        ) from None

    mode = found.st_mode
    if stat.S_ISDIR(mode):
        raise _refusal(f"{program} is a directory", "give the path of the program inside it")
    if not stat.S_ISREG(mode):
        raise _refusal(f"{program} is not a regular file", "correct command")
    if not os.access(program, os.X_OK):
        raise _refusal(
            f"{program} is not executable",
            f"run chmod +x {program} (and check that its file system is not mounted noexec)",
        )
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=64)  # each restart asks about the same
def _check_binary(program: str, head: bytes) -> None:
    """Refuse what the kernel will refuse; an unknown format passes where the kernel was taught others."""
    if head.startswith(_MACH_O if sys.platform == "darwin" else _ELF):
        _check_elf(program, head)
    elif b"\0" not in head:
        raise _refusal(
            f"{program} is a script without a #! line, or empty",
            "let its first line name the interpreter, such as #!/bin/sh",
        )
    elif not _knows_more_formats():
        raise _refusal(f"{program} is not a program for this system", "get the build for this system")


def _knows_more_formats() -> bool:
    """Whether binfmt_misc runs files of other formats, such as qemu for other machines."""
    try:
        return any(entry.name not in {"register", "status"} for entry in _BINFMT.iterdir())
    except OSError:
        return False


def _check_elf(program: str, head: bytes) -> None:
    """Look for the two mistakes of a downloaded binary: another architecture, another C library."""
    if len(head) < 64 or not head.startswith(_ELF) or head[5] != 1:  # cut off, Mach-O, or big endian
        return

    machine = int(struct.unpack_from("<H", head, 18)[0])
    if machine not in _RUNS.get(os.uname().machine, {machine}) and not _knows_more_formats():
        name = _MACHINES.get(machine, f"architecture {machine}")
        raise _refusal(
            f"{program} is built for {name}, not for this machine", "get the build for this machine"
        )

    # The kernel's own error would be "no such file", about a program that is there.
    loader = _loader(head)
    if loader is not None and not Path(loader).exists():
        raise _refusal(
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


def _refusal(message: str, hint: str) -> ProcessSpawnFailed:
    """The error for a program that no number of tries will run."""
    return ProcessSpawnFailed(message, hint=hint, permanent=True)
