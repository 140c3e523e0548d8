"""What the control API takes and answers, as types: JSON and its schema are made from them.

Durations are seconds, sizes bytes, times RFC 3339 in UTC with milliseconds. What is unknown is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hostler.control.configuration_shapes import *  # noqa: F403 - all types are in one module for programs
from hostler.control.server_shapes import *  # noqa: F403
from hostler.control.server_shapes import ServerRow

When = Literal["now", "idle"]
LARGEST_PAGE = 1000
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LARGEST_PAGE})]
Seconds = Annotated[float, Meta(ge=0)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Daemon(Struct, kw_only=True):
    """The hostler that answers."""

    version: str
    api: int
    pid: int
    since: str
    configuration: str
    namespace: str = ""
    cursor: str
    capabilities: list[str]


class Command(Struct, kw_only=True, forbid_unknown_fields=True):
    """How to carry out a command: with `wait` the answer comes when it is done, within `timeout` seconds."""

    wait: bool = True
    timeout: Seconds | None = None
    force: bool = False
    generation: Annotated[int, Meta(ge=0)] | None = None
    when: When = "now"
    within: Seconds = 600.0


class Commands(Command, kw_only=True, forbid_unknown_fields=True):
    """The same for several servers; without names for all."""

    names: list[str] = []


class Addition(Struct, kw_only=True, forbid_unknown_fields=True):
    """A server of a template, with values for its parameters."""

    template: str
    parameters: dict[str, str | int | float | bool | list[Any] | dict[str, Any]] = {}


class Outcome(Struct, kw_only=True):
    """What a command did to one server: `changed` is false where it was as asked before."""

    server: ServerRow
    changed: bool


class Outcomes(Struct, kw_only=True):
    """What a command did, for each server."""

    servers: list[Outcome]


class EventPage(Struct, kw_only=True):
    """Events, oldest first. `missed` counts those before them that are not kept any more.

    `gap` is true where any behind the cursor may be missing, also where nobody knows how many: it is of
    another life of hostler.
    """

    events: list[dict[str, Any]]
    next: str
    missed: int
    gap: bool


class Problem(Struct, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 has it; `crash` is the number of a crash record, `retry_after` in seconds."""

    type: str
    title: str
    status: int
    detail: str
    server: str = ""
    error: str = ""
    hint: str = ""
    stdout: str = ""
    stderr: str = ""
    crash: int | None = None
    retry_after: int | None = None
    mistakes: list[str] = msgspec.field(default_factory=list)
    pids: list[int] = msgspec.field(default_factory=list)
