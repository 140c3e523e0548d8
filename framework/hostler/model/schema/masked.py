"""The values of a configuration as they may be shown: without credentials, but with their `${...}`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hostler.model.interpolation import defaults
from hostler.secrets.credentials import MASK, is_address, is_secret_name, masked_words

_REFERENCE = r"(\$\{[^{}]*\})"
_HARMLESS = r"(?i)(\s*(basic|bearer|token)\s+)?\W*"


def masked(value: object, name: str = "") -> object:
    """A value that is to be shown under this name, tables and lists with all that is in them.

    What has a secret name is not shown, whatever its length, and neither are passwords in URLs and what
    follows an option such as `--token`.
    """
    match value:
        case Mapping():
            is_source = set(value) == {"secret"}  # it says where a secret is
            return value if is_source else {key: masked(item, str(key)) for key, item in value.items()}
        case list() | tuple() if is_secret_name(name) or not all(isinstance(item, str) for item in value):
            return [masked(item, name) for item in value]
        case list() | tuple():
            return masked_words(map(without_defaults, value))
        case str() if value and is_secret_name(name) and not is_address(value):
            return _masked_text(value)
        case str():
            return masked_words([value])[0] if "://" in value else without_defaults(value)
        case _:
            return value


def without_defaults(text: str) -> str:
    """A template in which no default of a `${...}` with a secret name is shown."""
    for name, default in defaults(text):
        if is_secret_name(name):
            text = text.replace(f"${{{name}:-{default}}}", f"${{{name}:-{MASK}}}")
    return text


def _masked_text(value: str) -> str:
    """A secret text without all but its `${...}`, which tell where it comes from."""
    parts = re.split(_REFERENCE, value)
    return MASK if len(parts) == 1 else "".join(_masked_part(part) for part in parts)


def _masked_part(part: str) -> str:
    if re.fullmatch(_REFERENCE, part):
        name, default, _ = part.partition(":-")
        return f"{name}:-{MASK}}}" if default else part
    return part if re.fullmatch(_HARMLESS, part) else MASK
