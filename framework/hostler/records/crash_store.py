"""The crash records of each server on disk: the last 20, one file a record."""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hostler.events.crash import KEPT, CrashRecord
from hostler.process.disk.files import (
    UNFINISHED,
    file_name,
    found_folder,
    own_folder,
    read_small,
    recycle_file,
    remove,
    replace_file,
)

_NAME = re.compile(r"\d{8,18}-[0-9a-f]{8}\.json")
_UNFINISHED = _NAME.pattern + re.escape(UNFINISHED)
_STALE_SECONDS = 60.0


class StoredCrash(NamedTuple):
    """A record and its number, which it keeps as long as it is stored."""

    number: int
    record: CrashRecord


class CrashStore:
    """The crash records in one data directory: crashes/SERVER/NUMBER-*.json. Blocking."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def write(self, record: CrashRecord) -> None:
        """Add a record, whole or not at all, and remove the oldest beyond 20.

        OSError when the disk is full or refuses, EnvironmentSetupFailed when the data directory is not
        to be trusted. It is not synced: after a loss of power the last one may be missing.
        """
        data = json.dumps(record.as_dict()).encode()
        with own_folder(self._data_dir, "crashes", file_name(record.server)) as folder:
            names = _names(folder)
            number = _number(names[-1]) + 1 if names else 1
            # The token keeps a writer that chose the same number from replacing this record.
            name = f"{number:08d}-{os.urandom(4).hex()}.json"
            oldest = names[: max(0, len(names) + 1 - KEPT)]
            if oldest:
                recycle_file(oldest.pop(), name, data, folder)
            else:
                replace_file(name, data, folder)
            for old in oldest:
                remove(old, folder)
            _remove_stale(folder)

    def read(self, server: str) -> list[StoredCrash]:
        """Read the records of a server, oldest first. What is torn, foreign or unreadable is left out."""
        with (
            suppress(OSError),
            found_folder(self._data_dir, "crashes", file_name(server)) as folder,
        ):
            found = [(_number(name), _read(folder, name)) for name in _names(folder)]
            return [StoredCrash(number, one) for number, one in found if one and one.server == server]
        return []


def _names(folder: int) -> list[str]:
    return sorted((name for name in os.listdir(folder) if _NAME.fullmatch(name)), key=_number)


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _read(folder: int, name: str) -> CrashRecord | None:
    try:
        return CrashRecord.from_dict(json.loads(read_small(name, folder)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _remove_stale(folder: int) -> None:
    """Remove what somebody left who was killed while he wrote."""
    for name in os.listdir(folder):
        with suppress(OSError):
            if re.fullmatch(_UNFINISHED, name):
                written = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if written < time.time() - _STALE_SECONDS:
                    os.unlink(name, dir_fd=folder)
