"""The words of compose, Kubernetes, pm2, systemd, supervisord, launchd and others, and what they are here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

_ARGV = "write command, a list with the program and its arguments"
_TEMPLATE = 'write template = "NAME"'
# What to write, for the keys of other tools that mean it, without upper case and "-".
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        _ARGV: (
            "args argv binary cmd entrypoint exe exec exec_map exec_start execstart executable "
            "interpreter program program_arguments run script shell"
        ),
        "write cwd": "chdir dir directory workdir working_dir working_directory workingdirectory",
        'write needs = ["db"], or needs = { db = "completed" } for a task': (
            "after before depends depends_on priority requires start_after start_order wait_for wants"
        ),
        'write restart = { policy = "always" } ("on-failure", "never")': (
            "autorestart availability keep_alive keepalive on_exit on_failure policy respawn "
            "restart_mode restart_policy"
        ),
        'write restart = { initial_delay = "1s" }': (
            "backoff delay exp_backoff_restart_delay initial_delay restart_delay restart_sec "
            "restartsec throttle_interval"
        ),
        'write restart = { max_delay = "1m" }': "max_delay",
        'write restart = { stable_after = "1m" }': "min_uptime stable_after",
        "write restart = { start_retries = 3 }": "start_retries",
        "write restart = { max_restarts = 5 }": (
            "max_attempts max_restarts retries start_limit_burst startlimitburst startretries"
        ),
        'write env = { NAME = "value" }': (
            "environment environment_variables environments envs vars variables"
        ),
        'write env = { NAME = { secret = "env:NAME" } }': "secret secrets",
        "write env_file": "dotenv env_files environment_file environmentfile",
        'write port, one number, and "${server.port}" in the command': (
            "container_port expose_port host_port http_port listen listen_port ports publish"
        ),
        'write host = "127.0.0.1", and "${server.host}" in the command': (
            "address bind hostname ip listen_address"
        ),
        "write [servers.NAME.plugins] http-health = true (or tcp-health, exec-health)": (
            "health_check healthcheck interval liveness_probe probe readiness_probe startup_probe"
        ),
        'write [servers.NAME.plugins] http-health = { path = "/health" }': (
            "endpoint health_endpoint health_path health_url healthcheck_path path ready_url uri url"
        ),
        "write [servers.NAME.plugins] log-ready = { pattern = ... }": (
            "ready_log_line ready_pattern ready_when"
        ),
        "write [servers.NAME.plugins] log-rotation = { path = ... } for a log file": (
            "err_file error_file error_log error_path log log_file log_location log_path logfile "
            "logging logs out_file output_log standard_error standard_error_path "
            "standard_out_path standard_output standardoutput stderr_logfile stdout_logfile"
        ),
        'write stop_signal = "SIGTERM"': "kill_signal killsignal signal stopsignal",
        'write force_kill_timeout = "10s"': (
            "exit_timeout grace_period kill_timeout shutdown stop_grace_period stop_timeout "
            "stopwaitsecs termination_grace_period_seconds timeout_stop_sec timeoutstopsec"
        ),
        'write startup_timeout = "30s"': ("listen_timeout start_timeout startsecs timeout timeoutstartsec"),
        "write [servers.NAME.plugins] resource-limits = { ... }": (
            "cpu cpu_quota cpus deploy limit_nofile limits max_memory max_memory_restart "
            "mem_limit memory memory_limit memory_max memorymax resources ulimits"
        ),
        "write [servers.NAME.plugins] watch-files = { ... }": (
            "ext extensions files ignore_watch reload watch watch_dirs"
        ),
        "write [servers.NAME.plugins] commands = { pre_spawn = [...] } (on_ready, on_crash, on_shutdown)": (
            "after_start before_start exec_reload exec_start_post exec_start_pre exec_stop "
            "exec_stop_post hooks lifecycle post_start post_stop pre_start pre_stop setup "
            "stop_cmd stop_command"
        ),
        "write [servers.NAME.plugins] privileges = { ... }": "cap_add cap_drop security_opt umask",
        "write autostart = true or false": "auto_start disabled enabled run_at_load start",
        'write stdin = "open" for an input that never ends': "stdin_open",
        "hostler runs programs, not containers: write the command": (
            "build container_name containers image networks volume volumes"
        ),
        "each server has its own table: write one [servers.NAME] for each, from a template": (
            "instances numprocs processes replicas scale"
        ),
        "write success_exit_codes = [0]": (
            "exit_codes exitcodes stop_exit_codes success_exit_status successexitstatus"
        ),
        "write title": "description label",
        "the name is that of the table, [servers.NAME]": "id name",
        "write user": "runas uid username",
        "write group": "gid",
        'write kind = "task" for a program that runs to completion': "oneshot type",
        _TEMPLATE: "base extend inherit inherits use",
        'a template declares them; a server gives values, template = { use = "NAME", x = ... }': (
            "parameters params"
        ),
        "a profile has its own tables, [profiles.NAME.servers.NAME]": "profile",
        "hostler has nothing like it: leave it out": (
            "exec_mode is_daemon labels log_level namespace nice tty"
        ),
    }
)
# In the table `restart`.
_OF_RESTART: Mapping[str, str] = MappingProxyType(
    {
        "policy": "condition mode name restart type when",
        "initial_delay": "backoff backoff_seconds delay delay_seconds interval restart_sec wait",
        "max_restarts": "attempts burst limit max max_attempts max_retries retries startretries",
        "stable_after": "min_uptime reset window",
    }
)
# Options of plugins; the first that the plugin has is meant.
_OF_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "path": "endpoint file filename health_path location uri url",
        "paths": "directories dirs files folders path watch",
        "failures": "failure_threshold max_failures retries threshold unhealthy_threshold",
        "successes": "healthy_threshold success_threshold",
        "interval": "every period period_seconds",
        "timeout": "timeout_seconds",
        "max_size": "maxbytes maxsize rotate_at size",
        "keep": "backups backup_count max_backups max_files maxfiles retain rotate",
        "command": "argv args cmd exec run test",
        "pattern": "line match regex regexp text",
        "patterns": "ext extensions glob globs include",
        "memory_hard": "max_memory mem mem_limit memory memory_limit",
        "pre_spawn": "before before_start pre_start",
        "on_shutdown": "after_stop before_stop post_stop pre_stop",
        "status": "code codes expected_status status_code",
    }
)
# Words of other tools at keys with a few allowed words; the first that is allowed is meant.
_CHOICES: Mapping[str, str] = MappingProxyType(
    {
        "ready": "healthy process_healthy running service_healthy true",
        "started": "process_started service_started",
        "completed": (
            "done exited finished process_completed process_completed_successfully "
            "service_completed_successfully success"
        ),
        "always": "any true unless-stopped yes",
        "never": "false no none off",
        "on-failure": "on-abnormal on-abort on_failure onfailure unexpected",
        "task": "batch command cron job oneshot run script",
        "server": "daemon process service simple web",
        "check": "on true yes",
        "off": "false no none",
        "open": "keep pipe",
        "ignore": "/dev/null devnull discard false no none null off",
        "capture": "file journal log pipe stdout true",
        "tree": "all control-group group mixed",
        "main": "process",
    }
)


@lru_cache(maxsize=256)  # of each plugin of each server is asked whether it is such a word
def advice(name: str) -> str:
    """What to write for a key of another tool; "" where it is known from none."""
    return _with(_ADVICE, _plain(name))


def is_command(name: str) -> bool:
    """Whether another tool has the command at this key."""
    return advice(name) == _ARGV


def gives_command(name: str) -> bool:
    """Whether another tool has the command at this key, or what it is taken from."""
    return name == "extends" or advice(name) in {_ARGV, _TEMPLATE}


def in_restart(name: str) -> str:
    """The key of the table `restart` for that of another tool, or ""."""
    return _with(_OF_RESTART, _plain(name))


def options(name: str) -> list[str]:
    """The options of plugins that a word of another tool may mean."""
    return [option for option, words in _OF_OPTIONS.items() if _plain(name) in words.split()]


def choices(word: str) -> list[str]:
    """The words of hostler that a value of another tool may mean."""
    return [meant for meant, words in _CHOICES.items() if word.lower() in words.split()]


def _with(known: Mapping[str, str], name: str) -> str:
    return next((meant for meant, words in known.items() if name in words.split()), "")


def _plain(name: str) -> str:
    """A key as it is written here: working_dir for workingDir and working-dir."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().replace("-", "_")
