"""What a shell proposes for the words of a call: in the protocol of click's scripts, mostly without click."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.command_line import file_and_names, is_file

VARIABLE = "_HOSTLER_COMPLETE"
"""Where click's scripts say for which shell they ask."""

# What a hostler that hangs may hold up the terminal. One that nobody has asked yet imports aiohttp first.
_SECONDS = 1.0
_WITH_SERVERS = ("run", "explain", "crashes", "check", "show")
_PATHS = ("--socket",)


class Proposal(NamedTuple):
    """A word with what it means; or with the kind "file" that the shell itself is to propose files."""

    word: str
    help: str = ""
    kind: str = "plain"


_FILES = Proposal("", kind="file")


class _TooLate(Exception):
    """Raised when nobody waits for the proposals any more."""


def complete(environ: Mapping[str, str], own_names: Sequence[str]) -> bool:
    """Write what a shell asks for; whether it is known here. `own_names` are the commands that click knows.

    Whatever is wrong: nothing is proposed then, and nothing is told.
    """
    shell, _, what = environ[VARIABLE].partition("_")
    form = _FORMS.get(shell)
    if what != "complete" or form is None:
        return False
    # Messages would stand in the middle of the line that somebody writes.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    words, incomplete = _words(environ, shell)
    if words and words[0] not in CLIENT_COMMANDS and not _is_of_servers(words, incomplete):
        return False
    try:
        all_found = _proposals(words, incomplete, own_names)
        found = [one for one in all_found if one is _FILES or one.word.startswith(incomplete)]
        sys.stdout.write("".join(form(one) for one in found))
    except Exception:  # noqa: BLE001 - see above
        return True
    return True


def _raise_too_late(*_: object) -> None:
    raise _TooLate


def _is_of_servers(words: Sequence[str], incomplete: str) -> bool:
    """Whether the next word of a command that click knows may be a server, or a file, and no option."""
    return words[0] in _WITH_SERVERS and not incomplete.startswith("-") and not words[-1].startswith("-")


def _words(environ: Mapping[str, str], shell: str) -> tuple[list[str], str]:
    """The words behind `hostler` that are complete, and the one that is not."""
    text = environ.get("COMP_WORDS", "")
    words = _split(text)
    if shell == "fish":
        incomplete = "".join(_split(environ.get("COMP_CWORD", ""))[-1:])
        if incomplete and words[-1:] == [incomplete]:
            words.pop()
        return words[1:], incomplete
    place = int(environ.get("COMP_CWORD", "0"))
    return words[1:place], words[place] if place < len(words) else ""


def _split(text: str) -> list[str]:
    if not set(text) & set("'\"\\"):
        return text.split()
    import shlex  # noqa: PLC0415 - few words are quoted

    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed yet
        return text.split()


def _proposals(words: Sequence[str], incomplete: str, own_names: Sequence[str]) -> Iterator[Proposal]:
    if not words:
        yield from (Proposal(name) for name in own_names)
        yield from (Proposal(command.name, command.help) for command in CLIENT_COMMANDS.values())
        return
    if "--" in words:  # the command of `exec`
        yield _FILES
        return
    command = CLIENT_COMMANDS.get(words[0])
    options = {} if command is None else {f"--{one.name}": one for one in command.options}
    last = options.get(words[-1])
    if last is not None and last.has_value:
        yield from map(Proposal, last.choices)
        yield from [_FILES] if words[-1] in _PATHS else ()
    elif incomplete.startswith("-"):
        yield from (Proposal(name, option.help) for name, option in options.items())
        yield Proposal("--help")
    else:
        plain = _without_options(words[1:], {name for name, one in options.items() if one.has_value})
        yield from _files_and_servers(plain, incomplete, has_names=command is None or "NAME" in command.words)


def _without_options(words: Sequence[str], with_value: set[str]) -> list[str]:
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if not word.startswith("-") and before not in with_value
    ]


def _files_and_servers(words: Sequence[str], incomplete: str, *, has_names: bool) -> Iterator[Proposal]:
    """The servers that are not named yet, and where a file may stand, files."""
    found = []
    if has_names and not (incomplete and is_file(incomplete) and not words):
        found = [Proposal(name) for name in _servers(words) if name not in words]
    if not words:
        found += [Proposal(name) for name in sorted(os.listdir()) if name.endswith(".toml")]
    found = [one for one in found if one.word.startswith(incomplete)]
    yield from found
    if not found and not words:
        yield _FILES


def _servers(words: Sequence[str]) -> list[str]:
    """The servers of the configuration that was named, as its hostler has them; none without one."""
    from hostler.cli.client.daemon import ClientError, Daemon  # noqa: PLC0415 - not for options
    from hostler.control.location import locate  # noqa: PLC0415

    location = locate(file_and_names(words)[0], os.environ)
    if not location.is_held():
        return []
    signal.signal(signal.SIGALRM, _raise_too_late)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS)
    try:
        return [str(row["name"]) for row in Daemon(location).get("/v1/servers")["servers"]]
    except (_TooLate, ClientError):
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _for_bash(one: Proposal) -> str:
    return f"{one.kind},{one.word}\n"


def _for_zsh(one: Proposal) -> str:
    word = one.word.replace(":", "\\:") if one.help else one.word
    return f"{one.kind}\n{word}\n{one.help or '_'}\n"


def _for_fish(one: Proposal) -> str:
    return f"{one.kind},{one.word}\t{one.help}\n" if one.help else f"{one.kind},{one.word}\n"


_FORMS: Mapping[str, Callable[[Proposal], str]] = {
    "bash": _for_bash,
    "zsh": _for_zsh,
    "fish": _for_fish,
}
