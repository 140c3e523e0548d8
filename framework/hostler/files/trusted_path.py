"""Which users decide what a path leads to, and reading a file with their rights instead of root's."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path  # `hostler up` is done before it would be imported

EVERYBODY = -1  # stands for all users, where a folder is open to all

_MOST_LINKS = 40
_ENTRY = struct.Struct("<HHI")  # of an access list, behind 4 bytes of version: kind, permissions, id
_USER, _GROUP = 0x02, 0x08  # the kinds that name one
_SECONDS = 10.0  # a pipe in the place of the file, or a disk that hangs
MISSING, NO_FILE = 3, 4
READ_SCRIPT = f'[ -e "$1" ] || exit {MISSING}; [ -f "$1" ] || exit {NO_FILE}; exec head -c "$2" -- "$1"'
"""For a shell: writes the first bytes of a file; the exit codes say that there is none."""


def other_writers(path: Path) -> set[int]:
    """The users but root and ourselves who can change what a path leads to: folders, links, the file.

    OSError when the way cannot be walked.
    """
    return {uid for place, found in _steps_to(path) for uid in _writers_of(place, found)} - {0, os.geteuid()}


def named_writers(folder: Path | str) -> list[tuple[int, int]]:
    """The users and groups that a POSIX access list lets write: kind (2 a user, 8 a group) and id."""
    read = getattr(os, "getxattr", None)  # macOS has none
    try:
        data: bytes = read(folder, "system.posix_acl_access") if read else b""
    except OSError:  # there is none
        return []
    entries = _ENTRY.iter_unpack(data[4:])
    return [(kind, number) for kind, may, number in entries if kind in {_USER, _GROUP} and may & 2]


def read_as(uid: int, gid: int, groups: Sequence[int], path: Path | str, most: int) -> bytes:
    """Read at most `most` bytes of a plain file with the rights of another user; takes root.

    OSError as that user gets it, and when it takes longer than 10 s.
    """
    from hostler.files.run_as import run_as  # noqa: PLC0415 - brings subprocess

    # A child, as the rights of a thread alone cannot be changed in Python.
    words = ["/bin/sh", "-c", READ_SCRIPT, "sh", os.path.abspath(path), str(most)]  # noqa: PTH100 - no link is followed
    try:
        code, data = run_as(uid, gid, groups, words, most=most, seconds=_SECONDS)
    except TimeoutError:
        raise OSError(errno.ETIMEDOUT, "reading it timed out", str(path)) from None

    number = {0: 0, MISSING: errno.ENOENT, NO_FILE: errno.EINVAL}.get(code, errno.EACCES)
    if number:
        reason = "it is not a regular file" if number == errno.EINVAL else os.strerror(number)
        raise OSError(number, reason, str(path))

    return data


def read_as_owner(uid: int, path: Path, most: int) -> bytes:
    """Read a file with the rights of one of those who decide what it is; errors as in `read_as`."""
    with suppress(KeyError):
        person = pwd.getpwuid(uid)
        return read_as(uid, person.pw_gid, os.getgrouplist(person.pw_name, person.pw_gid), path, most)
    return read_as(uid, uid, [], path, most)


def _steps_to(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All that is passed on the way to a path, links in the middle of it included."""
    here, links = "/", 0
    parts = os.path.join(os.getcwd(), path).split("/")[::-1]  # noqa: PTH109, PTH118 - ".." stays as it is
    yield here, os.lstat(here)

    while parts:
        part = parts.pop()
        if part in {"", "."}:
            continue
        place = os.path.dirname(here) if part == ".." else os.path.join(here, part)  # noqa: PTH118, PTH120
        found = os.lstat(place)
        yield place, found
        if not stat.S_ISLNK(found.st_mode):
            here = place
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = os.readlink(place)  # noqa: PTH115
        here = "/" if target.startswith("/") else here
        parts += target.split("/")[::-1]


def _writers_of(place: str, found: os.stat_result) -> Iterator[int]:
    """Who may put another thing in the place of this, or of what is in this folder."""
    yield found.st_uid

    if not stat.S_ISDIR(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return  # in a sticky folder only its owner, and that of the thing itself

    if found.st_mode & stat.S_IWOTH:
        yield EVERYBODY

    if not found.st_mode & stat.S_IWGRP:  # the mask of an access list, where there is one
        return

    if found.st_gid != 0:
        yield from group_members(found.st_gid)

    for kind, number in named_writers(place):
        yield from [number] if kind == _USER else group_members(number)


def group_members(gid: int) -> Iterator[int]:
    """The users of a group, as far as the accounts of this machine show."""
    yield from (person.pw_uid for person in pwd.getpwall() if person.pw_gid == gid)
    yield from (uid for _, uid in _named_members(gid) if uid is not None)


def unknown_members(gid: int) -> Iterator[str]:
    """The names of users in a group who have no account on this machine now."""
    return (name for name, uid in _named_members(gid) if uid is None)


def _named_members(gid: int) -> Iterator[tuple[str, int | None]]:
    with suppress(KeyError):
        for name in grp.getgrgid(gid).gr_mem:
            try:
                yield name, pwd.getpwnam(name).pw_uid
            except KeyError:
                yield name, None
