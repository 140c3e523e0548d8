"""The hostler of a configuration, as the client commands talk to it, and what can go wrong with that."""

# No `from __future__ import annotations`: typing would compile those of a NamedTuple, a tenth of a `ps`.

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from hostler.cli.client.transport import (
    SILENCE,
    Answer,
    Closed,
    StreamRefused,
    Unreachable,
    probe,
    request,
    stream,
)
from hostler.cli.command_line import Arguments, file_words
from hostler.control.location import LONGEST_PATH, Location, locate, start_time
from hostler.version import __version__

FAILED, BAD_CALL, NOT_RUNNING, TIMED_OUT, UNREACHABLE = range(1, 6)

# Of the kinds of problems; that of all others is FAILED.
_CODES = {
    **dict.fromkeys(("invalid_request", "invalid_configuration", "not_found"), BAD_CALL),
    **dict.fromkeys(("not_running", "not_installed"), NOT_RUNNING),
    **dict.fromkeys(("unreachable", "unsupported", "internal", "too_many", "shutting_down"), UNREACHABLE),
    "timed_out": TIMED_OUT,
}
_REBIND_SECONDS = 2.0
_END_SECONDS = 5.0
_LOOK_SECONDS = 0.01
_EXIT_SECONDS = 0.5


class Deadline:
    """The end of so many `seconds` from now on; without them there is none."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """How many seconds are left."""
        return None if self._end is None else max(self._end - time.monotonic(), 0.0)

    def is_over(self) -> bool:
        """Whether none are."""
        return self._end is not None and time.monotonic() >= self._end


class ClientError(Exception):
    """Raised when a command cannot be carried out: the problem as the API tells it, and the exit code.

    Without an `exit_code` it is that of the kind.
    """

    def __init__(self, kind: str, detail: str, exit_code: int | None = None, /, **more: Any) -> None:
        super().__init__(detail)
        self.code = _CODES.get(kind, FAILED) if exit_code is None else exit_code
        self.problem: dict[str, Any] = {"type": f"/problems/{kind}", "detail": detail, **more}

    @property
    def kind(self) -> str:
        """The name of the problem."""
        return str(self.problem["type"]).rpartition("/")[2]

    def __str__(self) -> str:
        server, hint = self.problem.get("server"), self.problem.get("hint")
        text = f"{server}: {self.problem['detail']}" if server else self.problem["detail"]
        # The detail often consists of them.
        text += "".join(f"\n  {one}" for one in self.problem.get("mistakes", ()) if one not in text)
        return f"{text}\n  what to do: {hint}" if hint else text


class Frame(NamedTuple):
    """One server-sent event; `cursor` is the place to go on from behind it."""

    kind: str
    cursor: str
    value: dict[str, Any]


class HostlerEnded(ClientError):
    """Raised when the hostler ended before its answer did."""

    def __init__(self) -> None:
        super().__init__("not_running", "the hostler has just ended")


class Daemon:
    """A hostler that holds the lock of a configuration."""

    def __init__(self, location: Location, socket: str = "") -> None:
        self.location = location
        self._owner = location.owner()
        self.pid = self._owner.get("pid")
        self._chosen = socket

    @property
    def socket(self) -> str:
        """Where it listens: as chosen in the call, or as it says now."""
        known = self._chosen or self.location.describe().get("socket")
        return known if isinstance(known, str) else self.location.socket

    def get(self, target: str) -> dict[str, Any]:
        """The answer to a GET. Raises ClientError."""
        return self._call("GET", target, None, 30.0)

    def post(self, target: str, body: object, *, timeout: float | None = 30.0) -> dict[str, Any]:
        """The answer to a POST, which may take so long. Raises ClientError."""
        return self._call("POST", target, body, timeout)

    def follow(self, target: str) -> Iterator[dict[str, Any] | None]:
        """The objects of a stream as they come, None when there was none for a while. Raises ClientError."""
        for frames in self.frames(target):
            yield from (frame.value for frame in frames)
            if not frames:
                yield None

    def frames(self, target: str) -> Iterator[list[Frame]]:
        """The frames of a stream as they come, none when none came for a while. Raises ClientError."""
        kind = cursor = ""
        with self._streaming():
            for lines in stream(self.socket, target):
                frames = []
                for line in lines:
                    name, _, value = line.partition(b": ")
                    if name == b"id":
                        cursor = value.decode()
                    elif name == b"event":
                        kind = value.decode()
                    elif name == b"data":
                        frames.append(Frame(kind, cursor, json.loads(value)))
                yield frames

    def objects(self, target: str) -> Iterator[list[dict[str, Any]]]:
        """The objects of an answer that has one a line, as they come. Raises ClientError."""
        with self._streaming():
            for lines in stream(self.socket, target, "application/jsonl"):
                yield json.loads(b"[%b]" % b",".join(lines))

    @contextmanager
    def _streaming(self) -> Iterator[None]:
        try:
            yield
        except StreamRefused as error:
            self._refuse(error.answer, error.problem)
            raise self._unreachable(error) from None
        except (Unreachable, ValueError) as error:
            raise self._unreachable(error) from None

    def lives(self) -> bool:
        """Whether it has the lock, and no later one."""
        return self.location.is_held() and self.location.owner() == self._owner

    def outlives(self, deadline: Deadline) -> bool:
        """Whether it still lives when the time is over; at once when it has ended. Raises ClientError."""
        patience = Deadline(SILENCE / 2)
        while alive := self.lives():
            if deadline.is_over():
                break
            if patience.is_over():
                self._refuse_hung()
                patience = Deadline(SILENCE / 2)
            time.sleep(_LOOK_SECONDS)
        return alive

    def shut_down(self, deadline: Deadline, *, force: bool = False) -> bool:
        """Have it stop all servers and end; whether it has, when the time is over. Raises ClientError."""
        try:
            self.post("/v1/shutdown", {"force": force})
        except ClientError as error:
            if error.code != NOT_RUNNING:
                raise
        # It removes the lock last of all: nothing tells of that.
        return not self.outlives(deadline)

    def wait_for_exit(self) -> None:
        """Wait until its process is gone, which has given the lock back: that takes a moment."""
        patience = Deadline(_EXIT_SECONDS)
        while self._is_found and not patience.is_over():
            time.sleep(_LOOK_SECONDS)

    def _refuse_hung(self) -> None:
        """Raise ClientError where it answers nobody, though its socket is there still."""
        try:
            probe(self.socket)
        except Unreachable as error:
            is_closed = isinstance(error, Closed) or isinstance(error.__cause__, OSError)
            if not is_closed or isinstance(error.__cause__, TimeoutError):
                raise self._unreachable(error) from None

    def _call(self, method: str, target: str, body: object, timeout: float | None) -> dict[str, Any]:
        try:
            answer = self._ask(method, target, body, timeout)
            value: dict[str, Any] = answer.json() if answer.body else {}
        except Unreachable as error:
            raise self._unreachable(error) from None
        except TimeoutError:
            raise ClientError("timed_out", "it is not done in time, and goes on") from None
        self._refuse(answer, value)
        return value

    def _refuse(self, answer: Answer, value: dict[str, Any]) -> None:
        """Raise ClientError where the answer is a problem."""
        if answer.status >= 400 and "detail" in value:
            raise self._refusal(value, answer.headers.get("hostler-version", ""))

    def _ask(self, method: str, target: str, body: object, timeout: float | None) -> Answer:
        """The answer; for a socket that is not there yet, or not any more, it waits a moment."""
        rebound: Deadline | None = None
        while True:
            try:
                return request(self.socket, method, target, body, timeout=timeout)
            except Unreachable as error:
                gone = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
                if not gone or (rebound is not None and rebound.is_over()) or not self.lives():
                    raise
            if rebound is None:
                rebound = Deadline(_REBIND_SECONDS)
                self.location.request_socket()
            time.sleep(_LOOK_SECONDS)

    @property
    def _is_found(self) -> bool:
        """Whether the process in the lock's file is there, and its pid is not another's by now."""
        pid, begun = self.pid, self._owner.get("start_time")
        return isinstance(pid, int) and pid > 1 and begun is not None and start_time(pid) == begun

    def _refusal(self, problem: dict[str, Any], version: str) -> ClientError:
        kind = str(problem.get("type", "")).rpartition("/")[2]
        if kind == "unsupported" and version != __version__:
            problem["hint"] = f"that hostler is {version}, this is {__version__}: hostler restart-daemon"
        detail = problem.pop("detail")
        problem.pop("type", None)
        return ClientError(kind, detail, **problem)

    def _unreachable(self, error: Exception) -> ClientError:
        # At its end it closes its connections, and then releases the lock.
        ends = isinstance(error, Closed)
        if not self.lives() or (ends and not self.outlives(Deadline(_END_SECONDS))):
            return HostlerEnded()
        text = f"the hostler (pid {self.pid}) cannot be talked to: {error}"
        return ClientError("unreachable", text, hint=self._hint())

    def _hint(self) -> str:
        known = self.location.describe().get("socket")
        if self._chosen and known and os.path.abspath(self._chosen) != known:
            return f"leave out --socket: it listens on {known}"
        pid = self.pid
        return f"look at it: ps {pid}; kill -9 {pid} ends it and its servers" if self._is_found else ""


def deadline_of(arguments: Arguments) -> Deadline:
    """When the time of a call is over: `--timeout`, by default 5 minutes. Raises Usage."""
    return Deadline(arguments.seconds("timeout", 300.0))


def find_daemon(arguments: Arguments) -> Daemon | None:
    """The hostler of the configuration of a call; None where there is none."""
    location = locate(arguments.file, os.environ)
    return Daemon(location, arguments.text("socket")) if location.is_held() else None


def require_daemon(arguments: Arguments) -> Daemon:
    """The hostler of the configuration of a call. Raises ClientError where there is none."""
    daemon = find_daemon(arguments)
    if daemon is None:
        raise not_running_error(arguments.file)
    return daemon


def other_version(arguments: Arguments) -> str:
    """That the hostler of a call is of another version, and what to do; "" where none is."""
    location = locate(arguments.file, os.environ)
    found = location.describe().get("version", __version__) if location.is_held() else __version__
    if found == __version__:
        return ""
    words = f"hostler restart-daemon{file_words(arguments.file)}"
    return f"the hostler in the background is {found}, this is {__version__}; {words} starts this one"


def not_running_error(file: str) -> ClientError:
    """The error for a configuration that no hostler supervises, or that does not exist."""
    if not os.path.exists(file):
        return ClientError(
            "invalid_configuration",
            f"there is no file {file}",
            hint="name another one; `hostler init` writes one",
        )
    location, text = locate(file, os.environ), f"no hostler supervises {file} now"
    if len(os.fsencode(location.socket)) > LONGEST_PATH:
        hint = f"one could not be reached: its socket would be {location.socket}, which is too long; "
        return ClientError("not_running", text, hint=hint + "set XDG_RUNTIME_DIR to a short one")
    return ClientError("not_running", text, hint=f"start one: hostler up{file_words(file)}")
