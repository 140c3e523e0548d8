"""A port that stands as a number in a command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_NUMBER = r"[1-9][0-9]{1,4}"
_FLAG = r"-p|-port|--port|--http-port|--server-port|--listen-port"
_ADDRESS_FLAG = r"-b|-S|--bind|--listen|--addr|--address|--listen-address"
_ADDRESS = r"(?:[A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\]):(?P<port>[1-9][0-9]{1,4})"
# Words after which a number, or HOST:PORT, is where the program listens.
_MODULE = frozenset({"http.server", "runserver"})


def named_ports(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each port that the words clearly name as the program's own, with the words that do so."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        flag, sign, value = word.partition("=")
        value, written = (value, word) if sign else (following, f"{word} {following}")
        if re.fullmatch(_FLAG, flag) and re.fullmatch(_NUMBER, value):
            yield int(value), written
        elif (flag in _MODULE or re.fullmatch(_ADDRESS_FLAG, flag)) and (
            address := re.fullmatch(_ADDRESS, value)
        ):
            yield int(address["port"]), written
        elif word in _MODULE and re.fullmatch(_NUMBER, following):
            yield int(following), written
