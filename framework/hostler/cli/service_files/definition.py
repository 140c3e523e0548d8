"""What a service is: the same for systemd and launchd."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hostler.files.namespace import named_namespace

MARKER = "Written by `hostler service install`; `hostler service uninstall` removes it."
"""Stands in each file that we have written: others are neither overwritten nor removed."""

START_SECONDS, STOP_SECONDS, WATCHDOG_SECONDS, RESTART_SECONDS = 900, 60, 30, 5
UMASK = 0o077

ALWAYS_SET = {"HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "USER", "XDG_RUNTIME_DIR"}
"""Variables that a service has, or that hostler does without."""

_DIRECTORIES = ("XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")
_NOT_IN_A_FILE = re.compile(r"[\x00-\x1f\x7f]")


class Service(NamedTuple):
    """A service that runs hostler: `words` is its command, `variables` its environment beside the usual.

    `is_own` is one of your own user, which needs no root.
    """

    name: str
    configuration: str
    words: Sequence[str]
    is_own: bool
    variables: Sequence[tuple[str, str]] = ()


def describe(
    file: str, options: Sequence[str], environ: Mapping[str, str], *, is_own: bool, name: str = ""
) -> Service:
    """The service that runs `hostler run FILE` with these options, by the Python that runs now.

    Raises ValueError where no service manager can have that in a file.
    """
    configuration = named_namespace(file)
    # Nothing is imported from the folder that a service manager starts us in.
    words = [str(Path(sys.executable).absolute()), "-P", "-m", "hostler.cli", "run", configuration, *options]
    for word in words:
        if _NOT_IN_A_FILE.search(word) or not _is_text(word):
            raise ValueError(f"{word!r} has a character that the file of a service cannot have")
    # For all users no folder is searched that one of them could write to.
    variables = _variables(environ) if is_own else ()
    return Service(name or _name(configuration), configuration, words, is_own, variables)


def _variables(environ: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """Where servers find their programs, and where this shell's `hostler ps` looks for its hostler."""
    values = [(name, _absolute(environ.get(name, ""))) for name in ("PATH", *_DIRECTORIES)]
    return [(name, value) for name, value in values if value]


def _name(configuration: str) -> str:
    """`hostler-shop` for shop/hostler.toml and shop.toml; `hostler` where they say no more than that."""
    path = Path(configuration)
    word = path.parent.name if path.stem == "hostler" else path.stem
    word = _NOT_IN_A_NAME.sub("-", word).strip("-.")
    return "hostler" if word in {"", "hostler"} else f"hostler-{word}"


def _absolute(path: str) -> str:
    folders = [one for one in path.split(":") if one.startswith("/") and not _NOT_IN_A_FILE.search(one)]
    return ":".join(one for one in dict.fromkeys(folders) if _is_text(one))


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
