"""The namespace of a configuration among the records on disk: found, and noted for those who come later."""

from __future__ import annotations

import os
from contextlib import suppress

from hostler.errors import ServerError
from hostler.files.namespace import LINKS, known_namespace, namespace_key, real_namespace
from hostler.process.disk.directories import Directories
from hostler.process.disk.files import found_folder, own_folder, read_replaced, replace_file


def resolve_namespace(directories: Directories, namespace: str) -> str:
    """The namespace that the state of a configuration is found under, whichever way leads to its folder."""

    def remembered(real: str) -> str | None:
        with suppress(OSError), found_folder(directories.state, LINKS) as folder:
            return os.fsdecode(read_replaced(namespace_key(real), folder))
        return None

    return known_namespace(namespace, remembered, lambda one: directories.data_for(one).is_dir())


def remember_namespace(directories: Directories, namespace: str) -> None:
    """Note, where links lead to the folder of a configuration, that it is run under this namespace now."""
    real = real_namespace(namespace)
    if real == namespace:
        return
    with suppress(OSError, ServerError), own_folder(directories.state, LINKS) as folder:
        replace_file(namespace_key(real), os.fsencode(namespace), folder)
