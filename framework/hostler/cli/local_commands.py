"""The table of the commands for this process that need no click: its import is a tenth of a short call."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.cli.command_line import FORMATS, LAYERS, LEVELS, Command, Option

_RUN = """\
Supervise the servers of FILE (default ./hostler.toml; only NAMES and what they need) until Ctrl-C.

With "-- CMD ARGS" at the end, CMD runs when all servers are ready, with OPENCODE_SERVER and the like
in its environment. Then the servers are stopped, and hostler exits with CMD's exit code. At a terminal,
Ctrl-C goes to CMD as long as it runs.

The first Ctrl-C stops the servers in order, the second kills them. If the output has no reader any
more (`hostler run | head`), the servers are stopped in order too, and the exit code is 1.

SIGHUP reads FILE again and restarts the servers that have changed. When the terminal is closed, it
stops all servers."""
_EXPLAIN = """\
Say in sentences why the server NAME of FILE (./hostler.toml by default) is in the state it is in.

Without NAME all are explained. Everything comes from what is on disk: the server's lock, its
records, and the last state that was recorded; the hostler that runs it is not disturbed."""
_CHECK = """\
Check FILE (./hostler.toml by default) without starting anything; report all errors at once.

It also checks this machine: missing programs, taken ports, files that cannot be written, and plugins
that are never called."""

LOCAL_COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (
        Command(
            "run",
            "[FILE] [NAMES]... [-- CMD [ARGS]...]",
            _RUN,
            (
                *LAYERS,
                Option(
                    "output",
                    "Whether to show the output of the servers, each line with the name of its server. "
                    'Default: prefixed, and none with --quiet, with --json and with "-- CMD".',
                    choices=("prefixed", "none"),
                ),
                Option("debug", "Show more events, all output, and the environments (secrets masked)."),
                Option("quiet", "Show failures only."),
                Option("json", "Print one event per line as JSON, for programs."),
                Option(
                    "log-format",
                    "Print a log instead: one line for each decision, with time, level and server.",
                    choices=FORMATS,
                ),
                Option(
                    "log-level",
                    "What the log has. Default: info.",
                    choices=LEVELS,
                ),
                Option("no-control", "Have no control socket for `hostler ps` and others."),
                Option("socket", "Have the control socket at PATH.", "PATH"),
                # For `hostler up`: the descriptor that it reads, and what it was asked for.
                Option("background", "", "NUMBER", is_hidden=True),
                Option("log", "", "PATH", is_hidden=True),
                Option("idle-exit", "", "SECONDS", is_hidden=True),
                Option("no-start", "", is_hidden=True),
            ),
        ),
        Command("explain", "[FILE] [NAME]", _EXPLAIN, LAYERS),
        Command(
            "check",
            "[FILE]",
            _CHECK,
            (*LAYERS, Option("strict", "Treat warnings as errors.")),
        ),
    )
}
