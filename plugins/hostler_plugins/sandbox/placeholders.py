"""Creates empty files in place of missing ones that hostler would read or run if the server made them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hostler import EnvironmentSetupFailed, Launch

from hostler_plugins.sandbox.own_files import import_folders, settings_of_tools
from hostler_plugins.sandbox.paths import Place, may_write

_PRIVATE, _COMMON, _FOLDER = "077", "022", "folder"
# Where the server's user cannot make one, the server cannot either.
_MAKE = """while [ $# -gt 0 ]; do
  ( if [ "$1" = folder ]; then umask 077; exec mkdir -p -- "$2"; fi
    umask 077; mkdir -p -- "${2%/*}" || exit 1
    umask "$1"; set -C; true > "$2" ) 2>&-
  there="$2"; until [ -e "$there" ]; do there="${there%/*}"; there="${there:-/}"; done
  if [ "$there" != "$2" ] && [ -w "$there" ]; then echo "$2 cannot be made in $there" >&2; exit 1; fi
  shift 2
done"""


@dataclass(frozen=True, slots=True)
class Placeholder:
    """An empty file or folder that is to be made, with its umask or the word "folder"."""

    path: Path
    kind: str


def placeholders(launch: Launch, places: Iterable[Place]) -> list[Placeholder]:
    """Those that are missing where a server with these places could make them.

    Raises EnvironmentSetupFailed for one that cannot be empty.
    """
    places = list(places)
    starts = launch.inputs_of_starts
    if needed := _absent((path for path, needed in starts.items() if needed), places):
        raise EnvironmentSetupFailed(
            f"{needed[0]} is missing, which hostler reads for a server, and this server could write it",
            hint="make it first, or name one outside of the folders that the server may write to",
            details={"path": str(needed[0])},
        )

    optional = _absent((path for path, needed in starts.items() if not needed), places)
    return [
        *(Placeholder(path, _PRIVATE) for path in optional),
        *(Placeholder(path, _COMMON) for path in _absent(settings_of_tools(launch.host_env), places)),
        *(Placeholder(path, _FOLDER) for path in _absent(import_folders(), places)),
    ]


def command_to_make(wanted: Sequence[Placeholder]) -> list[str]:
    """The argv that makes them, as the user of the server."""
    return ["/bin/sh", "-c", _MAKE, "sh", *(word for one in wanted for word in (one.kind, str(one.path)))]


def _absent(paths: Iterable[Path], places: Sequence[Place]) -> list[Path]:
    return [path for path in paths if not os.path.lexists(path) and may_write(path.parent, places)]
