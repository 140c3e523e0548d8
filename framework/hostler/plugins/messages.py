"""Wording that messages about plugins share."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from hostler.model.schema.diagnostics import likely

_LONGEST_REPR = 300
# How a dataclass says it: its cure is not that of an option.
_MUTABLE = r"mutable default <class '(?P<kind>\w+)'> for field (?P<name>\w+) "
BY_PATH = "hostler_plugin_"


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """A question to append to a sentence, or ""."""
    proposal = likely(word, choices)
    return f'; did you mean "{proposal}"?' if proposal else ""


def said(error: BaseException) -> str:
    """The repr of an exception, bounded; its class alone where that fails too."""
    try:
        text = repr(error)
    except Exception:  # noqa: BLE001 - a plugin's exception may be broken itself
        return type(error).__name__
    return text if len(text) <= _LONGEST_REPR else text[:_LONGEST_REPR] + "..."


def fault_in(error: BaseException, file: str) -> str:
    """What was raised for a plugin's file, with the line of the file where that is known."""
    if isinstance(error, SyntaxError) and error.lineno is not None and error.filename == file:
        return f"line {error.lineno}: {type(error).__name__}: {error.msg}"
    if isinstance(error, OSError) and str(error.filename) == file and error.strerror:
        return f"it cannot be read: {error.strerror}"
    from traceback import extract_tb  # noqa: PLC0415 - few plugins have a fault

    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == file]
    fault = said(error)
    if type(error) is ValueError and (mutable := re.match(_MUTABLE, str(error))):
        cure = f'{mutable["name"]}: ... = option({mutable["kind"]}(), "what it means")'
        fault = f"a {mutable['kind']} can be the default of an option alone; write {cure}"
    return f"line {lines[-1]}: {fault}" if lines else fault


def place_of(class_: type) -> str:
    """Where a class is found, as `use` would name it: "package.module.Class" or "path/to/file.py:Class"."""
    # A plugin that is used by its path lives in a module of a made-up name, which helps nobody.
    if class_.__module__.startswith(BY_PATH):
        return f"{file_of(class_)}:{class_.__qualname__}"
    return f"{class_.__module__}.{class_.__qualname__}"


def file_of(class_: type) -> str:
    """The file of the module of a class, "" where there is none."""
    return str(getattr(sys.modules.get(class_.__module__), "__file__", None) or "")
