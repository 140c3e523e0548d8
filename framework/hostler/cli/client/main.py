"""Calls of the client commands: read, carried out, and their errors as exit codes."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from hostler.cli import NO_FOLDER
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.client.daemon import BAD_CALL, FAILED, ClientError, other_version
from hostler.cli.client.output import Output
from hostler.cli.command_line import Arguments, Usage, file_words, read_call, usage
from hostler.cli.safe_streams import escape_unencodable

_FOLLOWING = {"events", "logs"}  # which Ctrl-C is the usual end of
_MODULES = dict.fromkeys(("start", "stop", "restart"), "server_commands")


def call(name: str, words: Sequence[str]) -> int:
    """Run one client command; its exit code."""
    # Ctrl-C ends the waiting, and nothing else.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    escape_unencodable()
    try:
        arguments = read_call(CLIENT_COMMANDS[name], words)
    except Usage as error:
        return _refuse(name, words, error)
    output = Output(as_json=arguments.has("json"), quiet=arguments.has("quiet"))
    try:
        # At a terminal alone: a script has asked for nothing of the kind.
        if sys.stderr is not None and sys.stderr.isatty() and (text := other_version(arguments)):
            output.note(text)
        function = _function(name)
        # Imports leave no garbage, and looking for it takes a tenth of a call; one that follows a log lasts.
        gc.freeze()
        gc.enable()
        return function(arguments, output)
    except Usage as error:
        return _refuse(name, words, error)
    except ClientError as error:
        output.failure(error)
        return error.code
    except KeyboardInterrupt:
        if name not in _FOLLOWING:
            output.note(f"the servers go on; `hostler down{file_words(arguments.file)}` stops them")
        return 130
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # who has closed the pipe wants to read no more
            output.failure(ClientError("failed", _os_error_text(error)))
        return FAILED


def _function(name: str) -> Callable[[Arguments, Output], int]:
    module = import_module(f"hostler.cli.client.{_MODULES.get(name, name).replace('-', '_')}")
    function: Callable[[Arguments, Output], int] = getattr(module, name if name in _MODULES else "run")
    return function


def _os_error_text(error: OSError) -> str:
    if isinstance(error, FileNotFoundError) and not error.filename:  # of os.getcwd()
        return NO_FOLDER
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)


def _refuse(name: str, words: Sequence[str], error: Usage) -> int:
    own = words[: words.index("--")] if "--" in words else words
    if "--json" in own:
        Output(as_json=True, quiet=False).failure(ClientError("invalid_request", str(error)))
    else:
        Output(as_json=False, quiet=False).note(usage(CLIENT_COMMANDS[name], error))
    return BAD_CALL
