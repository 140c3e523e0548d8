"""Whatever a server writes, and however the system cuts it: the lines, the last of it and the endpoint hold.

More examples: HYPOTHESIS_PROFILE=many.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hostler import Endpoint
from hostler.model.spec import PluginSpec
from hostler.plugins.host import PluginHost
from hostler.process.output.lines import LONGEST_LINE, TAIL, LineCutter, Tail
from hostler.process.tree.process_table import MARKER, find_marks
from hostler.testing import FakeServerContext
from hypothesis import example, given
from hypothesis import strategies as st

PIECES = [
    b"\n",
    b"\r\n",
    b"\r",
    b"a",
    b"listening on http://127.0.0.1:80",
    b"\x1b[31m",
    b"\xff",
    b"\xe6\x97",
    b"\0",
]
long_line = st.sampled_from([b"x" * LONGEST_LINE, b"y" * (LONGEST_LINE + 1), b"z" * 3 * LONGEST_LINE])
written = st.lists(st.sampled_from(PIECES) | long_line | st.binary(max_size=8), max_size=30).map(b"".join)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return (data[start:end] for start, end in pairwise(edges))


def lines_of(pieces: Iterator[bytes], before: bytes = b"") -> list[str]:
    cutter = LineCutter("stdout", 1)
    cutter.start(before)
    found = [line for piece in pieces for line in cutter.feed(piece)] + cutter.end()
    assert [line.number for line in found] == list(range(1, len(found) + 1))
    return [line.text for line in found]


@given(written, st.lists(st.integers(0, 10**6), max_size=10))
def test_lines_are_the_same_however_they_come(data: bytes, places: list[int]) -> None:
    found = lines_of(cut(data, places))
    ends = data.split(b"\n")
    expected = [line[:LONGEST_LINE].removesuffix(b"\r") for line in (ends if ends[-1] else ends[:-1])]
    assert found == [line.decode(errors="replace") for line in expected]


@given(written, st.integers(0, 10**6))
def test_a_follower_that_comes_late_gets_the_line_that_was_begun(data: bytes, place: int) -> None:
    at = place % (len(data) + 1)
    begun = data[:at].rpartition(b"\n")[2]
    assert lines_of(iter([data[at:]]), data[:at]) == lines_of(iter([begun + data[at:]]))


@given(written, st.lists(st.integers(0, 10**6), max_size=10), st.integers(1, 20))
def test_the_tail_is_the_end_of_what_was_written(data: bytes, places: list[int], times: int) -> None:
    tail = Tail()
    for _ in range(times):
        for piece in cut(data, places):
            tail.add(piece)
    assert tail.data() == (data * times)[-TAIL:]


@given(st.lists(st.binary(max_size=12) | st.just(f"{MARKER}=a:b".encode()), max_size=6))
@example([f"{MARKER}=".encode()])
@example([b"X" + f"{MARKER}=no".encode(), f"{MARKER}=yes".encode()])
def test_any_environment_has_the_marks_that_stand_in_it(variables: list[bytes]) -> None:
    variables = [variable.replace(b"\0", b"") for variable in variables]
    name = f"{MARKER}=".encode()
    marked = [variable for variable in variables if variable.startswith(name)]
    expected = marked[0].removeprefix(name).decode(errors="replace").split(":") if marked else []
    assert find_marks(b"\0".join(variables)) == expected


@pytest.fixture(scope="module")
def finder() -> PluginHost:
    failures: list[object] = []
    plugins = PluginHost([PluginSpec("regex-port")], on_failure=failures.append)
    assert not failures
    return plugins


@given(written, st.lists(st.integers(0, 10**6), max_size=10))
def test_no_output_makes_the_finder_fail_or_find_a_port_that_is_none(
    finder: PluginHost, data: bytes, places: list[int]
) -> None:
    for line in lines_of(cut(data, places)):
        found = finder.parse_port(FakeServerContext(), line, "stdout")
        assert found is None or isinstance(found[1], Endpoint)
    assert [stats.failures for stats in finder.stats.values() if stats.failures] == []
