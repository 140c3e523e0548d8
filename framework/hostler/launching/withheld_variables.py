"""Variables of hostler's environment that a server was not given, and misses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hostler.model.launch import Launch
from hostler.secrets.credentials import is_secret_name

_MOST_NAMED = 5
_NEAR = 4
_WORD = r"[A-Za-z_][A-Za-z0-9_]*"
_MISSING = (
    r"(?i)not[ _-]?(set|found|defined|provided|present|given|specified|configured|exist)|unset|unbound|"
    r"undefined|missing|requir|KeyError|environ|\benv\b|\bset\b|must|need|expected|could not|cannot|"
    r"unable|please|empty|no value|provide|resolve"
)
# Every shell has these; a program that lacks one of them has another trouble.
_OF_THE_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "PS1", "PS2", "IFS", "EDITOR", "PAGER", "HOSTNAME"})


def hint_of_withheld(launch: Launch, output: str) -> str:
    """Which variables its last words name as missing, and the lines that hand them on; "" for none."""
    names = list(_withheld(launch, output)) if output.strip() else []
    if not names:
        return ""

    taken = [name for name in names if name in launch.removed]
    if taken:
        who = launch.removed[taken[0]]
        return f"{', '.join(taken)}: set for hostler, but {who} took it away from the server"

    named = names[:_MOST_NAMED]
    are = "is" if len(named) == 1 else "are"
    lines = ", ".join(_line(name) for name in named)
    return f"{', '.join(named)} {are} set for hostler, but withheld from the server; add to its env: {lines}"


def _withheld(launch: Launch, output: str) -> Iterator[str]:
    """The variables of hostler's environment that it was not given, and whose names it printed as missing."""
    missing = launch.host_env.keys() - launch.env.keys() - _OF_THE_SHELL
    lines = output.splitlines()

    for name in sorted(name for name in missing if len(name) > 2):
        lowered = name.lower() if "_" in name else name  # settings are often told as fields of a class
        if name not in output and lowered not in output:
            continue  # as most: words are not looked for in vain, for which a restart would wait
        for number, line in enumerate(lines):
            words = re.findall(_WORD, line)
            near = "\n".join(lines[max(number - _NEAR, 0) : number + _NEAR + 1])
            if (name in words or lowered in words) and re.search(_MISSING, near):
                yield name
                break


def _line(name: str) -> str:
    return f'{name} = {{ secret = "env:{name}" }}' if is_secret_name(name) else f'{name} = "${{{name}}}"'
