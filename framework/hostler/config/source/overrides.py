"""Single values laid over a configuration: `--set servers.web.port=3000`, or `settings={...}` from Python."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TypeAlias

from hostler.errors import InvalidConfiguration, Problem
from hostler.model.dataclass import dataclass
from hostler.model.schema.tree import Node, Place, parse_tree
from hostler.secrets.credentials import MASK, is_secret_name

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = rf"[ \t]*({_PART}(?:[ \t]*\.[ \t]*{_PART})*)[ \t]*"
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and the keys that lead to it; `label` stands in messages where else a file stands."""

    label: str
    keys: tuple[str, ...]
    # What is set on a command line may be a secret, and a repr ends up in logs.
    value: object = field(repr=False)


Settings: TypeAlias = Mapping[str, object] | Sequence[Setting]


def read_setting(text: str) -> Setting:
    """Read `KEY=VALUE`: a dotted key as in TOML, and a TOML value or else a plain string.

    Raises InvalidConfiguration when it has another form.
    """
    key = re.match(_KEY, text)
    rest = text[key.end() :] if key is not None else ""
    keys = _keys(key[1]) if key is not None else None
    if not keys or not rest.startswith("="):
        what = "expected KEY=VALUE with a dotted key, such as servers.web.port=3000"
        raise _invalid(what, f"--set {_short(text.partition('=')[0])}")
    return Setting(f"--set {_label(keys, text)}", keys, _value(rest[1:].strip()))


def read_settings(texts: Iterable[str]) -> list[Setting]:
    """Read several. Raises InvalidConfiguration with the mistakes of all of them."""
    read: list[Setting] = []
    problems: list[Problem] = []

    for text in texts:
        try:
            read.append(read_setting(text))
        except InvalidConfiguration as error:
            problems.extend(error.problems)

    if problems:
        raise InvalidConfiguration(problems)

    return read


def settings_of(settings: Settings) -> list[Setting]:
    """The settings, those of a mapping with their keys read. Raises InvalidConfiguration for a wrong key."""
    if isinstance(settings, Mapping):
        return [_from_python(key, value) for key, value in settings.items()]
    return list(settings)


def tree_of(setting: Setting) -> Node:
    """A setting as the tree of a file that holds nothing else; relative paths start at the current folder.

    Raises InvalidConfiguration for what no configuration can hold.
    """
    value, place = setting.value, Place(setting.label, None, Path.cwd())
    for key in reversed(setting.keys):
        value = {key: value}
    return parse_tree(value, lambda _: place)


def _from_python(key: str, value: object) -> Setting:
    found = re.fullmatch(_KEY, key)
    keys = None if found is None else _keys(found[1])
    if not keys:
        raise _invalid('expected a dotted key, such as "servers.web.port"', f"settings {_short(key)}")
    return Setting(f"settings {_short(key)}", keys, value)


def _invalid(what: str, label: str) -> InvalidConfiguration:
    return InvalidConfiguration([Problem("", what, label)])


def _keys(text: str) -> tuple[str, ...] | None:
    """The parts of a dotted key, None where it is not TOML."""
    try:
        table = tomllib.loads(f"{text} = 0")
    except ValueError:
        return None

    keys = []

    while isinstance(table, dict):
        ((key, table),) = table.items()
        keys.append(key)

    return tuple(keys)


def _value(text: str) -> object:
    """The TOML value of this text; the text itself when it is none, or more than one."""
    try:
        (alone,) = tomllib.loads(f"value = {text}").values()
        (listed,) = tomllib.loads(f"value = [{text}]")["value"]  # refuses comments and further lines
    except (ValueError, RecursionError):
        return text
    return alone if repr(listed) == repr(alone) else text


def _label(keys: Sequence[str], text: str) -> str:
    # The first two keys are `servers` and a name: a server called `token` is no secret.
    if any(is_secret_name(key) for key in keys[2:]):
        return f"{_short(text.partition('=')[0])}={MASK}"
    return _short(text)


def _short(text: str) -> str:
    """A text on one line, cut where it is long."""
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= _LONGEST_LABEL else f"{text[:_LONGEST_LABEL]}..."
