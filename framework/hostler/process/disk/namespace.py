"""The namespace of a configuration, by which its state is found on disk, when links lead to its folder."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256

from hostler.errors import ServerError
from hostler.process.disk.directories import Directories
from hostler.process.disk.files import found_folder, own_folder, read_replaced, replace_file

_FOLDER = "links"


def resolve_namespace(directories: Directories, namespace: str) -> str:
    """The namespace that the state of a configuration is found under, whichever way leads to its folder.

    That is the path by which it was run first, as long as this leads to the same folder: a link that is
    turned over keeps its state, and what it led to before has its own again.
    """
    real = _real(namespace)
    if real == namespace:
        known = _remembered(directories, real)
        return known if known is not None and (_real(known) == real or _is_entered(known)) else namespace
    of_real, own = directories.data_for(real), directories.data_for(namespace)
    return real if of_real.is_dir() and not own.is_dir() else namespace


def remember_namespace(directories: Directories, namespace: str) -> None:
    """Note, where links lead to the folder of a configuration, that it is run under this namespace now."""
    real = _real(namespace)
    if real == namespace:
        return
    with suppress(OSError, ServerError), own_folder(directories.state, _FOLDER) as folder:
        replace_file(_name(real), os.fsencode(namespace), folder)


def _remembered(directories: Directories, real: str) -> str | None:
    try:
        with found_folder(directories.state, _FOLDER) as folder:
            return os.fsdecode(read_replaced(_name(real), folder))
    except OSError:
        return None


def _real(namespace: str) -> str:
    """The same file in the folder that links lead to; what is no path stays as it is."""
    folder, name = os.path.split(namespace)
    return os.path.join(os.path.realpath(folder), name) if folder.startswith("/") else namespace  # noqa: PTH118


def _is_entered(namespace: str) -> bool:
    """Whether the shell went into the current folder by the link of this namespace, turned over since."""
    return os.path.dirname(namespace) == os.environ.get("PWD")  # noqa: PTH120


def _name(real: str) -> str:
    return sha256(os.fsencode(real)).hexdigest()
