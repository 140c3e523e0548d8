"""Output that comes without pipes and threads: each line is delivered on the loop as it is said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import anyio

from hostler.concurrency.flag import Flag
from hostler.model.launch import Sink
from hostler.model.values import Line, StreamName
from hostler.process.output.capture import Capture, OutputReader
from hostler.process.output.lines import LinesCallback, Tail
from hostler.process.output.output_count import OutputCount
from hostler.process.output.sink_writer import OnTrouble
from hostler.secrets.masking import Masker


class FakeCapture(Capture):
    """The output of one fake child. A sink that raises is reported, as by the real one."""

    def __init__(
        self,
        generation: int,
        masker: Masker,
        sinks: Sequence[Sink],
        on_trouble: OnTrouble,
        count: OutputCount,
    ) -> None:
        # Not Capture.__init__, which is made of pipes.
        self.sinks = tuple(sinks)
        self._generation = generation
        self._masker = masker
        self._on_trouble = on_trouble
        self._count = count
        self._followers: list[LinesCallback] = []
        self._tails: dict[StreamName, Tail] = {"stdout": Tail(), "stderr": Tail()}
        self._numbers: Counter[StreamName] = Counter()
        self._ended = Flag()
        self._retired = False

    def take(self, stream: StreamName, text: str) -> None:
        """Carry one line to the sinks now and to the followers as soon as the loop is free."""
        if self._retired:
            return

        text = self._masker.text(text)
        data = f"{text}\n".encode()
        self._numbers[stream] += 1
        self._count.note(stream, len(data))
        self._tails[stream].add(data)

        for sink in self.sinks:
            self._guard(sink, lambda sink=sink: sink.write(stream, data))  # type: ignore[misc]

        line = Line(stream, text, self._numbers[stream], self._generation)
        asyncio.get_running_loop().call_soon(self._deliver, line)

    def finish(self) -> None:
        """Nobody can write any more."""
        self._ended.set()

    def write_fd(self, stream: StreamName) -> int | None:
        """None: a fake child writes to no descriptor."""
        return None

    def close_write_fds(self) -> None:
        """Do nothing: there are none."""

    def follow(self, callback: LinesCallback) -> Callable[[], None]:
        """Call `callback` with each line from now on; the result ends it."""
        self._followers.append(callback)
        return lambda: self._forget(callback)

    def tail(self, stream: StreamName, lines: int | None = None) -> str:
        """The last lines of a stream, masked."""
        text = self._tails[stream].data().decode()
        return text if lines is None else "".join(text.splitlines(keepends=True)[-lines:] if lines else [])

    async def drained(self, timeout: float, patience: float = 0.0) -> bool:
        """Wait until the whole tree has ended; False after `timeout` seconds."""
        with anyio.move_on_after(timeout):
            await self._ended.wait()
        return self._ended.is_set()

    async def close(self) -> None:
        """Close the sinks."""
        self.retire()

    def retire(self) -> None:
        """Close the sinks, once."""
        if not self._retired:
            self._retired = True
            for sink in self.sinks:
                self._guard(sink, sink.close)

    def _forget(self, callback: LinesCallback) -> None:
        self._followers = [one for one in self._followers if one != callback]

    def _deliver(self, line: Line) -> None:
        for callback in tuple(self._followers):
            callback([line])

    def _guard(self, sink: Sink, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - a sink's failure is reported, and affects nothing else
            name = type(sink).__name__
            self._on_trouble("sink_failed", f"{name} failed: {error!r}", {"sink": name})


class FakeOutputReader(OutputReader):
    """Makes the captures of fake children. `newest` is what the next child writes to."""

    def __init__(self) -> None:
        super().__init__()
        self.captures: list[FakeCapture] = []

    def open(
        self,
        *,
        generation: int,
        masker: Masker,
        sinks: Sequence[Sink],
        on_trouble: OnTrouble,
        streams: Sequence[StreamName] = ("stdout", "stderr"),
        count: OutputCount | None = None,
    ) -> FakeCapture:
        """Begin the output of one run."""
        counts = OutputCount() if count is None else count
        counts.expect(("stdout", "stderr"))
        self.captures.append(FakeCapture(generation, masker, sinks, on_trouble, counts))
        return self.captures[-1]

    def close(self) -> None:
        """End all captures."""
        for capture in self.captures:
            capture.retire()
