"""The table of the client commands."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.cli.command_line import FORMATS, LAYERS, LEVELS, Command, Option

_COMMON = (
    Option("json", "Print one JSON object, also for a failure."),
    Option("timeout", 'Wait at most so long, such as "30s"; 0 for ever. Default: 5m.', "DURATION"),
    Option("socket", "The control socket, where it is not in its usual place.", "PATH"),
    Option("quiet", "Print nothing but the answer and errors."),
)
_FORCE = Option("force", "Kill the servers instead of asking them to stop.")
_NO_WAIT = Option("no-wait", "Do not wait until it is done.")
_WHEN_IDLE = (
    Option("when-idle", "Wait for a moment in which nothing runs on them."),
    Option("within", "How long to wait for that moment. Default: 10m.", "DURATION"),
)
_ALL = Option("all", "All servers.")
_SERVERS = "[FILE] [NAME]..."

CLIENT_COMMANDS: Mapping[str, Command] = {
    command.name: command._replace(options=(*command.options, *_COMMON))
    for command in (
        Command(
            "up",
            _SERVERS,
            "Supervise the servers of FILE in the background, and wait until they are ready.",
            (
                _NO_WAIT,
                Option("no-start", "Start no server yet."),
                Option("idle-exit", "End when nothing has run for so long.", "DURATION"),
                Option(
                    "log-format",
                    "What daemon.log is, one line for each decision: text or json. Default: text.",
                    "FORMAT",
                    choices=FORMATS,
                ),
                Option(
                    "log-level",
                    "From which level on: debug, info, warning, error.",
                    "LEVEL",
                    choices=LEVELS,
                ),
                Option("keep-environment", "Hand over no variables: a hostler that runs keeps those it has."),
                *LAYERS,
            ),
        ),
        Command("down", "[FILE]", "Stop all servers and the hostler that supervises them.", (_FORCE,)),
        Command(
            "restart-daemon",
            "[FILE]",
            "Start the hostler in the background and its servers anew, such as after an upgrade.",
            (_NO_WAIT, *_WHEN_IDLE),
        ),
        Command(
            "ps",
            _SERVERS,
            "Show the servers and how they are.",
            (
                Option("all", "Every hostler of yours, whichever configuration it supervises."),
                Option("check", "Exit with 1 unless all that are wanted are ready and healthy."),
            ),
        ),
        Command("start", _SERVERS, "Start servers and what they need.", (_ALL, _NO_WAIT)),
        Command("stop", _SERVERS, "Stop servers.", (_ALL, _FORCE, _NO_WAIT)),
        Command(
            "restart",
            _SERVERS,
            "Restart servers.",
            (
                _ALL,
                _NO_WAIT,
                *_WHEN_IDLE,
                Option("generation", "Only if this run is still there.", "N"),
            ),
        ),
        Command(
            "wait",
            _SERVERS,
            "Wait until servers (all that are wanted, without NAME) are ready.",
            (
                Option(
                    "for",
                    "ready, healthy, stopped, completed or idle. Default: ready.",
                    "CONDITION",
                    choices=("ready", "healthy", "stopped", "completed", "idle"),
                ),
                Option("stable", "Wait until it holds for so long without interruption.", "DURATION"),
            ),
        ),
        Command("url", "[FILE] NAME", "Print the URL of a server."),
        Command(
            "dashboard",
            "[FILE]",
            "Show the servers in a browser, with their logs, memory and crashes, and command them there.",
            (
                Option("no-open", "Only print the address; it works once, for a minute."),
                Option("keep", "Listen until hostler ends, not until ten minutes after the last use."),
            ),
        ),
        Command(
            "exec",
            "[FILE] NAME -- CMD [ARGS]...",
            "Run a command with the URL and the credentials of a server in its environment.",
            (Option("no-wait", "Do not wait until the server is ready."),),
        ),
        Command(
            "logs",
            _SERVERS,
            "Show the output of servers (all, without NAME), merged by time.",
            (
                Option("follow", "Go on with what is to come, over restarts, until Ctrl-C.", letter="f"),
                Option(
                    "lines", "The last N lines; without times and --run the default is 200.", "N", letter="n"
                ),
                Option("since", "Only from this time on, or from so long ago.", "TIME"),
                Option("until", "Only before this time, or before so long ago.", "TIME"),
                Option("grep", "Only lines in which this regular expression is found.", "RE"),
                Option("stream", "Only stdout, or stderr.", "STREAM", choices=("stdout", "stderr")),
                Option("run", "Only of this run.", "N"),
                Option("raw", "Only the text, as it was printed: no times, names and marks."),
                Option("no-prefix", "No names."),
                Option("no-time", "No times."),
                *LAYERS,
            ),
        ),
        Command(
            "events",
            _SERVERS,
            "Show the last events, oldest first.",
            (
                Option("follow", "Go on with those to come, until Ctrl-C.", letter="f"),
                Option("since", "Only from this time on, or from so long ago.", "TIME"),
                Option("server", "Only of this server, as NAME.", "NAME", repeats=True),
                Option("kind", "Only events of this kind, such as state or crash.", "KIND"),
            ),
        ),
    )
}
