"""From an announcement to a confirmed endpoint: who listens there, and is it ours?"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from hostler.errors import PortInUse, PortParsingFailed, ServerError, StartupTimeout
from hostler.loop import loop_time
from hostler.model import Endpoint, IdentityCheck, ServerSpec
from hostler.process.exits import Process
from hostler.process.processes import Processes
from hostler.process.sockets import Listener, ListenerKind, is_wider

# A stranger at the announced address may be a decoy of the output (a proxy's target) that a better
# announcement replaces soon; after this many seconds it is taken at its word.
_STRANGER_PATIENCE = 2.0
_FIRST_PAUSE = 0.001
# Some servers tell where they listen and then name other addresses. One that was announced before the
# latest is looked at again when it is as old as this share of startup_timeout. So many are kept.
_SILENCE = 1 / 3
_MOST_EARLIER = 8
# With port_from_socket: when the sockets are looked at (a share of startup_timeout), and how often.
_SOCKET_PAUSE = 0.25
_SOCKET = "socket"


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A process of the server listens here, or that cannot be told and `doubt` says why."""

    endpoint: Endpoint
    source: str
    doubt: str = ""


def stranger_at(endpoint: Endpoint, process: Process, processes: Processes) -> str:
    """Who listens there that is not of the process's tree: "pid 12 (nginx)"; "" where that is not so."""
    try:
        listener = processes.who_listens(endpoint, lambda: [process.pid])

        if listener.kind is ListenerKind.FOREIGN:  # or one of the tree, which is dearer to look up
            listener = processes.who_listens(endpoint, lambda: processes.members(process))
    except OSError:  # no descriptor left to look with, say
        return ""

    return f"pid {listener.pid} ({listener.name})" if listener.kind is ListenerKind.FOREIGN else ""


