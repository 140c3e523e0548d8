"""Times in calls: "10m" for so long ago, or a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hostler.cli.command_line import Arguments, Usage


def moment_of(arguments: Arguments, name: str) -> datetime:
    """The time that an option names, in UTC; one without a zone is ours. Raises Usage."""
    text = arguments.text(name)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        try:
            return datetime.now(UTC) - timedelta(seconds=arguments.seconds(name) or 0.0)
        except (Usage, OverflowError):
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            raise Usage(
                f'--{name} takes a duration, as "10m", or a time, as "{now}", found {text!r}'
            ) from None
