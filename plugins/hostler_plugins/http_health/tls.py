"""Whom https trusts, and as whom it shows itself: files in whose place the server may have put others."""

from __future__ import annotations

import errno
import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
from hostler import ServerView, is_ours, read_input

if TYPE_CHECKING:
    from hostler_plugins.http_health import HttpHealth

_MOST = 4 * 2**20  # a bundle of a whole system has 0.25 MiB


async def make_trust(options: HttpHealth, server: ServerView) -> ssl.SSLContext | bool:
    """What aiohttp is to be given. OSError where a file cannot be used."""
    ca = options.ca if options.verify else None
    if options.certificate is None and ca is None:
        return options.verify
    trusted = None if ca is None else await _read(options, server, ca)
    certificate = None if options.certificate is None else await _own(options, server, options.certificate)
    key = None if options.key is None else await _own(options, server, options.key)
    return await anyio.to_thread.run_sync(_context, options, trusted, certificate, key)


async def _read(options: HttpHealth, server: ServerView, path: Path) -> bytes:
    """Read it as the user of the server where that one decides what it is, and never wait for a pipe."""
    if options.launch is None:  # never spawned: a test of this plugin
        return await anyio.Path(server.spec.cwd / path).read_bytes()
    file = options.launch.cwd / path
    data = await anyio.to_thread.run_sync(read_input, options.launch, file, _MOST + 1, abandon_on_cancel=True)
    if len(data) > _MOST:
        raise OSError(errno.EFBIG, f"it is larger than {_MOST // 2**20} MiB", str(file))
    return data


async def _own(options: HttpHealth, server: ServerView, path: Path) -> bytes:
    """Read what proves who we are: a server that links it elsewhere gets no more than it could read."""
    if options.launch is None:
        return await _read(options, server, path)
    file = options.launch.cwd / path
    ours = await anyio.to_thread.run_sync(is_ours, options.launch, file)
    return await _read(options, server, path) if ours else (await server.read_file(file)).encode()


def _context(
    options: HttpHealth, ca: bytes | None, certificate: bytes | None, key: bytes | None
) -> ssl.SSLContext:
    with ExitStack() as files:
        ca_file, certificate_file, key_file = (
            None if data is None else files.enter_context(_as_file(data)) for data in (ca, certificate, key)
        )
        context = ssl.create_default_context(cafile=ca_file)
        if not options.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate_file is not None:
            word = options.key_word or ""  # never asked for at the terminal
            context.load_cert_chain(certificate_file, key_file, password=lambda: word)
        return context


@contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path at which these bytes stand, for us alone; in memory where the system can do that."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("hostler")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:  # pragma: other-system
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name