@dataclass(slots=True)
class EndpointSearch:
    """Waits until a process of the server's tree listens at the latest candidate."""

    spec: ServerSpec
    process: Process
    processes: Processes
    candidate: Endpoint | None = None
    source: str = ""
    seen: Listener | None = None
    _pause: float = _FIRST_PAUSE
    _stranger_since: float = float("inf")
    _offered_at: float = 0.0
    _earlier: dict[Endpoint, tuple[str, float]] = field(default_factory=dict)
    _silent_until: float = float("inf")
    _offered: anyio.Event = field(default_factory=anyio.Event)

    def offer(self, candidate: Endpoint, source: str) -> None:
        """Take an announcement; a later one replaces an unconfirmed one."""
        if candidate != self.candidate:
            self._remember(candidate)
            self.candidate, self.source, self.seen = candidate, source, None
            self._pause, self._stranger_since = _FIRST_PAUSE, float("inf")
            self._offered.set()

    def _remember(self, latest: Endpoint) -> None:
        if self.candidate is not None and self.source != _SOCKET:
            self._earlier[self.candidate] = (self.source, self._offered_at)

        self._earlier.pop(latest, None)
        self._offered_at = loop_time()

        if len(self._earlier) > _MOST_EARLIER:
            del self._earlier[next(iter(self._earlier))]

    async def run(self) -> Confirmed:
        """Look until the candidate is confirmed.

        Raises PortInUse when a stranger holds it, PortParsingFailed when the server listens wider
        than it may. There is no deadline here: `startup_timeout` is the caller's.
        """
        started = loop_time()

        if self.spec.port_from_socket:
            self._silent_until = started + self.spec.startup_timeout * _SILENCE

        while True:
            verdict = self._look()

            if isinstance(verdict, Confirmed):
                return verdict

            now = loop_time()
            foreign = self.seen is not None and self.seen.kind is ListenerKind.FOREIGN
            self._stranger_since = min(self._stranger_since, now) if foreign else float("inf")

            if now - self._stranger_since > _STRANGER_PATIENCE:
                return self._second_best()

            await self._rest()
            self._pause = min(self._pause * 1.5, 0.02 if now - started < 10 else 0.1)

    async def _rest(self) -> None:
        """Wait for an announcement; where there is one already, only until the next look is due."""
        with anyio.move_on_after(self._until_next_look()):
            await self._offered.wait()

        self._offered = anyio.Event()

    def _until_next_look(self) -> float | None:
        if self.candidate is not None and self.source != _SOCKET:
            return self._pause

        if not self.spec.port_from_socket:
            return None

        return max(self._silent_until - loop_time(), _SOCKET_PAUSE)

    def _offer_socket(self) -> None:
        """Nobody has said anything for long enough: take the port that the tree listens at, if it is one."""
        if loop_time() < self._silent_until:
            return

        sockets = self.processes.listening_sockets(self._members())

        if len({found.port for found in sockets}) == 1:
            best = next((found for found in sockets if found.host == self.spec.host), sockets[0])
            self.offer(Endpoint(best.host, best.port, self.spec.scheme), _SOCKET)

    def _look(self) -> Confirmed | None:
        try:
            if self.candidate is None or self.source == _SOCKET:
                self._offer_socket()

            if self.candidate is None:
                return None

            self.seen = listener = self.processes.who_listens(self.candidate, lambda: [self.process.pid])

            if (
                listener.kind is ListenerKind.FOREIGN
            ):  # or a worker of ours: the whole tree is dearer to look up
                self.seen = listener = self.processes.who_listens(self.candidate, self._members)

            return self._accept(self.candidate, listener) or self._look_back(
                self.spec.startup_timeout * _SILENCE
            )

        except OSError:  # no descriptor left to look with, say: there may be one at the next look
            return None

    def _second_best(self) -> Confirmed:
        """A stranger has the latest address: an earlier one must do."""
        with suppress(OSError):
            if confirmed := self._look_back(0.0):
                return confirmed

        raise self.failure()

    def _look_back(self, age: float) -> Confirmed | None:
        """Look whether the server listens at an address that was announced so many seconds ago."""
        latest = loop_time() - age

        for candidate, (source, offered_at) in reversed(self._earlier.items()):
            if offered_at <= latest:
                listener = self.processes.who_listens(candidate, self._members)

                if listener.kind is ListenerKind.OWN:
                    self._refuse_wider(listener)
                    return Confirmed(candidate, source)

        return None

    def _members(self) -> list[int]:
        return self.processes.members(self.process)

    def _accept(self, candidate: Endpoint, listener: Listener) -> Confirmed | None:
        check = self.spec.identity

        match listener.kind:
            case ListenerKind.NOBODY:
                return None
            case ListenerKind.OWN:
                self._refuse_wider(listener)
                return Confirmed(candidate, self.source)
            case ListenerKind.UNKNOWN if check is not IdentityCheck.REQUIRE:
                doubt = f"cannot tell which process listens at {candidate.url} (another user or namespace)"
                return Confirmed(candidate, self.source, doubt if check is IdentityCheck.CHECK else "")
            case ListenerKind.FOREIGN if check is IdentityCheck.OFF:
                return Confirmed(candidate, self.source)
            case _:
                return None

    def _refuse_wider(self, listener: Listener) -> None:
        bound = listener.bound_host

        if self.spec.expose or bound is None or not is_wider(bound, self.spec.host):
            return

        raise PortParsingFailed(
            f"the server listens on {bound or 'all addresses'}, which is wider than {self.spec.host}",
            server=self.spec.name,
            hint="tell the server to bind to loopback, or set expose = true if others may reach it",
            details={"bound": bound, "asked": self.spec.host},
            permanent=True,
        )

    def failure(self) -> ServerError:
        """Why there is no endpoint: for the error when time is up or a stranger is there."""
        if self.seen is not None and self.seen.kind is ListenerKind.FOREIGN and self.candidate is not None:
            return PortInUse(
                f"port {self.candidate.port} at {self.candidate.host} belongs to another process: "
                f"pid {self.seen.pid} ({self.seen.name})",
                server=self.spec.name,
                hint="stop that process, or set port = 0 to have a free port chosen",
                details={"port": self.candidate.port, "pid": self.seen.pid, "name": self.seen.name},
            )

        if self.candidate is None:
            return self._never_announced()

        if self.seen is not None and self.seen.kind is ListenerKind.UNKNOWN:
            return StartupTimeout(
                f"cannot tell which process listens at {self.candidate.url} (another user or namespace)",
                server=self.spec.name,
                hint='set identity = "check" if that is as it should be: now it is "require"',
                details={"url": self.candidate.url, "source": self.source},
            )

        hint = "raise startup_timeout if it needs longer, or name the right line with regex-port"
        socket = self._only_socket()
        return StartupTimeout(
            f"nothing of this server listens at {self.candidate.url} (told by {self.source})",
            server=self.spec.name,
            hint=f"it listens at {socket}: {hint}" if socket else hint,
            details={"url": self.candidate.url, "source": self.source},
        )

    def _never_announced(self) -> PortParsingFailed:
        hint = "name its line with regex-port = { pattern = ... }, or set port = false if it has none"
        socket = self._only_socket()

        if socket:
            said = f"it listens at {socket} without saying so"
            hint = f"{said}: set that port, or port_from_socket = true; or {hint}"

        return PortParsingFailed(
            "the output never told where the server listens", server=self.spec.name, hint=hint
        )

    def _only_socket(self) -> str:
        """The one address that the tree listens at; empty for none or several."""
        sockets = self.processes.listening_sockets(self._members())

        if len(sockets) != 1:
            return ""

        host = f"[{sockets[0].host}]" if ":" in sockets[0].host else sockets[0].host
        return f"{host}:{sockets[0].port}"
