"""The topics of notices that the code emits, found where a function takes one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import hostler
import hostler_plugins

CORE, PLUGINS = Path(hostler.__file__).parent, Path(hostler_plugins.__file__).parent
_CALLBACKS = {"on_lost", "on_trouble"}

# What docs/reference/events.md says of each topic of the core.
OF_THE_CORE: Mapping[str, str] = {
    "background_failed": "a background task of a plugin raised; nothing else is affected",
    "certificates_unreadable": "a variable names certificates that the server cannot read",
    "cleanup_failed": "something that a start deferred could not be cleaned up",
    "command_left": "a command that hostler ran for the server left a process that cannot be ended",
    "configuration_gone": "the folder of the configuration is gone, so a hostler in the background ends",
    "deprecated": "a plugin uses a hook or an argument that will be removed",
    "essential_ended": "an essential server has ended, so the whole run ends",
    "events_dropped": "this listener is too slow, and missed as many events as `details` say",
    "exits_unknown": "the program ignores SIGCHLD, so no exit code can be known",
    "first_process": "the program is process 1 and reaps no orphans",
    "follower_failed": "a plugin's function raised at a line of output, and gets no more lines",
    "follower_slow": "a plugin's function blocked the event loop at a line of output",
    "guard_lost": "the watchdog of `guard = true` was killed; another one takes over",
    "health_not_closed": "a health plugin did not end when it was asked to",
    "identity_unknown": "it cannot be known whether the listening process belongs to the server",
    "input_ended": "the server probably ended because its standard input did",
    "listener_added": "a reload added a listener",
    "listener_changed": "a reload changed a listener, which begins anew; `details` name the options",
    "listener_removed": "a reload removed a listener",
    "may_not_signal": "hostler may not signal a process of the server",
    "not_ready_hint": "a health plugin knows why the server does not become ready, and what to do",
    "not_written": "a status or a crash record could not be written",
    "notices_limited": "a listener emitted more than 60 notices in a minute; those above that are dropped",
    "orphans_removed": "processes that a killed hostler left were ended",
    "output_dropped": "output was lost because a sink was too slow, or failed",
    "plugin_slow": "a hook took long, or blocked the event loop",
    "port_not_free_yet": "the port is held by connections of an earlier run (TIME_WAIT); hostler waits",
    "processes_hidden": "/proc does not show all processes",
    "record_unusable": "a run record cannot be read, written or removed",
    "restart_asked": "a plugin asked for a restart",
    "restart_not_idle": "a planned restart waited for a quiet moment and found none; the text says what ran",
    "restart_waits": "a planned restart waits for a quiet moment; the text says what runs",
    "secret_exposed": "others can read a secret: on a command line, or in a file",
    "server_added": "a reload, or the program, added the server",
    "server_changed": "a reload changed keys of the server; `details` name them",
    "server_removed": "a reload, or the program, removed the server",
    "sink_failed": "a sink (a log file) raised, or hangs",
    "sink_recovered": "it works again; `details` say what was lost",
    "still_alive": "processes of the server are still there after SIGKILL",
    "tool_missing": "a program that hostler uses is missing (`setpriv`, `prlimit`), so it goes on without",
    "waits_while_failed": "the server has failed, and a plugin may start it again (`watch-files`)",
    "warm_up_failed": "work that a plugin began ahead of time raised",
    "went_to_background": "a worker or task left processes in the background, which are ended",
}

# And of each topic of a bundled plugin.
OF_PLUGINS: Mapping[str, str] = {
    "command_failed": "`commands`: a command could not be run, or ended with an error",
    "dispose_unsupported": "`opencode`: this version cannot release what it keeps for an idle directory",
    "disposed": "`opencode`: MCP and language servers of an idle directory were ended (`dispose_idle`)",
    "env_withheld": "`env-sanitizer`: variables were withheld from the server",
    "event_skipped": "`sse-health`: an event was larger than `max_event`",
    "files_changed": "`watch-files`: files changed, and a signal is sent",
    "keys_withheld": "`opencode`: provider keys of the shell were withheld from the server",
    "limit_not_kept": "`resource-limits`: a limit needs a cgroup, and there is none",
    "log_not_rotated": "`log-rotation`: the log file cannot be renamed",
    "memory_soft": "`resource-limits`: memory is above `memory_soft`",
    "notify_error": "`notify-ready`: the server reported an error",
    "notify_main_pid": "`notify-ready`: the server named another main process",
    "notify_refused": "`notify-ready`: a message was not accepted",
    "notify_reloading": "`notify-ready`: the server reloads its configuration",
    "notify_status": "`notify-ready`: the server reported its status",
    "password_ignored": "`opencode`: this version answers without the password",
    "sandbox_home": "`sandbox`: the server may write to your home folder",
    "sandbox_import_path": "`sandbox`: the server may write to a folder that Python imports from",
    "sandbox_read_only": "`sandbox`: files that the server cannot write, although it may write around them",
    "sandbox_refused": "`sandbox`: the server tried to write to a protected file",
    "sandbox_replaced": "`sandbox`: a protected file was replaced; the server is restarted",
    "sandbox_uncovered": "`sandbox`: a hidden file was replaced; the server can see it until its next start",
    "slow_pattern": "`regex-port`: a pattern may take very long",
    "stream_event": "`sse-health`: an event, with `log_events = true`",
    "systemd_gone": "`systemd`: the notification socket no longer answers",
    "update_available": "`opencode`: npm has a newer version",
    "watch_missing": "`watch-files`: a watched path does not exist",
    "watch_slowed": "`watch-files`: too many changes, so restarts are limited",
    "webhook_dropped": "`webhook`: events were not delivered; `details` say how many",
    "webhook_failing": "`webhook`: the receiver does not take events",
    "webhook_recovered": "`webhook`: events are delivered again",
    "wrapper_only": "`opencode`: only a wrapper script was found, and no native program",
}


def emitted(*folders: Path) -> list[set[str]]:
    """The topics that the modules below each folder emit; `hostler.testing` emits none of its own."""
    trees = {file: ast.parse(file.read_text()) for root in (CORE, PLUGINS) for file in root.rglob("*.py")}
    own = {file: _takers(tree) for file, tree in trees.items()}
    takers = {name: place for some in own.values() for name, place in some.items() if name[0] != "_"}
    constants = {name: text for tree in trees.values() for name, text in _constants(tree).items()}

    topics = {
        file: set(_topics(tree, takers | own[file], constants))
        for file, tree in trees.items()
        if not file.is_relative_to(CORE / "testing")
    }
    return [
        {topic for file, some in topics.items() if file.is_relative_to(folder) for topic in some}
        for folder in folders
    ]


def _takers(tree: ast.Module) -> dict[str, int]:
    """The functions with a parameter `topic`, and at which place a caller gives it."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [one.arg for one in node.args.args if one.arg != "self"]
            if "topic" in names:
                found[node.name] = names.index("topic")
    return found


