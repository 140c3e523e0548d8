"""What a compressed file of a log holds, read forwards in little memory."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress

_GZIP = 31  # of zlib's window bits: with the head and the sum of gzip
_PACKED = 32 * 1024
_MOST = 256 * 1024


class CompressedLog:
    """Unpacks one file, whose descriptor may be another one at each call: between two it may be closed.

    Besides the state of zlib it keeps what was read last. To step back before that begins anew.
    """

    def __init__(self) -> None:
        self._rewind()

    def _rewind(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP)
        self._packed = 0  # the offset of what is unpacked next
        self._start = 0
        self._data = b""  # what was read last, from there on

    def read(self, fd: int, offset: int, size: int) -> bytes:
        """Some bytes of what is unpacked; fewer at its end, or where it is broken."""
        if offset < self._start:
            self._rewind()
        while (missing := offset + size - self._start - len(self._data)) > 0:
            piece = self._next(fd, min(missing, _MOST))
            if not piece:
                break
            behind = self._start + len(self._data)
            if behind <= offset:
                self._start, self._data = behind, piece
            else:
                self._data += piece
        if offset > self._start + len(self._data):
            return b""
        self._data = self._data[offset - self._start :]
        self._start = offset
        return self._data[:size]

    def _next(self, fd: int, most: int) -> bytes:
        with suppress(OSError, zlib.error):
            while True:
                packed = os.pread(fd, _PACKED, self._packed)
                piece = self._inflate.decompress(packed, most)
                rest = len(self._inflate.unconsumed_tail) + len(self._inflate.unused_data)
                self._packed += len(packed) - rest
                if self._inflate.eof:  # another one may follow: gzip files can be joined
                    self._inflate = zlib.decompressobj(_GZIP)
                if piece or not packed:
                    return piece
        return b""
