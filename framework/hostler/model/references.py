"""`${servers.NAME.port}`: what one server refers to of others. It is filled in when those are ready."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from hostler.errors import EnvironmentSetupFailed
from hostler.model.dependencies import Need, with_needs
from hostler.model.interpolation import MalformedReference, names
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint

Part: TypeAlias = Literal["port", "host", "url"]
PARTS: tuple[Part, ...] = ("port", "host", "url")

_FORM = re.compile(rf"servers\.(?P<server>[A-Za-z0-9_-]+)\.(?P<part>{'|'.join(PARTS)})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reference:
    """One `${servers.NAME.PART}`."""

    server: str
    part: Part

    @classmethod
    def parse(cls, name: str) -> Reference | None:
        """Read the name between the braces; None where it means something else."""
        found = _FORM.fullmatch(name)
        return None if found is None else cls(found["server"], cast("Part", found["part"]))

    def value(self, endpoints: Mapping[str, Endpoint | None]) -> str | None:
        """The value, given where the needed servers listen; None for a server that is not among them.

        Raises EnvironmentSetupFailed when that server has no address.
        """
        if self.server not in endpoints:
            return None

        endpoint = endpoints[self.server]

        if endpoint is None:
            raise EnvironmentSetupFailed(
                f"${{servers.{self.server}.{self.part}}} is not known: {self.server} has no address",
                hint=f"{self.server} needs a port, and has to be ready before this server starts",
            )

        return {"port": str(endpoint.port), "host": endpoint.reachable_host, "url": endpoint.url}[self.part]


def references_in(text: str) -> list[Reference]:
    """The references to other servers in a text, in order; none in one that is malformed."""
    try:
        found = [Reference.parse(name) for name in names(text)]
    except MalformedReference:  # told where the text is filled in
        return []

    return [one for one in found if one is not None]


def with_implied_needs(spec: ServerSpec) -> ServerSpec:
    """The spec with all servers in `needs` that its command, env and plugin options refer to."""
    referred = dict.fromkeys(one.server for text in _texts(spec) for one in references_in(text))
    return needing(spec, *referred)


def needing(spec: ServerSpec, *others: str) -> ServerSpec:
    """The spec with these servers in `needs` too, ready; what stands there already stays as it is."""
    return replace(spec, needs=with_needs(spec.needs, *map(Need, others))) if others else spec


def _texts(spec: ServerSpec) -> Iterator[str]:
    """Every string that is filled in at the start."""
    yield from spec.command
    yield from _strings(spec.env)

    for plugin in spec.plugins:
        yield from _strings(plugin.options)


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                yield from _strings(item)