def _constants(tree: ast.Module) -> dict[str, str]:
    """The strings that a module names."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }


def _topics(tree: ast.Module, takers: Mapping[str, int], constants: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        given: ast.expr | None = None
        if isinstance(node, ast.Call):
            given = _given(node, takers)
        elif isinstance(node, ast.Assign):
            given = _assigned(node)
        if isinstance(given, ast.Constant) and isinstance(given.value, str) and given.value:
            yield given.value
        elif isinstance(given, ast.Name) and given.id in constants:
            yield constants[given.id]


def _given(call: ast.Call, takers: Mapping[str, int]) -> ast.expr | None:
    """The topic that a call gives to a function, to a callback, to a `partial` or to a Notice."""
    name, values = _name(call.func), call.args
    if name == "partial" and values:
        name, values = _name(values[0]), values[1:]

    named = [one.value for one in call.keywords if one.arg == "topic"]
    if named and name == "Notice":
        return named[0]
    if name in takers:
        return values[takers[name]] if len(values) > takers[name] else None
    return values[0] if values and name.lstrip("_") in _CALLBACKS else None


def _assigned(node: ast.Assign) -> ast.expr | None:
    """The topic in `topic, text = "...", ...`."""
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and _name(target.elts[0]) == "topic":
        return value.elts[0]
    return value if _name(target) == "topic" else None


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
