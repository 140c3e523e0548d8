"""The logs of a configuration that no hostler supervises, read from its files. Imports what `up` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hostler.cli.client.daemon import ClientError
from hostler.cli.client.log_query import LARGEST_PAGE, LogQuery
from hostler.cli.client.log_view import Run
from hostler.cli.command_line import Arguments
from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import load_resolved
from hostler.config.source.overrides import read_settings
from hostler.control.log_forwards import LogReader
from hostler.control.log_history import ServerLog, read_last
from hostler.control.log_lines import Selection, micros_of
from hostler.control.server_logs import planned_log
from hostler.errors import InvalidConfiguration, Problem
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace


class LogFiles:
    """Answers as a hostler does. Raises ClientError where the configuration cannot be read."""

    def __init__(self, arguments: Arguments) -> None:
        mistakes: list[Problem] = []
        try:
            with bounded_imports():
                configuration = load_resolved(
                    arguments.file,
                    profiles=arguments.texts("profile"),
                    settings=read_settings(arguments.texts("set")),
                    mistakes=mistakes,
                ).configuration
        except InvalidConfiguration as error:
            raise _refusal(error.problems) from None
        if mistakes and not configuration.servers:
            raise _refusal(mistakes)
        own = Directories.default()
        self.runs: Mapping[str, Run] = {}
        data_dir = own.data_for(resolve_namespace(own, configuration.namespace or ""))
        self._logs = [
            ServerLog(name, planned_log(spec, data_dir)) for name, spec in configuration.servers.items()
        ]

    @property
    def names(self) -> list[str]:
        """The servers of the configuration."""
        return [log.server for log in self._logs]

    def page(self, query: LogQuery, limit: int, before: str = "") -> dict[str, Any]:
        """A page of the lines that are wanted."""
        page = read_last(self._of(query), _selection(query), limit, before)
        return page.as_dict(page.lines)

    def pages(self, query: LogQuery, after: str = "") -> Iterator[dict[str, Any]]:
        """All lines that are wanted, in parts."""
        reader, more = LogReader(self._of(query), _selection(query), after), True
        while more:
            page = reader.page(LARGEST_PAGE)
            yield page.as_dict(page.lines)
            more = page.more

    def _of(self, query: LogQuery) -> list[ServerLog]:
        return [log for log in self._logs if not query.names or log.server in query.names]


def _selection(query: LogQuery) -> Selection:
    fixed = query.fixed
    since, until = (_micros(fixed.get(name)) for name in ("since", "until"))
    run = int(fixed["run"]) if "run" in fixed else None
    return Selection(since, until, fixed["contains"], fixed.get("stream"), run)


def _refusal(problems: Iterable[Problem]) -> ClientError:
    detail, mistakes = (
        "without a hostler, logs are found by the configuration",
        [str(one) for one in problems],
    )
    return ClientError("invalid_configuration", detail, mistakes=mistakes)


def _micros(text: str | None) -> int | None:
    return None if text is None else micros_of(datetime.fromisoformat(text))
