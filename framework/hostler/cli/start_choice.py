"""Which servers a run starts: all that start by themselves, those that are named, or none yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hostler.errors import InvalidConfiguration
from hostler.model.graph import require_variables
from hostler.model.spec import Configuration
from hostler.supervisor.handle import Server, engine_of
from hostler.supervisor.supervisor import Supervisor


class StartChoice:
    """The servers that are named in the call; all without names, and none where it does not `starts`."""

    def __init__(self, names: Sequence[str], *, starts: bool) -> None:
        self._names = names
        self._starts = starts
        self._by_itself: tuple[str, ...] = ()

    def of(self, configuration: Configuration) -> Configuration:
        """The configuration with those started that are chosen. Raises InvalidConfiguration."""
        gone = [name for name in self._names if name not in configuration.servers]
        if gone:
            raise InvalidConfiguration(f"there is no server {', '.join(gone)} any more, named in the call")

        self._by_itself = tuple(name for name, spec in configuration.servers.items() if spec.autostart)
        if self._starts:
            require_variables(configuration.servers, self._names)
            if not self._names:
                return configuration

        # What only a server cannot do without that is not started may be missing.
        started = set(self._names) if self._starts else set()
        servers = {
            name: replace(spec, autostart=name in started) for name, spec in configuration.servers.items()
        }
        return replace(configuration, servers=servers)

    def start_rest(self, supervisor: Supervisor) -> None:
        """Start what would have been without names in the call; what somebody has stopped stays so."""
        servers = supervisor.servers
        rest = [name for name in self._by_itself if name in servers and _is_untouched(servers[name])]
        if rest:
            require_variables({name: server.spec for name, server in servers.items()}, rest)
        for name in rest:
            engine_of(servers[name]).ask_up()


def _is_untouched(server: Server) -> bool:
    """Whether nobody has started or stopped it until now."""
    return not (server.wanted or server.generation or server.stop_asked)
