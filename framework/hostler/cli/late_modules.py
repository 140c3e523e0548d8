"""Modules that others import and few calls use, read when they are used.

asyncio and anyio import OpenSSL, which takes 4 MiB and 6 ms of a start; the others take 5 ms of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, spec_from_file_location
from threading import RLock
from types import ModuleType
from typing import Any

_TLS = frozenset({"ssl", "asyncio.sslproto"})
# Of urllib.parse, linecache, subprocess, msgspec and uuid; and what msgspec makes JSON Schemas with.
_OTHERS = frozenset({"ipaddress", "tokenize", "locale", "textwrap", "platform", "msgspec.inspect"})
_NOT_IN_CODE = frozenset({"__path__", "__file__", "__cached__"})  # the import itself asks for them


class _LateModule(ModuleType):
    """A module whose code runs when something in it is asked for the first time, by whatever thread.

    importlib.util.LazyLoader does the same, but before Python 3.12 it shows half a module to a second thread.
    """

    def __init__(self, name: str, loader: Any) -> None:
        super().__init__(name)
        self._late_loader = loader
        self._late_lock = RLock()

    def __getattr__(self, name: str) -> Any:
        values = vars(self)
        if name not in _NOT_IN_CODE:
            with self._late_lock:
                loader, self._late_loader = self._late_loader, None  # its own code asks, too
                if loader is not None:
                    self._read(loader)
        if name not in values:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return values[name]

    def _read(self, loader: Any) -> None:
        try:
            loader.exec_module(self)
        except BaseException:  # such as a lack of descriptors, which may be over when it is asked again
            self._late_loader = loader
            raise


class _LateLoader:
    # No importlib.abc.Loader: Python 3.11 imports tempfile and all kinds of compression with that module.
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _LateModule(spec.name, self._loader)

    def exec_module(self, module: ModuleType) -> None:
        """Not now."""


class _LateFinder:
    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in self._names else None
        if spec is None:
            return None
        loader: Any = _LateLoader(spec.loader)
        return spec_from_file_location(name, spec.origin, loader=loader)


def import_late() -> None:
    """Have these modules read when they are used; before others are imported.

    Without OpenSSL its import fails as it should: who can do without it has to know at once.
    """
    if not any(isinstance(one, _LateFinder) for one in sys.meta_path):
        sys.meta_path.insert(0, _LateFinder(_OTHERS if find_spec("_ssl") is None else _OTHERS | _TLS))


def import_msgspec() -> None:
    """Import it without typing_extensions, of which it takes only what Python has itself from 3.11 on.

    It imports uuid, which asks `platform` for the system alone: answered without reading the rest.
    """
    vars(import_module("platform")).setdefault("system", lambda: os.uname().sysname)
    is_hidden = sys.modules.setdefault("typing_extensions", None) is None  # type: ignore[arg-type]
    try:
        import_module("msgspec")
    finally:
        if is_hidden:
            del sys.modules["typing_extensions"]


@contextmanager
def tls_in_annotations() -> Iterator[None]:
    """Let anyio, imported inside, take ssl.SSLContext for its annotations without reading the rest.

    It needs no more of OpenSSL, and so runs where there is none.
    """
    ssl = _ssl_or_none()
    values = vars(ssl or sys.modules.setdefault("ssl", ModuleType("ssl")))
    is_late = ssl is None or values.get("_late_loader") is not None
    if is_late:
        values["SSLContext"] = object
    try:
        yield
    finally:
        if is_late and values["SSLContext"] is object:
            del values["SSLContext"]
        if ssl is None:
            del sys.modules["ssl"]


def _ssl_or_none() -> ModuleType | None:
    try:
        return import_module("ssl")
    except ImportError:
        return None
