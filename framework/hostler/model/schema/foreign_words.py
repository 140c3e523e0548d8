"""The words of compose, pm2, systemd, supervisord, process-compose and a Procfile, and what they are here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_LOG = "write [servers.NAME.plugins] log-rotation = { path = ... } for a log file"
_HEALTH = "write [servers.NAME.plugins] http-health = true (or tcp-health, exec-health)"
_NEEDS = 'write needs = ["db"], or needs = { db = "completed" } for a task'
_RESTART = 'write restart = { policy = "always" } ("on-failure", "never")'
_ARGV = "write command, a list with the program and its arguments"
_LIMITS = "write [servers.NAME.plugins] resource-limits = { ... }"
_NO_CONTAINER = "hostler runs programs, not containers: write the command"

_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(
            ("args", "argv", "cmd", "entrypoint", "exec", "exec_start", "execstart", "run"), _ARGV
        ),
        **dict.fromkeys(("interpreter", "program", "script", "shell"), _ARGV),
        **dict.fromkeys(
            ("chdir", "dir", "directory", "workdir", "working_dir", "working_directory", "workingdirectory"),
            "write cwd",
        ),
        **dict.fromkeys(("after", "depends", "depends_on", "requires", "wants", "wait_for"), _NEEDS),
        **dict.fromkeys(("autorestart", "restart_policy", "availability"), _RESTART),
        **dict.fromkeys(
            ("restart_delay", "restart_sec", "restartsec", "exp_backoff_restart_delay"),
            'write restart = { initial_delay = "1s" }',
        ),
        **dict.fromkeys(
            ("max_restarts", "retries", "startretries", "start_limit_burst", "startlimitburst"),
            "write restart = { max_restarts = 5 }",
        ),
        **dict.fromkeys(
            ("environment", "environments", "envs", "vars", "variables"), 'write env = { NAME = "value" }'
        ),
        **dict.fromkeys(("dotenv", "env_files", "environment_file", "environmentfile"), "write env_file"),
        **dict.fromkeys(
            ("expose_port", "listen", "ports", "publish"),
            'write port, one number, and "${server.port}" in the command',
        ),
        **dict.fromkeys(
            ("health_check", "healthcheck", "liveness_probe", "probe", "readiness_probe"), _HEALTH
        ),
        **dict.fromkeys(
            ("ready_log_line", "ready_pattern"), "write [servers.NAME.plugins] log-ready = { pattern = ... }"
        ),
        **dict.fromkeys(("err_file", "error_file", "error_log", "log", "log_file", "log_location"), _LOG),
        **dict.fromkeys(("log_path", "logfile", "logging", "logs", "out_file", "output_log"), _LOG),
        **dict.fromkeys(("stdout_logfile", "stderr_logfile", "standard_output", "standardoutput"), _LOG),
        **dict.fromkeys(
            ("kill_signal", "killsignal", "signal", "stopsignal"), 'write stop_signal = "SIGTERM"'
        ),
        **dict.fromkeys(
            ("grace_period", "kill_timeout", "shutdown", "stop_grace_period"),
            'write force_kill_timeout = "10s"',
        ),
        **dict.fromkeys(
            ("stop_timeout", "stopwaitsecs", "timeout_stop_sec", "timeoutstopsec"),
            'write force_kill_timeout = "10s"',
        ),
        **dict.fromkeys(
            ("listen_timeout", "start_timeout", "startsecs", "timeout", "timeoutstartsec"),
            'write startup_timeout = "30s"',
        ),
        **dict.fromkeys(("cpus", "max_memory", "max_memory_restart", "mem_limit", "memory"), _LIMITS),
        **dict.fromkeys(("memory_limit", "memory_max", "memorymax", "ulimits", "deploy"), _LIMITS),
        **dict.fromkeys(
            ("files", "ignore_watch", "reload", "watch", "watch_dirs"),
            "write [servers.NAME.plugins] watch-files = { ... }",
        ),
        **dict.fromkeys(("auto_start", "disabled", "enabled"), "write autostart = true or false"),
        **dict.fromkeys(("build", "container_name", "image", "networks", "volumes"), _NO_CONTAINER),
        **dict.fromkeys(
            ("instances", "numprocs", "processes", "replicas", "scale"),
            "each server has its own table: write one [servers.NAME] for each, from a template",
        ),
        **dict.fromkeys(
            ("exitcodes", "exit_codes", "stop_exit_codes", "successexitstatus"),
            "write success_exit_codes = [0]",
        ),
        **dict.fromkeys(("description", "label"), "write title"),
        **dict.fromkeys(("uid", "username", "runas"), "write user"),
        **dict.fromkeys(("gid",), "write group"),
        **dict.fromkeys(("oneshot", "type"), 'write kind = "task" for a program that runs to completion'),
    }
)

_CHOICES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("healthy", "process_healthy", "running", "service_healthy"), "ready"),
        **dict.fromkeys(("process_started", "service_started"), "started"),
        **dict.fromkeys(
            ("process_completed", "process_completed_successfully", "service_completed_successfully", "done"),
            "completed",
        ),
        **dict.fromkeys(("true", "unless-stopped", "yes"), "always"),
        **dict.fromkeys(("false", "no", "off"), "never"),
        **dict.fromkeys(("on-abnormal", "on-abort", "on_failure", "onfailure", "unexpected"), "on-failure"),
        **dict.fromkeys(("oneshot", "job"), "task"),
    }
)


def advice(name: str) -> str:
    """What to write for a key of another tool; "" where it is known from none."""
    return _ADVICE.get(name.lower().replace("-", "_"), "")


def is_command(name: str) -> bool:
    """Whether another tool has the command at this key."""
    return advice(name) == _ARGV


def choice(word: str) -> str:
    """The word of hostler for a value of another tool, or ""."""
    return _CHOICES.get(word.lower(), "")
