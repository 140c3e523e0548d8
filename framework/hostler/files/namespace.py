"""The namespace of a configuration: by it its state on disk, its locks and its hostler are found.

Every command asks for it, so this imports little and knows paths as text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress

from hostler.files.digest import hex_digest

LINKS = "links"
"""The folder in the state directory with the names that links lead to."""

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._]+")
_LONGEST_SLUG = 60
_LONGEST_NOTE = 4096
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def namespace_of(
    configuration: str | os.PathLike[str], state: str | os.PathLike[str], data: str | os.PathLike[str]
) -> str:
    """The namespace of a configuration file, whichever way leads to its folder.

    `state` and `data` are those of `Directories`: what ran before decides by which of several links it is
    found.
    """

    def remembered(real: str) -> str | None:
        with suppress(OSError):
            descriptor = os.open(os.path.join(state, LINKS, namespace_key(real)), _OPEN)
            with open(descriptor, "rb") as file:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    return os.fsdecode(file.read(_LONGEST_NOTE))
        return None

    def has_data(namespace: str) -> bool:
        return os.path.isdir(os.path.join(data, data_folder(namespace)))

    return known_namespace(named_namespace(os.fspath(configuration)), remembered, has_data)


def named_namespace(configuration: str) -> str:
    """What is the same for one file, whatever its links lead to: its path as it was named."""
    path = os.path.join(_current_folder(), configuration)
    short = os.path.normpath(path)
    if ".." not in path.split("/") or os.path.realpath(short) == os.path.realpath(path):
        return short
    return real_namespace(path)


def known_namespace(
    namespace: str, remembered: Callable[[str], str | None], has_data: Callable[[str], bool]
) -> str:
    """The namespace that the state of a configuration is found under.

    That is the path by which it was run first, as long as this leads to the same folder: a link that is
    turned over keeps its state, and what it led to before has its own again. `remembered` gives the name by
    which a real path was run, `has_data` tells whether there is anything of a namespace.
    """
    real = real_namespace(namespace)
    if real == namespace:
        known = remembered(real)
        leads_here = known is not None and (real_namespace(known) == real or _is_entered(known))
        return known if known is not None and leads_here else namespace
    return real if has_data(real) and not has_data(namespace) else namespace


def real_namespace(namespace: str) -> str:
    """The same file in the folder that links lead to; what is no path stays as it is."""
    folder, name = os.path.split(namespace)
    return os.path.join(os.path.realpath(folder), name) if folder.startswith("/") else namespace


def data_folder(namespace: str) -> str:
    """The name of the folder with the outputs of one configuration, which people recognise."""
    folder, name = os.path.split(namespace)
    words = f"{os.path.basename(folder)}-{os.path.splitext(name)[0]}"
    slug = _NOT_IN_A_NAME.sub("-", words).strip("-.")[-_LONGEST_SLUG:]
    digest = hex_digest(namespace.encode("utf-8", "surrogateescape"))[:8]
    return f"{slug}-{digest}" if slug else digest


def namespace_key(namespace: str) -> str:
    """The name of a namespace's file in a folder of many: 64 hexadecimal digits."""
    return hex_digest(os.fsencode(namespace))


def _is_entered(namespace: str) -> bool:
    """Whether the shell went into the current folder by the link of this namespace, turned over since."""
    return os.path.dirname(namespace) == os.environ.get("PWD")


def _current_folder() -> str:
    """The current folder as the shell calls it, with the links that it was entered by."""
    named = os.environ.get("PWD", "")
    with suppress(OSError):
        if named.startswith("/") and os.path.samefile(named, "."):
            return named
    return os.getcwd()
