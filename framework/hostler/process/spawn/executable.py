"""Whether a program can be executed, asked before it is: a prefix command would hide the reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler.errors import ProcessSpawnFailed
from hostler.files.trusted_path import read_as
from hostler.process.spawn.executable_format import cannot_run, check_binary
from hostler.process.spawn.privileges import Account

_HEAD = 4096
_BUILTINS = frozenset({".", "source", "cd", "exec", "export", "eval", "set", "unset", "ulimit", "trap"})
_MAX_SCRIPT_DEPTH = 4  # as many interpreters of interpreters as the kernel follows


def find_program(name: str, *, cwd: Path, env: Mapping[str, str], account: Account | None = None) -> str:
    """Find the absolute path that execution of `name` in `cwd` with `env` would use.

    `account` is the other user that it will run as: what the program is, is read as that one.

    Raises ProcessSpawnFailed (permanent), with what to do next, when it could not be executed.
    """
    check_directory(cwd)
    if not name or "\0" in name:
        raise cannot_run("the command is empty", "set command to a program and its arguments")
    program = _look_up(name, cwd, env)
    _Checks(cwd, env, account).executable(program, _MAX_SCRIPT_DEPTH)
    return program


def check_directory(cwd: Path) -> None:
    """Raise ProcessSpawnFailed (permanent) where nothing could work in this directory."""
    if not os.path.isdir(cwd):  # noqa: PTH112 - every restart waits for this
        if cwd.exists():
            raise cannot_run(f"the working directory {cwd} is not a directory", "correct cwd")
        raise cannot_run(f"the working directory {cwd} does not exist", "create it, or correct cwd")
    if not os.access(cwd, os.X_OK):
        raise cannot_run(
            f"the working directory {cwd} may not be entered", "check its permissions, or correct cwd"
        )


def _look_up(name: str, cwd: Path, env: Mapping[str, str]) -> str:
    """Walk the child's PATH as execvp would: the first that is executable, else the first that exists."""
    if "/" in name:
        return os.path.join(cwd, name.removeprefix("./"))  # noqa: PTH118

    path = env.get("PATH", os.defpath)
    first = None

    for folder in path.split(os.pathsep):
        place = os.path.join(cwd, folder, name)  # noqa: PTH118
        if os.path.isfile(place):  # noqa: PTH113 - every restart waits for this
            if os.access(place, os.X_OK):
                return place
            first = first or place

    if first is None and (shell := _shell_only(name)):
        raise cannot_run(*shell)
    if first is None:
        raise cannot_run(
            f"{name} was not found on the PATH of the server ({path})",
            _question(name, path) + f"install {name}, give its full path in command, or set PATH in env",
        )

    return first


def _shell_only(name: str) -> tuple[str, str] | None:
    """What is wrong, and what to do, where the word is one for a shell: a whole line, or a builtin."""
    import shlex  # noqa: PLC0415 - only these messages need it

    use_one = 'or have a shell read it: command = ["sh", "-c", "..."]'

    if any(letter.isspace() for letter in name):
        try:
            words = ", ".join(f'"{word}"' for word in shlex.split(name))
        except ValueError:
            words = '"...", "..."'
        reason = f"no program is called {shlex.quote(name)}: the command is one word with spaces in it"
        return reason, f"give its words one by one, [{words}], {use_one}"
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


@dataclass(frozen=True, slots=True)
class _Checks:
    """Whether the kernel would run a file, and the interpreters that it names."""

    cwd: Path
    env: Mapping[str, str]
    account: Account | None

    def executable(self, program: str, depth: int) -> None:
        _check_file(program)

        try:
            head = self._head(program)
        except OSError:
            return  # it may be executed, though not read

        if head.startswith(b"#!"):
            self._script(program, head, depth)
        else:
            check_binary(program, head)

    def _head(self, program: str) -> bytes:
        who = self.account
        if who is not None:
            return read_as(who.uid, who.gid, who.groups, program, _HEAD)

        # A pipe that was put there meanwhile does not hold us up.
        descriptor = os.open(program, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _HEAD)
        finally:
            os.close(descriptor)

    def _script(self, program: str, head: bytes, depth: int) -> None:
        line = head[2:].split(b"\n", 1)[0].decode(errors="replace")
        words = line.strip(" \t").split(maxsplit=1)

        if line.endswith("\r"):
            raise cannot_run(
                f"the first line of {program} ends in a Windows line end", "save it with Unix line ends"
            )
        if not words or not depth:
            raise cannot_run(
                f"{program} names no interpreter that can run it", "correct the #! in its first line"
            )

        interpreter = os.path.join(self.cwd, words[0])  # noqa: PTH118
        wanted = [interpreter]

        if Path(interpreter).name == "env" and len(words) > 1:
            wanted += _wanted_by_env(words[1], self.cwd, self.env)

        for needed in wanted:
            self._interpreter(needed, program, depth)

    def _interpreter(self, needed: str, program: str, depth: int) -> None:
        try:
            self.executable(needed, depth - 1)
        except ProcessSpawnFailed as error:
            reason = f"the interpreter of {program} cannot run: {error.message}"
            raise cannot_run(reason, error.context.hint) from None


def _check_file(program: str) -> None:
    try:
        mode = os.stat(program).st_mode  # noqa: PTH116 - as above
    except FileNotFoundError:
        raise cannot_run(f"{program} does not exist", "install it, or correct command") from None
    except OSError as error:
        raise cannot_run(
            f"{program} cannot be looked at: {error.strerror}", "check the path in command"
        ) from None

    if stat.S_ISDIR(mode):
        raise cannot_run(f"{program} is a directory", "give the path of the program inside it")
    if not stat.S_ISREG(mode):
        raise cannot_run(f"{program} is not a regular file", "correct command")
    if not os.access(program, os.X_OK):
        raise cannot_run(
            f"{program} is not executable",
            f"run chmod +x {program} (and see that its file system is not mounted noexec)",
        )


def _wanted_by_env(arguments: str, cwd: Path, env: Mapping[str, str]) -> list[str]:
    """Find what `#!/usr/bin/env NAME` will look for; other forms of it are left to env itself."""
    name = arguments.removeprefix("-S").split()[0] if arguments.removeprefix("-S").split() else ""
    return [] if not name or name.startswith("-") or "=" in name else [_look_up(name, cwd, env)]
