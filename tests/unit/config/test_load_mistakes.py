"""What a user reads after a typical mistake, word for word."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.config.load import load
from hostler.errors import InvalidConfiguration
from hostler.model.schema import foreign_words

Write = Callable[[str, str], Path]

UNIT = 'expected a duration with a unit (ms, s, m, h, d), such as "30s"'
PARSED_UNIT = 'expected a duration with a unit (ms, s, m, h, d), such as "500ms" or "30s"'
SIZE = 'expected a size with a unit (B, kB, MB, GB, KiB, MiB, GiB), such as "10 MiB"'
PORT = "expected a whole number from 0 to 65535 (0: a free port), or false (no port)"
OUTPUT = 'expected one of "capture", "inherit", "ignore"'
OUTSIDE = "may be reached from outside; allowed: 127.0.0.0/8, ::1, localhost, or any host with expose = true"
HOST = "expected the name or address of a host, without scheme, port or brackets"
NAME = "not a name for a variable: letters, digits, _, . and -, a letter or _ first"
NO_VARIABLE = "there is no such environment variable"
NAMES = (
    "${config.dir}, ${hostler.python}, ${server.name}, ${server.host}, ${server.port}, ${server.url}, "
    "${servers.NAME.port}"
)
NO_COMMAND = "there is no command, and no plugin that could supply one (with the hook pre_spawn)"
OPTIONS = "expected true, false or a table of options"
SIGNALS = '"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"'
IDENTITY = 'expected one of "require", "check", "off"'
FORM = "a ${ that is not ${NAME} or ${NAME:-default}; a plain ${ is written $${"
NO_PORT = "means nothing here: the server has no port (port = false)"
STRINGS = "expected a list of strings, such as"
SERVER_KEYS = (
    "command, cwd, kind, title, host, port, port_from_socket, scheme, expose, env, env_file, stdin, stdout, "
    "stderr, prepare_timeout, startup_timeout, task_timeout, force_kill_timeout, stop, stop_signal, "
    "success_exit_codes, max_connection_failures, health, restart, needs, autostart, essential, identity, "
    "user, group, no_new_privileges, guard, memory_interval, plugins, template"
)

# What stands on line 3 of a server "web" that is right without it; its message without the place.
EXIT_CODE = 'expected an exit code from 0 to 255, or the name of a signal, such as "SIGTERM"'
IN_A_SERVER = [
    (
        "success_exit_codes = 0",
        "success_exit_codes: expected a list of exit codes, such as [0], found 0",
    ),
    ("success_exit_codes = [256]", f"success_exit_codes[0]: {EXIT_CODE}, found 256"),
    (
        'success_exit_codes = ["SIGTREM"]',
        f'success_exit_codes[0]: {EXIT_CODE}, found "SIGTREM"; did you mean "SIGTERM"?',
    ),
    ("prot = 1", 'prot: unknown key; did you mean "port"?'),
    ("comand = ['${server.port}']", 'comand: unknown key; did you mean "command"?'),
    ("http-health = true", "http-health: unknown key; it is a plugin: write plugins.http-health"),
    ("working_dir = 'x'", "working_dir: unknown key; write cwd"),
    ("depends_on = ['x']", f"depends_on: unknown key; {foreign_words.advice('depends_on')}"),
    (
        "restart = 'unless-stopped'",
        'restart: expected a table, such as { policy = "always" }, found "unless-stopped"',
    ),
    ("autostart = 'yes'", 'autostart: expected true or false (write true, without quotes), found "yes"'),
    (
        'host = "localhost:80"',
        'host: expected the host alone (write host = "localhost" and port = 80), found "localhost:80"',
    ),
    (
        "plugins.depends_on = ['x']",
        f"plugins.depends_on: it is no plugin; {foreign_words.advice('depends_on')}",
    ),
    (
        "plugins.log-rotation.cwd = 'x'",
        "plugins.log-rotation.cwd: unknown option; cwd is a key of the server: write it in [servers.NAME]",
    ),
    (
        "stop_signal = 'SIGKILL'",
        (
            'stop_signal: expected one of "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", '
            '"SIGWINCH" (force_kill_timeout = "0s" sends SIGKILL at once), found "SIGKILL"'
        ),
    ),
    (
        "stop_signal = 2",
        (
            'stop_signal: expected one of "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", '
            '"SIGWINCH", found 2; did you mean "SIGINT"?'
        ),
    ),
    ("env = ['A=b c']", 'env: expected a table of strings, such as { A = "b c" }, found a list'),
    (
        "env = ['API_TOKEN=abc']",
        'env: expected a table of strings, such as { API_TOKEN = "********" }, found a list',
    ),
    (
        "env.T = { secret = 'DB_TOKEN' }",
        'env.T.secret: expected "env:NAME" or "file:PATH"; did you mean "env:DB_TOKEN"?',
    ),
    (
        "plugins = ['regex-port']",
        "plugins: expected a table of plugins, such as { regex-port = true }, found a list",
    ),
    ("plugins.port = 80", "plugins.port: port is a key of the server: write it above [servers.web.plugins]"),
    (
        "api.command = ['x']",
        "api: a server's name has no dot, which begins a table within it; write [servers.web-api]",
    ),
    ("startup_timeout = '1m30s'", f'startup_timeout: {PARSED_UNIT}, found "1m30s"; did you mean "90s"?'),
    (
        "startup_timeout = '30 Seconds'",
        f'startup_timeout: {PARSED_UNIT}, found "30 Seconds"; did you mean "30s"?',
    ),
    (
        'plugins.log-rotation.max_size = "10M"',
        f'plugins.log-rotation.max_size: {SIZE}, found "10M"; did you mean "10 MiB"?',
    ),
    (
        "plugins.log-rotation.max_size = 1000000",
        f'plugins.log-rotation.max_size: {SIZE}, found 1000000; did you mean "1 MB"?',
    ),
    (
        'plugins.log-rotation.max_size = "64k"',
        f'plugins.log-rotation.max_size: {SIZE}, found "64k"; did you mean "64 KiB"?',
    ),
    (
        'plugins.log-rotation.max_size = "10 mb"',
        f'plugins.log-rotation.max_size: {SIZE}, found "10 mb"; did you mean "10 MB"?',
    ),
    (
        "plugins.log-rotation.max_size = 2048",
        f'plugins.log-rotation.max_size: {SIZE}, found 2048; did you mean "2 KiB"?',
    ),
    ('plugins.log-rotation.max_size = "big"', f'plugins.log-rotation.max_size: {SIZE}, found "big"'),
    ("startup_timeout = '1,5s'", f'startup_timeout: {PARSED_UNIT}, found "1,5s"'),
    ("startup_timeout = -5", f"startup_timeout: {UNIT}, found -5"),
    ("startup_timeout = '1 week'", f'startup_timeout: {PARSED_UNIT}, found "1 week"'),
    (
        "env.U = '${servers.wbe.url}'",
        'env.U: ${servers.wbe.url}: there is no server "wbe"; did you mean "${server.url}"?',
    ),
    ("startup-timeout = '1s'", 'startup-timeout: unknown key; did you mean "startup_timeout"?'),
    ('"a b" = 1', f'"a b": unknown key; allowed: {SERVER_KEYS}'),
    ("cwd = 5", 'cwd: expected a string, found 5; did you mean "5"?'),
    ("cwd = ''", 'cwd: expected a string that is not empty, found ""'),
    (
        "cwd = '~nobody-here/x'",
        'cwd: expected a home directory that exists, found "~nobody-here/x"',
    ),
    ('cwd = "a\\u0000"', 'cwd: expected a string without NUL characters, found "a\\u0000"'),
    ("host = ['::1']", "host: expected a string, found a list"),
    ("host = '0.0.0.0'", f'host: "0.0.0.0" {OUTSIDE}'),
    (
        f"scheme = '{'a' * 90}!'",
        f'scheme: expected the scheme of a URL, such as "http", found "{"a" * 80}..."',
    ),
    ("host = 'example.org'", f'host: "example.org" {OUTSIDE}'),
    ("host = '127.0.0.1.example.org'", f'host: "127.0.0.1.example.org" {OUTSIDE}'),
    ("host = 'http://localhost'", f'host: {HOST}, found "http://localhost"'),
    ("host = '[::1]'", f'host: {HOST}, found "[::1]"'),
    ("port = true", f"port: {PORT} (write 0), found true"),
    ("port = '80'", f'port: {PORT} (write 80, without quotes), found "80"'),
    ("port = 65536", f"port: {PORT}, found 65536"),
    ("port = -1", f"port: {PORT}, found -1"),
    ("port = 80.0", f"port: {PORT} (write 80), found 80.0"),
    ("port = '8080:80/tcp'", f'port: {PORT} (write 8080), found "8080:80/tcp"'),
    ("port = '8080:80'", f'port: {PORT} (write 8080), found "8080:80"'),
    ("port = 'http://localhost:80/'", f'port: {PORT} (write 80), found "http://localhost:80/"'),
    ("port = 'none'", f'port: {PORT} (write false), found "none"'),
    ("port = 2020-01-01", f"port: {PORT}, found a date"),
    ("scheme = 'HT TP'", 'scheme: expected the scheme of a URL, such as "http", found "HT TP"'),
    ("expose = 'yes'", 'expose: expected true or false (write true, without quotes), found "yes"'),
    ("env = ['A']", 'env: expected a table of strings, such as { NAME = "value" }, found a list'),
    ("env = { PORT = 8080 }", 'env.PORT: expected a string, found 8080; did you mean "8080"?'),
    ("env = { A = true }", 'env.A: expected a string, found true; did you mean "true"?'),
    ("env = { 'A B' = 'x' }", f'env."A B": {NAME}'),
    ("env = { -A = 'x' }", f"env.-A: {NAME}"),
    ("env.A = []", "env.A: expected a string, found an empty list"),
    ("stdout = 'captur'", f'stdout: {OUTPUT}, found "captur"; did you mean "capture"?'),
    ("stderr = 1", f"stderr: {OUTPUT}, found 1"),
    ("prepare_timeout = 30", f'prepare_timeout: {UNIT}, found 30; did you mean "30s"?'),
    ("startup_timeout = 1.5", f'startup_timeout: {UNIT}, found 1.5; did you mean "1.5s"?'),
    ("startup_timeout = true", f"startup_timeout: {UNIT}, found true"),
    ("startup_timeout = '30'", f'startup_timeout: {PARSED_UNIT}, found "30"; did you mean "30s"?'),
    (
        "startup_timeout = '99999999999999999999d'",
        'startup_timeout: expected a duration of "11574074d" or less, found "99999999999999999999d"',
    ),
    (
        "plugins = { log-rotation = { max_size = '99999999999 GB' } }",
        'plugins.log-rotation.max_size: expected a size of "1073741824 GiB" or less, found "99999999999 GB"',
    ),
    ("startup_timeout = '0s'", 'startup_timeout: expected a duration longer than 0s, found "0s"'),
    ("force_kill_timeout = '5 parsecs'", f'force_kill_timeout: {PARSED_UNIT}, found "5 parsecs"'),
    ("memory_interval = 0", f'memory_interval: {UNIT}, found 0; did you mean "0s"?'),
    ("max_connection_failures = 0", "max_connection_failures: expected a whole number, 1 or more, found 0"),
    (
        "max_connection_failures = true",
        "max_connection_failures: expected a whole number, 1 or more, found true",
    ),
    ("restart = 'never'", 'restart: expected a table, such as { policy = "never" }, found "never"'),
    ("restart = { polcy = 'never' }", 'restart.polcy: unknown key; did you mean "policy"?'),
    (
        "restart = { policy = 'sometimes' }",
        'restart.policy: expected one of "on-failure", "always", "never", found "sometimes"',
    ),
    ("restart = { max_restarts = -1 }", "restart.max_restarts: expected a whole number, 0 or more, found -1"),
    ("restart = { initial_delay = '1m' }", 'restart.initial_delay: "1m" is longer than max_delay, "30s"'),
    ("restart.max_delay = '0s'", 'restart: "0.5s" is longer than max_delay, "0s"'),
    ("needs = 'db'", 'needs: expected a list of strings, such as ["db"], found "db"'),
    ("needs = ['wbe']", 'needs[0]: there is no server "wbe"'),
    ("needs = ['web']", "needs[0]: a server cannot need itself"),
    ("needs = [1]", 'needs[0]: expected a string, found 1; did you mean "1"?'),
    ("autostart = 1", "autostart: expected true or false (write true), found 1"),
    (
        "identity = 'of'",
        'identity: expected one of "require", "check", "off", found "of"; did you mean "off"?',
    ),
    ("user = 1000", 'user: expected a string, found 1000; did you mean "1000"?'),
    ("group = ''", 'group: expected a string that is not empty, found ""'),
    (
        "no_new_privileges = 'yes'",
        'no_new_privileges: expected true or false (write true, without quotes), found "yes"',
    ),
    ("plugins = true", "plugins: expected a table of plugins, found true"),
    (
        "plugins.path = 5",
        'plugins.path: it is no plugin; write [servers.NAME.plugins] http-health = { path = "/health" }',
    ),
    (
        "plugins.deep = 5",
        "plugins.deep: it is no plugin; an option stands in the table of its plugin, PLUGIN = { deep = ... }",
    ),
    ("plugins.log-rotation = 1", f"plugins.log-rotation: {OPTIONS} (write true), found 1"),
    (
        "plugins.log-rotation = 'x.log'",
        f'plugins.log-rotation: {OPTIONS}, such as {{ path = "x.log" }}, found "x.log"',
    ),
    (
        "plugins.exec-health = 'curl -f x'",
        f'plugins.exec-health: {OPTIONS}, such as {{ command = ["curl", "-f", "x"] }}, found "curl -f x"',
    ),
    (
        "plugins.my = 'my.py:Plugin'",
        f'plugins.my: {OPTIONS}, such as {{ use = "my.py:Plugin" }}, found "my.py:Plugin"',
    ),
    ("plugins.plugins = {}", "plugins.plugins: plugins stands there twice: write [servers.web.plugins]"),
    (
        "plugins = [{ name = 'log-rotation' }]",
        "plugins: expected a table of plugins, such as { log-rotation = true }, found a list",
    ),
    (
        "plugins.log-rotation = { file = 'x' }",
        'plugins.log-rotation.file: unknown option; did you mean "path"?',
    ),
    (
        "plugins.log-rotation = { path = 'x', enabled = false }",
        "plugins.log-rotation.enabled: unknown option; a plugin is switched off by false, PLUGIN = false",
    ),
    ("dependsOn = ['x']", f"dependsOn: unknown key; {foreign_words.advice('depends_on')}"),
    ("commands = ['x']", 'commands: unknown key; did you mean "command"?'),
    ("profiles = ['x']", "profiles: unknown key; a profile has its own tables, [profiles.NAME.servers.NAME]"),
    ("restart = { condition = 'any' }", 'restart.condition: unknown key; did you mean "policy"?'),
    (
        "needs = [{ name = 'db' }]",
        (
            'needs[0]: expected the name of a server (with a condition write needs = { db = "ready" }), '
            "found a table"
        ),
    ),
    ("needs = 'db, api'", 'needs: expected a list of strings, such as ["db", "api"], found "db, api"'),
    (
        "stop = 'TERM'",
        'stop: expected one of "main", "tree" (a signal is written stop_signal = "SIGTERM"), found "TERM"',
    ),
    ("stop_signal = 'int'", f'stop_signal: expected one of {SIGNALS}, found "int"; did you mean "SIGINT"?'),
    (
        "stdin = 'pipe'",
        'stdin: expected one of "null", "open", "inherit", found "pipe"; did you mean "open"?',
    ),
    ("stdout = 'null'", f'stdout: {OUTPUT}, found "null"; did you mean "ignore"?'),
    (
        "stdout = 'x.log'",
        (
            f"stdout: {OUTPUT} (a log file is [servers.NAME.plugins] log-rotation = {{ path = ... }}), "
            'found "x.log"'
        ),
    ),
    (
        "health = true",
        (
            'health: expected one of "all", "any" (a check of health is a plugin: [servers.NAME.plugins] '
            "http-health = true), found true"
        ),
    ),
    ("identity = true", f'identity: {IDENTITY}, found true; did you mean "check"?'),
    ("startup_timeout = 5000", f'startup_timeout: {UNIT}, found 5000; did you mean "5000ms"?'),
    ("startup_timeout = 'PT1M30S'", f'startup_timeout: {PARSED_UNIT}, found "PT1M30S"; did you mean "90s"?'),
    ("startup_timeout = 00:01:30", f'startup_timeout: {UNIT}, found a time; did you mean "90s"?'),
    (
        "startup_timeout = '00:01:30'",
        f'startup_timeout: {PARSED_UNIT}, found "00:01:30"; did you mean "90s"?',
    ),
    (
        "task_timeout = 'never'",
        'task_timeout: expected a duration of 0s or more, found "never"; did you mean "0s"?',
    ),
    (
        "success_exit_codes = ['3']",
        f'success_exit_codes[0]: {EXIT_CODE} (write 3, without quotes), found "3"',
    ),
    ("success_exit_codes = [-15]", f'success_exit_codes[0]: {EXIT_CODE}, found -15; did you mean "SIGTERM"?'),
    ("env.A = '${env.HOME}'", 'env.A: ${env.HOME} is not defined; did you mean "${HOME}"?'),
    ("env.A = '${db.url}'", 'env.A: ${db.url} is not defined; did you mean "${servers.db.url}"?'),
    ("env.A = '${HOME:?x}'", f'env.A: {FORM}, found "${{HOME:?x}}"; did you mean "${{HOME}}"?'),
    ("env.A = '${B-x}'", f'env.A: {FORM}, found "${{B-x}}"; did you mean "${{B:-...}}"?'),
    (
        "env.A = '${PORT}'",
        f"env.A: ${{PORT}} is not defined: {NO_VARIABLE}; ${{server.port}} is that of the server",
    ),
    ("plugins.x = { use = 5 }", 'plugins.x.use: expected a string, found 5; did you mean "5"?'),
    ("plugins.x = { use = '' }", 'plugins.x.use: expected a string that is not empty, found ""'),
    (
        "plugins.x = { use = '~nobody-here/x.py:A' }",
        'plugins.x.use: expected a home directory that exists, found "~nobody-here/x.py:A"',
    ),
    (
        "plugins.x = { use = './plugin.py:Launcher', patern = 'a' }",
        'plugins.x.patern: unknown option; did you mean "pattern"?',
    ),
    (
        "plugins.x = { use = './plugin.py:Launcher', headers = { a = 1 } }",
        "plugins.x.headers[...]: expected a string, found a whole number",
    ),
    (
        "plugins.x = { use = './plugin.py:Launcher', pattern = '(' }",
        "plugins.x.pattern: ( is not closed",
    ),
    (
        "extends = ['b.toml']",
        "extends: unknown key; it belongs to the top of the file, above the first [table]",
    ),
    ("regex-port = true", "regex-port: unknown key; it is a plugin: write plugins.regex-port"),
    ("nothing_like_it = true", f"nothing_like_it: unknown key; allowed: {SERVER_KEYS}"),
    ("enviroment = {}", 'enviroment: unknown key; did you mean "env"?'),
    ("Env = {}", 'Env: unknown key; did you mean "env"?'),
    (
        "plugins = { commands = { on_ready = 'x' } }",
        'plugins.commands.on_ready: expected a list, such as ["..."], found a string',
    ),
    (
        "env.A = '${NOTHING}'",
        f"env.A: ${{NOTHING}} is not defined: {NO_VARIABLE} (${{NOTHING:-default}} would give it a default)",
    ),
    (
        "env.A = '${HOEM}'",
        'env.A: ${HOEM} is not defined: there is no such environment variable; did you mean "${HOME}"?',
    ),
    ("env.A = '${server.prt}'", 'env.A: ${server.prt} is not defined; did you mean "${server.port}"?'),
    (
        "env.A = '${nope.nope}'",
        f"env.A: ${{nope.nope}} is not defined; allowed: {NAMES}",
    ),
    (
        "env.A = 'x${'",
        'env.A: a ${ that is not ${NAME} or ${NAME:-default}; a plain ${ is written $${, found "x${"',
    ),
    ("host = '${server.host}'", "host: ${server.host} is what this key itself sets"),
    (
        "cwd = '${server.port}'",
        "cwd: ${server.port} is known only at the start: use it in command, env and plugin options",
    ),
]


@pytest.mark.parametrize(("line", "message"), IN_A_SERVER)
def test_a_mistake_in_a_server_is_told_with_place_finding_and_choices(
    write: Write, line: str, message: str
) -> None:
    path = write("a.toml", f"[servers.web]\ncommand = ['true']\n{line}\n")

    assert said_of(path) == [f"a.toml:3: servers.web.{message}"]


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_no_word_is_proposed_for_what_is_no_number(write: Write, number: str) -> None:
    path = write("a.toml", f"[servers.web]\ncommand = ['true']\nstartup_timeout = {number}\n")
    (message,) = said_of(path)
    assert "expected a duration with a unit" in message
    assert "did you mean" not in message


IN_A_COMMAND = [
    ('"it\'s"', ": not a command line: no closing quotation"),
    (
        "5",
        (
            ': expected a program with its arguments, one string or a list, such as "npm start" or '
            '["npm", "start"], found 5'
        ),
    ),
    (
        "'sleep ${API_TOKEN:-hidden one} && x'",
        (
            ": && is an operator of a shell: no shell is involved; write "
            '["sh", "-c", "sleep ${API_TOKEN:-********} && x"] for a shell'
        ),
    ),
    ("['x', { secret = 'env:X' }]", "[1]: all users can read a command line: write the secret in env"),
    ("['a', 5]", '[1]: expected a string, found 5; did you mean "5"?'),
    ("['']", '[0]: expected a program, found ""'),
    ("['~nobody-here/x']", '[0]: expected a home directory that exists, found "~nobody-here/x"'),
    ("['a', \"\\u0000\"]", '[1]: expected a string without NUL characters, found "\\u0000"'),
    ("[]", f": {NO_COMMAND}"),
]


@pytest.mark.parametrize(("command", "message"), IN_A_COMMAND)
def test_a_mistake_in_a_command_proposes_the_right_form(write: Write, command: str, message: str) -> None:
    path = write("a.toml", f"[servers.web]\ncommand = {command}\n")

    assert said_of(path) == [f"a.toml:2: servers.web.command{message}"]


ON_TOP = [
    ("", "a.toml: servers: there are no servers; add a table [servers.NAME]"),
    ("servers = {}", "a.toml: servers: there are no servers; add a table [servers.NAME]"),
    ("servers = 5", "a.toml:1: servers: expected a table of servers, [servers.NAME], found 5"),
    ("[[servers]]\na = 1", "a.toml:1: servers: expected a table of servers, [servers.NAME], found a list"),
    ("[[servers.x]]\ncommand = ['a']", "a.toml:1: servers.x: expected a table, [servers.x], found a list"),
    ("servers.x = true", "a.toml:1: servers.x: expected a table, [servers.x], found true"),
    (
        "[servers.'a b']\ncommand = ['x']",
        'a.toml:1: servers."a b": a server\'s name is 1 to 64 letters, digits, - and _; did you mean "a-b"?',
    ),
    (
        "port = 1\n[servers.a]\ncommand = ['x']",
        "a.toml:1: port: unknown key; it is a key of a server: write it below [servers.NAME]",
    ),
    ("[server.a]\ncommand = ['x']", 'a.toml:1: server: unknown key; did you mean "servers"?'),
    ("[template.t]\nport = 1", 'a.toml:1: template: unknown key; did you mean "templates"?'),
    ("[web]\ncommand = ['x']", "a.toml:1: web: unknown key; write [servers.web]"),
    ("[apps.web]\nscript = 'x'", "a.toml:1: apps: unknown key; write [servers.NAME]"),
    ("[program.web]\ncommand = 'x'", "a.toml:1: program: unknown key; write [servers.NAME]"),
    ("[Service]\nExecStart = 'x'", "a.toml:1: Service: unknown key; write [servers.NAME]"),
    ("[plugins.http-health]", "a.toml:1: plugins: unknown key; write [servers.NAME.plugins]"),
    ("[servers.a]\ncommand = ['x']\n[server.b]", 'a.toml:3: server: unknown key; did you mean "servers"?'),
]


@pytest.mark.parametrize(("text", "message"), ON_TOP)
def test_a_mistake_at_the_top_is_told_with_its_place(write: Write, text: str, message: str) -> None:
    assert message in said_of(write("a.toml", text))


def test_the_misspelt_option_of_a_bundled_plugin_is_told_with_the_likely_word(write: Write) -> None:
    path = write(
        "configs/a.toml",
        """\
        # twelve lines down

        [servers.web]
        command = [
            "true",
        ]
        env = { A = '''

        ''' }

        [servers.web.plugins]
        regex-port = { patern = 'x' }
        """,
    )
    message = (
        'configs/a.toml:12: servers.web.plugins.regex-port.patern: unknown option; did you mean "pattern"?'
    )

    assert said_of(path) == [message]


@pytest.mark.requirement("R9")
def test_all_mistakes_of_all_files_are_told_at_once_each_with_its_own_file_and_line(write: Write) -> None:
    write("base.toml", "[servers.web]\nhots = 'a'\n[servers.web.env]\nA = 1\nB = 2\n")
    path = write(
        "a.toml",
        """\
        extends = ["base.toml"]
        [servers.web]
        needs = ["dbb"]
        env.B = false
        [servers.db]
        [servers.db.plugins]
        one = { use = "./plugin.py:Launcher", count = 1, coumt = 2, words = [
            "a", 5] }
        two = 5
        [servers.cache]
        plugins.watcher = { use = "./plugin.py:Watcher" }
        """,
    )

    assert said_of(path) == [
        f"a.toml:2: servers.web.command: {NO_COMMAND}",
        'a.toml:3: servers.web.needs[0]: there is no server "dbb"; did you mean "db"?',
        'a.toml:4: servers.web.env.B: expected a string, found false; did you mean "false"?',
        'a.toml:7: servers.db.plugins.one.coumt: unknown option; did you mean "count"?',
        "a.toml:8: servers.db.plugins.one.words[1]: expected a string, found a whole number",
        (
            "a.toml:9: servers.db.plugins.two: it is no plugin; an option stands in the table of its plugin, "
            "PLUGIN = { two = ... }"
        ),
        f"a.toml:10: servers.cache.command: {NO_COMMAND}",
        'base.toml:2: servers.web.hots: unknown key; did you mean "host"?',
        'base.toml:4: servers.web.env.A: expected a string, found 1; did you mean "1"?',
    ]


def test_a_port_that_does_not_exist_cannot_be_named(write: Write) -> None:
    path = write(
        "a.toml", "[servers.web]\ncommand = ['a', '${server.port}']\nport = false\nenv.U = '${server.url}'\n"
    )

    assert said_of(path) == [
        f"a.toml:2: servers.web.command[1]: ${{server.port}} {NO_PORT}",
        f"a.toml:4: servers.web.env.U: ${{server.url}} {NO_PORT}",
    ]


def test_servers_that_need_each_other_in_circles_are_told_in_full(write: Write) -> None:
    path = write(
        "a.toml",
        """\
        [servers]
        a = { command = ["x"], needs = ["b"] }
        b = { command = ["x"], needs = ["c"] }
        c = { command = ["x"], needs = ["a"] }
        d = { command = ["x"], needs = ["e", "a"] }
        e = { command = ["x"], needs = ["d"] }
        """,
    )

    circle = "servers need each other in a cycle"
    assert said_of(path) == [
        f"a.toml:2: servers.a.needs[0]: {circle}: a (a.toml:2) -> b (a.toml:3) -> c (a.toml:4) -> a",
        f"a.toml:5: servers.d.needs[0]: {circle}: d (a.toml:5) -> e (a.toml:6) -> d",
    ]


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("localhost", "127.0.0.1", True),
        ("::1", "localhost", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("127.0.0.1", "::1", False),
    ],
)
def test_two_servers_cannot_have_one_port_of_one_host(
    write: Write, one: str, other: str, clash: bool
) -> None:
    server = "[servers.{}]\ncommand = ['x']\nexpose = true\nport = 80\nhost = '{}'\n"
    path = write("a.toml", server.format("a", one) + server.format("b", other))
    if clash:
        assert said_of(path) == [
            'a.toml:9: servers.b.port: 80 is already the port of "a" on this host (0: a free one)'
        ]
    else:
        assert load(path).servers["b"].port == 80


def test_two_servers_cannot_read_what_hostler_reads(write: Write) -> None:
    server = "[servers.{}]\ncommand = ['x']\nstdin = 'inherit'\n"

    assert said_of(write("a.toml", server.format("a") + server.format("b"))) == [
        'a.toml:6: servers.b.stdin: "a" reads what hostler itself reads already, and only one server can'
    ]


@pytest.mark.parametrize("port", ["0", "false"])
def test_servers_without_a_fixed_port_do_not_clash(write: Write, port: str) -> None:
    path = write(
        "a.toml",
        f"[servers]\na = {{ command = ['x'], port = {port} }}\nb = {{ command = ['x'], port = {port} }}\n",
    )

    assert len(load(path).servers) == 2


SECRET = "(hunter2-zebra"
WITH_A_SECRET = [
    ("startup_timeout = '${SECRET}'", f'startup_timeout: {PARSED_UNIT}, found "${{SECRET}}"'),
    ("port = '${SECRET}'", f'port: {PORT}, found "${{SECRET}}"'),
    ("stdout = 'a${SECRET}'", f'stdout: {OUTPUT}, found "a${{SECRET}}"'),
    ("host = '${SECRET}'", f'host: "${{SECRET}}" {OUTSIDE}'),
    ("cwd = '~${SECRET}/a'", 'cwd: expected a home directory that exists, found "~${SECRET}/a"'),
    ("needs = ['${SECRET}']", 'needs[0]: there is no server "${SECRET}"'),
    (
        "plugins.x = { use = './plugin.py:Launcher', pattern = '${SECRET}' }",
        'plugins.x.pattern: not accepted by the plugin; it was read from "${SECRET}"',
    ),
    (
        "plugins.x = { use = './plugin.py:${SECRET}' }",
        'plugins.x: not accepted by the plugin; it was read from "./plugin.py:${SECRET}"',
    ),
    (
        "plugins.x = { use = './plugin.py:Launcher', count = '${SECRET}' }",
        "plugins.x.count: expected a whole number, found a string",
    ),
    (
        "plugins.x = { use = './plugin.py:Launcher', pattern = '(', source = '${SECRET}' }",
        "plugins.x.pattern: ( is not closed",
    ),
]


@pytest.mark.parametrize(("line", "message"), WITH_A_SECRET)
def test_a_value_of_the_environment_is_never_shown(write: Write, line: str, message: str) -> None:
    path = write("a.toml", f"[servers.web]\ncommand = ['true']\n{line}\n")
    said = said_of(path, SECRET=SECRET)

    assert said == [f"a.toml:3: servers.web.{message}"]
    assert "zebra" not in repr(said)


def said_of(path: Path, **environ: str) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load(path, environ={"HOME": "/home/ada"} | environ)
    assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
    return [str(problem) for problem in caught.value.problems]
