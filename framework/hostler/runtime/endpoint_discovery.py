"""Finds the endpoint of a server: by what it announces, and by the sockets at which it listens."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import field, replace

import anyio
from msgspec import Struct

from hostler.concurrency.event_loop import loop_time
from hostler.errors import ListensTooWide, ServerError
from hostler.model.choices import IdentityCheck
from hostler.model.dataclass import dataclass
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint
from hostler.process.net.addresses import is_loopback, is_wider, is_wildcard, parse_address
from hostler.process.net.ownership import Listener, ListenerKind
from hostler.process.spawn.exits import Process
from hostler.process.system import Processes
from hostler.runtime.endpoint_failure import explain_missing
from hostler.runtime.listener_identity import find_listener

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
# The port that was handed over is listened at, and an announcement would tell its scheme: it is waited for
# until the output is silent for so long. For so long, at most, another port's announcement waits for it.
_QUIET = 0.5
_LATECOMER_PATIENCE = 2.0
_HANDED_OVER = "configuration"


class EndpointConfirmed(Struct, frozen=True):
    """A process of the server listens here; or nobody can know, and `doubt` says why."""

    endpoint: Endpoint
    source: str
    doubt: str = ""


@dataclass(slots=True, eq=False, repr=False)
class EndpointDiscovery:
    """Waits until the server's tree listens at the port it was handed, or at the latest candidate.

    `handed_over` is where the server was asked to listen, while its output may still announce something;
    with `insisted` its command line or environment names that port.
    """

    spec: ServerSpec
    process: Process
    processes: Processes
    insisted: bool = False
    handed_over: Endpoint | None = None
    candidate: Endpoint | None = None
    source: str = _HANDED_OVER
    seen: Listener | None = None
    _pause: float = _FIRST_PAUSE
    _stranger_since: float = float("inf")
    _offered_at: float = 0.0
    _last_output_at: float = 0.0
    _listens_since: float = float("inf")
    _earlier: dict[Endpoint, tuple[str, float]] = field(default_factory=dict)
    _silent_until: float = float("inf")
    _offered: anyio.Event = field(default_factory=anyio.Event)

    def offer(self, candidate: Endpoint, source: str) -> None:
        """Take an announcement; a later one replaces an unconfirmed one, unless it leads farther away."""
        if not candidate.says_scheme:
            candidate = replace(candidate, scheme=self.spec.scheme)

        if candidate.aside:  # as if it had been said before something else, which may still come
            self._earlier.setdefault(candidate, (source, loop_time()))
            self._offered.set()
        elif candidate != self.candidate and not self._is_farther(candidate):
            self._remember(candidate)
            self.candidate, self.source, self.seen = candidate, source, None
            self._pause, self._stranger_since = _FIRST_PAUSE, float("inf")
            self._offered.set()

    def note_output(self) -> None:
        """Note that the server goes on printing."""
        self._last_output_at = loop_time()

    def _is_farther(self, candidate: Endpoint) -> bool:
        """Whether it is the present one's port at an address that may lead off the machine, unlike that."""
        now = self.candidate
        return (
            now is not None and now.port == candidate.port and _is_near(now.host) > _is_near(candidate.host)
        )

    def _remember(self, latest: Endpoint) -> None:
        if self.candidate is not None and self.source != _SOCKET:
            self._earlier[self.candidate] = (self.source, self._offered_at)
        self._earlier.pop(latest, None)
        self._offered_at = loop_time()
        if len(self._earlier) > _MOST_EARLIER:
            del self._earlier[next(iter(self._earlier))]

    async def run(self) -> EndpointConfirmed:
        """Look until the candidate is confirmed.

        Raises PortInUse when a stranger holds it, ListensTooWide when the server listens wider
        than it may. There is no deadline here: `startup_timeout` is the caller's.
        """
        started = loop_time()

        if self.spec.port_from_socket:
            self._silent_until = started + self.spec.startup_timeout * _SILENCE

        while True:
            verdict = self._look()
            if isinstance(verdict, EndpointConfirmed):
                return verdict
            now = loop_time()
            foreign = self.seen is not None and self.seen.kind is ListenerKind.FOREIGN
            self._stranger_since = min(self._stranger_since, now) if foreign else float("inf")
            if now - self._stranger_since > _STRANGER_PATIENCE:
                return self._second_best()
            await self._wait_for_offer()
            longest = _SOCKET_PAUSE if self.candidate is None else 0.02 if now - started < 10 else 0.1
            self._pause = min(self._pause * 1.5, longest)

    async def _wait_for_offer(self) -> None:
        """Wait for an announcement, only until the next look is due."""
        with anyio.move_on_after(self._until_next_look()):
            await self._offered.wait()
        self._offered = anyio.Event()

    def _until_next_look(self) -> float | None:
        if self.handed_over is not None or (self.candidate is not None and self.source != _SOCKET):
            return self._pause
        if not self.spec.port_from_socket:
            return _SOCKET_PAUSE if self._earlier else None
        return max(self._silent_until - loop_time(), _SOCKET_PAUSE)

    def _offer_socket(self) -> None:
        """After enough silence, take the port at which the tree listens, if it is one."""
        if loop_time() < self._silent_until:
            return
        sockets = self._sockets()
        if len({found.port for found in sockets}) == 1:
            best = next((found for found in sockets if found.host == self.spec.host), sockets[0])
            self.offer(Endpoint(best.host, best.port), _SOCKET)

    def _look(self) -> EndpointConfirmed | None:
        try:
            if self.handed_over is not None and (found := self._look_at(self.handed_over)):
                return found
            if self.candidate is None or self.source == _SOCKET:
                self._offer_socket()
            if self.candidate is None:
                return self._look_back(self.spec.startup_timeout * _SILENCE)
            if self._waits_for_handed_over(self.candidate):
                return None
            place, self.seen = self._find(self.candidate)
            return self._accept(place, self.seen) or self._look_back(self.spec.startup_timeout * _SILENCE)

        except OSError:  # no descriptor left to look with, say: there may be one at the next look
            return None

    def _look_at(self, handed_over: Endpoint) -> EndpointConfirmed | None:
        """The endpoint at the handed-over port, once the server listens there and had time to announce it."""
        announced, source = self._announcement(handed_over.port)
        place, listener = self._find(announced or handed_over)
        if listener.kind is not ListenerKind.OWN:
            self._listens_since = float("inf")
            return None

        now = loop_time()
        self._refuse_wider(listener)
        self._listens_since = min(self._listens_since, now)
        quiet = now - max(self._listens_since, self._last_output_at) >= _QUIET
        patient = now - self._listens_since >= self.spec.startup_timeout * _SILENCE
        return EndpointConfirmed(place, source) if announced or quiet or patient else None

    def _announcement(self, port: int) -> tuple[Endpoint | None, str]:
        """The latest announcement of a port, and which plugin made it."""
        if self.candidate is not None and self.candidate.port == port:
            return self.candidate, self.source
        earlier = (
            (place, source) for place, (source, _) in reversed(self._earlier.items()) if place.port == port
        )
        return next(earlier, (None, _HANDED_OVER))

    def _waits_for_handed_over(self, candidate: Endpoint) -> bool:
        """Whether another port's announcement has to wait: the one handed over is there, or may come."""
        handed_over, now = self.handed_over, loop_time()
        if handed_over is None or candidate.port == handed_over.port:
            return False
        patience = min(_LATECOMER_PATIENCE, self.spec.startup_timeout * _SILENCE) if self.insisted else 0.0
        return self._listens_since <= now or now - self._offered_at < patience

    def _find(self, place: Endpoint) -> tuple[Endpoint, Listener]:
        """Who listens at that port: at the best address that is the server's own, else as announced."""
        found: tuple[Endpoint, Listener] | None = None

        for host in self._hosts(place.host):
            there = replace(place, host=host)
            listener = find_listener(there, self.process, self.processes)
            if listener.kind is ListenerKind.OWN:
                is_name = parse_address(host) is None and not is_loopback(host) and not is_wildcard(host)
                bound = listener.bound_host if is_name and host != self.spec.host else None
                return replace(there, host=bound or host), listener
            if found is None or found[1].kind is ListenerKind.NOBODY:
                found = there, listener

        assert found is not None
        return found

    def _hosts(self, announced: str) -> list[str]:
        """Where to look for an announced address, best first: off the machine only if that is asked for."""
        asked = self.spec.host
        first = [] if _is_near(asked) else [asked]
        near = [at for at in (announced, asked) if _is_near(at) and not (at == asked and is_wildcard(at))]
        return list(dict.fromkeys([*first, *near, "127.0.0.1", "::1", announced]))

    def _second_best(self) -> EndpointConfirmed:
        """A stranger has the latest address: an earlier one must do."""
        with suppress(OSError):
            if confirmed := self._look_back(0.0):
                return confirmed
        raise self.failure()

    def _look_back(self, age: float) -> EndpointConfirmed | None:
        """Look whether the server listens at an address that was announced so many seconds ago."""
        latest = loop_time() - age
        for candidate, (source, offered_at) in reversed(self._earlier.items()):
            if offered_at <= latest:
                place, listener = self._find(candidate)
                if listener.kind is ListenerKind.OWN:
                    self._refuse_wider(listener)
                    return EndpointConfirmed(place, source)
        return None

    def _accept(self, place: Endpoint, listener: Listener) -> EndpointConfirmed | None:
        check = self.spec.identity

        match listener.kind:
            case ListenerKind.NOBODY:
                return None
            case ListenerKind.OWN:
                self._refuse_wider(listener)
                return EndpointConfirmed(place, self.source)
            case ListenerKind.UNKNOWN if check is not IdentityCheck.REQUIRE and self._is_meant(
                place, listener
            ):
                doubt = f"cannot tell which process listens at {place.url} (another user or namespace)"
                return EndpointConfirmed(place, self.source, doubt if check is IdentityCheck.CHECK else "")
            case ListenerKind.FOREIGN if check is IdentityCheck.OFF:
                return EndpointConfirmed(place, self.source)
            case _:
                return None

    def _is_meant(self, place: Endpoint, listener: Listener) -> bool:
        """Whether an address may be believed without a process to it: one that leads away was asked for."""
        return (
            _is_near(place.host)
            or place.host == self.spec.host
            or self.spec.expose
            or listener.pid is not None
        )

    def _refuse_wider(self, listener: Listener) -> None:
        bound = listener.bound_host
        if self.spec.expose or bound is None or not is_wider(bound, self.spec.host):
            return

        raise ListensTooWide(
            f"the server listens on {bound or 'all addresses'}, which is wider than {self.spec.host}",
            server=self.spec.name,
            hint="tell the server to bind to loopback, or set expose = true if others may reach it",
            details={"bound": bound, "asked": self.spec.host},
        )

    def failure(self) -> ServerError:
        """Why there is no endpoint: for the error when time is up or a stranger is there."""
        place, seen = self.candidate, self.seen
        if place is None and self.handed_over is not None:
            with suppress(OSError):
                found, listener = self._find(self.handed_over)
                if listener.kind is ListenerKind.FOREIGN:
                    place, seen = found, listener
        return explain_missing(self.spec, place, self.source, seen, self._sockets)

    def _sockets(self) -> list[Endpoint]:
        try:
            return self.processes.listening_sockets(self.processes.members(self.process))
        except OSError:
            return []


def _is_near(host: str) -> bool:
    return is_loopback(host) or is_wildcard(host)
