"""One start at a time in one data directory, until a first one got through.

Servers that start together on a fresh data directory break each other's migrations.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hostler import EnvironmentSetupFailed

from hostler_plugins.opencode.file_lock import FileLock, take_lock


@dataclass(slots=True)
class FirstStart:
    """The right to be the only one that starts a version in a data directory, while it is needed."""

    data: Path
    folder: Path
    version: str
    _lock: FileLock | None = field(default=None, init=False)

    async def take(self, waiting: Callable[[], None]) -> None:
        """Wait for the turn, unless this version was already ready with this directory.

        Raises EnvironmentSetupFailed when the lock file cannot be made.
        """
        if self._was_ready():
            return

        try:
            lock = await take_lock(self.folder / f"opencode-data-{self._key()}.lock", waiting)
        except OSError as error:
            raise EnvironmentSetupFailed(
                f"no lock can be made in {self.folder}: {error.strerror}",
                hint="make sure that it is writable",
            ) from error

        # Whoever held the lock got through meanwhile: from now on starts may run side by side.
        if self._was_ready():
            lock.release()
        else:
            self._lock = lock

    def ready(self) -> None:
        """The server is ready: from now on starts need not wait."""
        with suppress(OSError):
            descriptor = os.open(self._marker(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(descriptor, 0o600)
                file.write(self._identity())
        self.release()

    def release(self) -> None:
        """Let the next one start; any number of times."""
        if self._lock is not None:
            self._lock.release()

    def _was_ready(self) -> bool:
        try:
            return self._marker().read_text() == self._identity() != ""
        except OSError:
            return False

    def _identity(self) -> str:
        """What is different after the directory or its database was made anew."""
        try:
            found = self.data.stat()
            databases = sorted((path.name, path.stat().st_ino) for path in self.data.glob("*.db"))
        except OSError:
            return ""
        return f"{found.st_dev} {found.st_ino} {databases}"

    def _key(self) -> str:
        return hashlib.sha256(os.path.realpath(self.data).encode()).hexdigest()[:24]

    def _marker(self) -> Path:
        version = "".join(letter if letter.isalnum() or letter in ".-" else "_" for letter in self.version)
        return self.folder / f"opencode-data-{self._key()}-{version or 'unknown'}.ready"
