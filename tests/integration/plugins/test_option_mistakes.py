"""A wrong option of a bundled plugin is told with its name before anything is started."""

from __future__ import annotations

import pytest
from hostler import PluginSpec
from hostler.plugins.options import option_problems

MISTAKES: list[tuple[str, dict[str, object], str, str]] = [
    ("commands", {}, "", "there is no command"),
    ("commands", {"on_ready": ["true"], "timeout": "0s"}, "timeout", "expected more than 0"),
    ("exec-health", {}, "command", ""),
    ("exec-health", {"command": []}, "command", ""),
    ("exec-health", {"command": [""]}, "command", ""),
    ("exec-health", {"command": "redis-cli ping"}, "command", ""),
    ("exec-health", {"command": ["x"], "timeout": "0s"}, "timeout", ""),
    ("exec-health", {"command": ["x"], "successes": 0}, "successes", ""),
    ("file-ready", {}, "path", ""),
    ("file-ready", {"path": "/"}, "path", ""),
    ("file-ready", {"path": "."}, "path", ""),
    ("file-ready", {"path": "x", "interval": "0s"}, "interval", ""),
    ("file-ready", {"path": "x", "failures": 0}, "failures", ""),
    ("http-health", {"path": "up"}, "path", 'expected a path that starts with "/"'),
    ("http-health", {"status": "fine"}, "status", "expected codes from 100 to 599"),
    ("http-health", {"status": []}, "status", "expected codes from 100 to 599"),
    ("http-health", {"status": "200,"}, "status", "expected codes"),
    ("http-health", {"status": "399-200"}, "status", "expected codes"),
    ("http-health", {"status": [42]}, "status", "expected codes from 100 to 599"),
    ("http-health", {"method": "PUT"}, "method", 'expected one of "GET", "HEAD", "POST"'),
    ("http-health", {"method": "HEAD", "body": "x"}, "method", "no body to look into"),
    ("http-health", {"method": "HEAD", "json": {"a": 1}}, "method", "no body to look into"),
    ("http-health", {"body": "("}, "body", "is no regular expression"),
    ("http-health", {"headers": {"A B": "x"}}, "headers", "'A B' is no name of a header"),
    ("http-health", {"headers": {"A": "x\r\nB: y"}}, "headers", "has to be one line"),
    ("http-health", {"interval": "0s"}, "interval", "must be longer than 0"),
    ("http-health", {"timeout": "0s"}, "timeout", "must be longer than 0"),
    ("http-health", {"successes": 0}, "successes", "must be 1 or more"),
    ("http-health", {"failures": 0}, "failures", "must be 1 or more"),
    ("log-ready", {}, "pattern", "this option is required"),
    ("log-ready", {"pattern": ""}, "pattern", "found in every line"),
    ("log-ready", {"pattern": "("}, "pattern", "is no regular expression"),
    ("log-ready", {"pattern": "x", "failure": "["}, "failure", "is no regular expression"),
    ("log-ready", {"pattern": "x", "failures": 0}, "failures", "1 or more"),
    ("log-ready", {"pattern": "x", "stream": "both"}, "stream", 'expected one of "any", "stdout", "stderr"'),
    (
        "log-ready",
        {"pattern": "x", "on_failure": "stop"},
        "on_failure",
        'expected one of "count", "restart", "give-up"',
    ),
    ("notify-ready", {"watchdog": "0s"}, "watchdog", ""),
    ("notify-ready", {"failures": 0}, "failures", ""),
    ("privileges", {"umask": "8"}, "umask", "expected three octal digits"),
    ("privileges", {"umask": "0888"}, "umask", "expected three octal digits"),
    ("privileges", {"capabilities": ["net_bind"]}, "capabilities", "there is no capability net_bind"),
    ("privileges", {"rlimits": {"files": 3}}, "rlimits", "there is no limit files; there are: as, core"),
    ("privileges", {"rlimits": {"nofile": -1}}, "rlimits", "nofile must be 0 or more"),
    (
        "resource-limits",
        {"memory_soft": "2 GiB", "memory_hard": "1 GiB"},
        "memory_soft",
        "must be less than memory_hard, 1 GiB",
    ),
    (
        "resource-limits",
        {"memory_throttle": "1 GiB", "memory_hard": "1 GiB"},
        "memory_throttle",
        "must be less than memory_hard",
    ),
    ("resource-limits", {"memory_hard": "0 B"}, "memory_hard", "must be more than 0"),
    ("resource-limits", {"interval": "0s"}, "interval", "must be more than 0"),
    ("resource-limits", {"processes": 0}, "processes", "must be 1 or more"),
    ("resource-limits", {"tasks": -1}, "tasks", "must be 1 or more"),
    ("resource-limits", {"cpus": 0}, "cpus", "must be more than 0"),
    ("resource-limits", {"cpus": -0.5}, "cpus", "must be more than 0"),
    (
        "resource-limits",
        {"cgroup": "mine"},
        "cgroup",
        'expected "auto", "off" or the path of a control group',
    ),
    ("sandbox", {"writable": ["data"]}, "writable", 'expected a path that starts with "/" or "~/"'),
    ("sandbox", {"writable": ["/"]}, "writable", "/ is the whole system"),
    ("sandbox", {"hidden": ["/"]}, "hidden", "/ is the whole system"),
    ("sandbox", {"cwd": "none"}, "cwd", "expected one of"),
    ("sse-health", {"path": "event"}, "path", 'expected a path that starts with "/"'),
    ("sse-health", {"first_event_timeout": "0s"}, "first_event_timeout", "must be longer than 0"),
    ("sse-health", {"stall_timeout": "0s"}, "stall_timeout", "must be longer than 0"),
    ("sse-health", {"max_reconnect": "500ms"}, "max_reconnect", "must not be shorter than reconnect"),
    ("sse-health", {"permanent_bodies": ["("]}, "permanent_bodies", "'('"),
    ("tcp-health", {"port": 0}, "port", ""),
    ("tcp-health", {"port": 65536}, "port", ""),
    ("tcp-health", {"send": "€"}, "send", ""),
    ("tcp-health", {"expect": "€"}, "expect", ""),
    ("tcp-health", {"expect": "("}, "expect", ""),
    ("tcp-health", {"interval": "0s"}, "interval", ""),
    ("tcp-health", {"successes": 0}, "successes", ""),
    ("tcp-health", {"failures": -1}, "failures", ""),
    ("watch-files", {"paths": []}, "paths", "expected at least one"),
    ("watch-files", {"debounce": "0s"}, "debounce", "expected more than 0"),
    (
        "watch-files",
        {"action": "SIGKILL"},
        "action",
        'expected one of "restart", "SIGHUP", "SIGUSR1", "SIGUSR2"',
    ),
]


@pytest.mark.parametrize(("plugin", "options", "key", "message"), MISTAKES)
def test_a_wrong_option_is_told_with_its_name(
    plugin: str, options: dict[str, object], key: str, message: str
) -> None:
    (problem,) = option_problems(PluginSpec(plugin, options))
    assert problem.key == key
    assert message in problem.message
