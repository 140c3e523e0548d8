"""How the words of a call are read by the table of its command: to import click takes longer."""

# No `from __future__ import annotations`: typing would compile those of a NamedTuple, a tenth of a `ps`.

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DEFAULT_FILE = "hostler.toml"


class Usage(Exception):
    """Raised for a call that is wrong; the text says what was found and what is allowed."""


class Option(NamedTuple):
    """`--name`, or `--name VALUE` where it has a `metavar` or `choices`.

    `repeats` where it may be given again. `letter` is its other name: "f" for `-f`. What `is_hidden` is
    not in the help.
    """

    name: str
    help: str
    metavar: str = ""
    repeats: bool = False
    letter: str = ""
    choices: Sequence[str] = ()
    is_hidden: bool = False

    @property
    def has_value(self) -> bool:
        """Whether a value follows."""
        return bool(self.metavar or self.choices)

    @property
    def key(self) -> str:
        """Its name in Python."""
        return self.name.replace("-", "_")

    @property
    def words(self) -> tuple[str, ...]:
        """How it is given: "--follow", "-f"."""
        return (f"--{self.name}", *((f"-{self.letter}",) if self.letter else ()))


class Command(NamedTuple):
    """One command: its name, the words behind it, its help and its options."""

    name: str
    words: str
    help: str
    options: Sequence[Option] = ()


FORMATS, LEVELS = ("text", "json"), ("debug", "info", "warning", "error")
LAYERS = (
    Option("profile", "Apply [profiles.NAME].", "NAME", repeats=True),
    Option(
        "set",
        "Set one value: servers.web.port=3000. Takes precedence over everything.",
        "KEY=VALUE",
        repeats=True,
    ),
)


class Arguments:
    """The words and options of one call; `command` are the words behind "--", None without one."""

    def __init__(
        self, words: Sequence[str], values: Mapping[str, list[str]], command: Sequence[str] | None = None
    ) -> None:
        self.file, self.names = file_and_names(words)
        self.words = words
        self.command = command
        self._values = values

    def has(self, option: str) -> bool:
        """Whether an option was given."""
        return option in self._values

    def text(self, option: str, default: str = "") -> str:
        """The value of an option."""
        return self._values.get(option, [default])[-1]

    def texts(self, option: str) -> list[str]:
        """All values of an option that repeats."""
        return self._values.get(option, [])

    def seconds(self, option: str, default: float | None = None) -> float | None:
        """The value as seconds; None for 0, which means no limit. Raises Usage."""
        if not self.has(option):
            return default
        text = self.text(option)
        if text == "0":
            return None
        from hostler.model.units import Duration  # noqa: PLC0415 - only where a time is given

        try:
            return float(Duration.parse(text))
        except ValueError as error:
            raise Usage(f"--{option}: {error}, found {text!r}") from None


def read_call(command: Command, words: Sequence[str]) -> Arguments:
    """Read the words behind the name of a command. Raises Usage."""
    options = {word: option for option in command.options for word in option.words}
    values: dict[str, list[str]] = {}
    plain: list[str] = []
    end = words.index("--") if "--" in words else len(words)
    rest = iter(words[:end])
    for word in rest:
        name, has_value, value = word.partition("=")
        if word[:2] in options and len(word) > 2 and word[2] != "=":  # "-n50"
            name, has_value, value = word[:2], word[2:], word[2:]
        if not word.startswith("-") or word == "-":
            plain.append(word)
            continue
        option = options.get(name)
        if option is None:
            raise _unknown_option(command, name, [word for word, one in options.items() if not one.is_hidden])
        if not option.has_value and has_value:
            raise Usage(f"{name} takes no value")
        if option.has_value and not has_value:
            value = next(rest, "")
            if not value:
                raise Usage(f"{name} takes a value: {name} {'|'.join(option.choices) or option.metavar}")
        if option.choices and value not in option.choices:
            raise Usage(f"{name} takes {', '.join(option.choices)}, found {value!r}")
        values.setdefault(option.name, []).append(value)
    behind = words[end + 1 :] if end < len(words) else None
    if behind and "--" not in command.words:  # it ends the options, as with most programs
        return Arguments([*plain, *behind], values)
    return Arguments(plain, values, behind)


def _unknown_option(command: Command, word: str, known: Sequence[str]) -> Usage:
    """The error for an option that there is not, with the likely one, or else with all."""
    from difflib import get_close_matches  # noqa: PLC0415 - only this message needs it

    near = get_close_matches(word, known, n=1)
    rest = f"did you mean {near[0]}?" if near else f"hostler {command.name} takes {', '.join(known)}"
    return Usage(f"no such option: {word}; {rest}")


def usage(command: Command, error: Usage) -> str:
    """The error of a call, below what can be called."""
    return f"Usage: hostler {command.name} [OPTIONS] {command.words}\n\nError: {error}"


def file_and_names(words: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The words of `[FILE] [NAME]...`: where the first looks like no file, all are names of servers."""
    if words and is_file(words[0]):
        return configuration_file(words[0]), tuple(words[1:])
    return DEFAULT_FILE, tuple(words)


def file_words(file: str) -> str:
    """What names the file in another call: nothing where it is the usual one."""
    return "" if file == DEFAULT_FILE else f" {file}"


def configuration_file(word: str) -> str:
    """The file that a word names; a folder stands for the configuration in it."""
    return os.path.join(word, DEFAULT_FILE) if os.path.isdir(word) else word


def is_file(word: str) -> bool:
    """Whether a word is a file, or a folder with a configuration, and not the name of a server.

    A folder beside a configuration often has the name of a server: it is meant where it has its own.
    """
    looks_so = word in {os.curdir, os.pardir, "-"} or word.endswith(".toml") or os.sep in word
    return looks_so or any(os.path.isfile(path) for path in (word, os.path.join(word, DEFAULT_FILE)) if word)
