import time
import tracemalloc
from collections.abc import Iterator
from itertools import combinations

import pytest
from hostler import StreamEvent, StreamGap
from hostler_plugins.sse_health.event_stream import EventStreamParser
from hypothesis import given, settings
from hypothesis import strategies as st

Outcome = tuple[list[StreamEvent | StreamGap], str, int | None]


def reference(stream: bytes) -> Outcome:
    """The standard's algorithm word by word, on the whole stream: slow, and easy to compare with the text."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events: list[StreamEvent | StreamGap] = []
    data_buffer = type_buffer = id_buffer = last_event_id = ""
    retry: int | None = None

    for line in lines:
        if line == "":
            last_event_id = id_buffer
            if data_buffer != "":
                events.append(StreamEvent(type_buffer or "message", data_buffer[:-1], last_event_id))
            data_buffer = type_buffer = ""
            continue
        field, colon, value = line.partition(":")
        if field == "" and colon:
            continue
        value = value[1:] if value[:1] == " " else value
        if field == "event":
            type_buffer = value
        elif field == "data":
            data_buffer += value + "\n"
        elif field == "id" and "\0" not in value:
            id_buffer = value
        elif field == "retry" and value and all(digit in "0123456789" for digit in value):
            retry = int(value)

    return events, last_event_id, retry


def parse(pieces: Iterator[bytes]) -> Outcome:
    parser = EventStreamParser()
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events, parser.last_event_id, parser.retry


def cut(stream: bytes, *places: int) -> Iterator[bytes]:
    ends = [*places, len(stream)]
    return (stream[start:end] for start, end in zip([0, *places], ends, strict=True))


def chunkings(stream: bytes) -> Iterator[Iterator[bytes]]:
    """Every way to cut a short stream; of a longer one every even cut and every cut in three."""
    inner = range(1, len(stream))
    if len(stream) <= 11:
        for count in range(len(stream)):
            yield from (cut(stream, *places) for places in combinations(inner, count))
        return
    for size in range(1, len(stream) + 1):
        yield cut(stream, *range(size, len(stream), size))
    yield from (cut(stream, *places) for places in combinations(inner, 2))


STREAMS = [
    b"",
    b"\n",
    b"\n\n\n",
    b"data: a\n\n",
    b"data: a",
    b"data: a\n",
    b"data:a\n\ndata: b\n\n",
    b"data:  a\n\n",
    b"data: a \n\n",
    b"data:\ta\n\n",
    b"data\n\n",
    b"data:\n\n",
    b"data: \n\n",
    b"data\ndata\n\ndata:",
    b"data\n\ndata\ndata\n\ndata:\n\n",
    b"data: a\ndata: b\ndata:\ndata: c\n\n",
    b" data: a\n\n",
    b"data : a\n\n",
    b"Data: a\n\nDATA: b\n\n",
    b"data:a: b\n\ndata: c: d\n\ndata:: e\n\n",
    b"data: : \n\n",
    b"dat: a\n\ndatas: a\n\n",
    b": comment\n\n:\n\n::\n\ndata: a\n:x\ndata: b\n\n",
    b"\xef\xbb\xbfdata: a\n\n",
    b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n",
    b"\xef\xbbdata: a\n\ndata: b\n\n",
    b"\xefdata: a\n\ndata: b\n\n",
    b"\xef\xbb",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbf\ndata: a\n\n",
    b"\xef\xbb\n\ndata: a\n\n",
    b"\n\xef\xbb\xbfdata: a\n\n",
    b"data: \xef\xbb\xbfa\n\n",
    b"data: a\r\n\r\n",
    b"data: a\r\r",
    b"data: a\r\rdata: b\r\r",
    b"data: a\r\n\rdata: b\n\n",
    b"data: a\n\rdata: b\n\n",
    b"data: a\r\n\ndata: b\r\n\n",
    b"\r\n\r\n\r\ndata: a\r\n\r\n",
    b"\rdata: a\r\rid: 1\r\r",
    b"data: a\r\ndata: b\rdata: c\n\r\n",
    b"data: a\xe2\x80\xa8b\xc2\x85c\x0bd\x0ce\x1cf\xe2\x80\xa9g\n\n",
    b"data: \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x98\x80\n\n",
    b"data: \xe6\x97\ndata: \xf0\x9f\x98\n\n",
    b"data: \xf0\x9f\r\n\r\n",
    b"data: \xed\xa0\x80 \xc0\xaf \xff \xf4\x90\x80\x80\n\n",
    b"data: \x80\n\ndata: \xc3\n\n",
    b"data: a\0b\n\n",
    b"event: x\ndata: a\n\ndata: b\n\n",
    b"event: x\n\ndata: b\n\n",
    b"event: x\nevent: y\ndata: a\n\n",
    b"event: x\nevent\ndata: a\n\n",
    b"event:\ndata: a\n\nevent:x\ndata: b\n\n",
    b"data: a\nevent: message\n\n",
    b"id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
    b"id: 1\n\n",
    b"id: 1\ndata: a\n",
    b"id: 1\n\nid: 2\n",
    b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n",
    b"id:1\n\nid:\0\n\n",
    b"id: 1\nid: 2\ndata: a\n\n",
    b"id: \xe6\x97\xa5\ndata: a\n\n",
    b"retry: 1000\n\n",
    b"retry: 1000",
    b"retry:1000\n",
    b"retry: 0\n",
    b"retry: 007\n",
    b"retry: 10\nretry: x\n",
    b"retry\nretry:\nretry: \n",
    b"retry:  10\n",
    b"retry: 10 \n",
    b"retry: +10\nretry: -10\nretry: 1_0\nretry: 1.5\nretry: 0x10\nretry: 1e3\n",
    b"retry: \xd9\xa1\xd9\xa2\n",
    b"retry: \xc2\xb2\n",
    b"retry: 999999999999999\n",
    b"foo: bar\ndata: a\nbaz\n\n",
    b'data: {"type":"server.connected","properties":{}}\n\n',
]


@pytest.mark.requirement("R26")
@pytest.mark.parametrize("stream", STREAMS, ids=repr)
def test_a_stream_means_what_the_standard_says_however_it_is_cut(stream: bytes) -> None:
    expected = reference(stream)
    for pieces in chunkings(stream):
        assert parse(pieces) == expected


TOKENS = [
    *(
        b"data",
        b"event",
        b"id",
        b"retry",
        b":",
        b": ",
        b" ",
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"a",
        b"17",
        b"\0",
    ),
    *(
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
        b"\xf0\x9f\x98\x80",
        b"\xe6\x97",
        b"\xff",
        b"\x85",
        b"\x0c",
        b"data: b\n\n",
    ),
]


@settings(max_examples=4 * settings().max_examples, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map(b"".join), st.data())
def test_any_stream_in_any_pieces_means_what_the_standard_says(stream: bytes, draw: st.DataObject) -> None:
    inner = st.integers(0, len(stream))
    places = sorted(draw.draw(st.lists(inner, max_size=12)))

    assert parse(cut(stream, *places)) == reference(stream)


def test_an_event_that_ends_in_cr_cr_comes_without_waiting_for_the_next_byte() -> None:
    assert EventStreamParser().feed(b"data: a\r\r") == [StreamEvent("message", "a")]


def test_a_line_feed_after_a_carriage_return_is_no_second_line_end_after_an_empty_piece() -> None:
    parser = EventStreamParser()
    pieces = [b"data: a\r", b"", b"\n", b"data: b\r\n\r", b"\n", b"event: x\r\n"]

    assert [event for piece in pieces for event in parser.feed(piece)] == [StreamEvent("message", "a\nb")]


def test_a_piece_of_more_than_64_kib_loses_nothing_at_its_seams() -> None:
    stream = b"".join(b"id: %d\r\ndata: %s\r\n\r\n" % (n, b"\xe6\x97\xa5" * (n % 97)) for n in range(5000))

    assert len(stream) > 5 * 65536
    assert parse(iter([stream])) == reference(stream)


def test_a_retry_of_5000_digits_is_a_large_number_and_no_error() -> None:
    parser = EventStreamParser()
    parser.feed(b"retry: " + b"9" * 5000 + b"\n")

    assert parser.retry == 10**15


def test_comments_are_counted_because_they_are_a_sign_of_life() -> None:
    parser = EventStreamParser()

    assert parser.feed(b": heartbeat\n\n:\n") == []
    assert parser.comments == 2


def test_a_parser_continues_from_the_last_event_id_of_the_stream_before() -> None:
    parser = EventStreamParser(last_event_id="7")

    assert parser.feed(b"data: a\n\n") == [StreamEvent("message", "a", "7")]
    assert parser.last_event_id == "7"


def pour(parser: EventStreamParser, stream: bytes, size: int) -> list[StreamEvent | StreamGap]:
    cuts = range(0, len(stream), size)
    return [event for start in cuts for event in parser.feed(stream[start : start + size])]


LIMIT = 1000
TOO_LARGE = StreamGap(f"an event of more than {LIMIT} bytes was skipped", 1)
LONG_LINE = StreamGap(f"a line of more than {LIMIT} bytes was skipped")


def long_field(name: str) -> StreamGap:
    return StreamGap(f"an event with an {name} field of more than {LIMIT} bytes was skipped", 1)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=repr)
@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
@pytest.mark.parametrize(
    ("nasty", "marks"),
    [
        (b"id: 7\ndata: " + b"x" * 996, [TOO_LARGE]),
        (b"data: x\n" * 143 + b"id: 7", [TOO_LARGE]),
        (b"data:x\n" * 200 + b"event: y\ndata: y\nid: 7", [TOO_LARGE]),
        (b"data\n" * 300 + b"id: 7\nid: " + b"8" * 2000, [TOO_LARGE]),
        (b"id: 7\ndata: y\nid: " + b"8" * 2000, [long_field("id")]),
        (b"id: 7\nevent: " + b"x" * 996 + b"\ndata: y", [long_field("event")]),
        (b"id: 7\ndata: y\n: " + b"x" * 3000, [LONG_LINE, StreamEvent("message", "y", "7")]),
        (b"foo" * 400 + b"\nid: 7\ndata: y", [LONG_LINE, StreamEvent("message", "y", "7")]),
        (b"retry: " + b"9" * 3000 + b"\nid: 7", [LONG_LINE]),
    ],
    ids=range(9),
)
def test_what_is_larger_than_the_limit_is_skipped_up_to_its_blank_line(
    nasty: bytes, marks: list[StreamEvent | StreamGap], size: int, end: bytes
) -> None:
    parser = EventStreamParser(max_event=LIMIT)
    stream = b"\xef\xbb\xbfid: 1\ndata: first\n\n" + nasty + b"\n\ndata: next\n\n"

    assert pour(parser, stream.replace(b"\n", end), size) == [
        StreamEvent("message", "first", "1"),
        *marks,
        StreamEvent("message", "next", "7"),
    ]
    assert parser.last_event_id == "7"
    assert parser.skipped == sum(mark is not LONG_LINE and isinstance(mark, StreamGap) for mark in marks)
    assert parser.retry is None


@pytest.mark.parametrize("field", [b"data: ", b"id: ", b"event: ", b": ", b""], ids=repr)
def test_a_line_without_end_is_told_though_it_never_ends(field: bytes) -> None:
    parser = EventStreamParser(max_event=LIMIT)
    assert [type(item) for item in pour(parser, field + b"x" * 200_000, 64)] == [StreamGap]


@pytest.mark.parametrize("size", [997, 65_536, 400_000])
def test_a_line_of_many_pieces_is_decoded_as_a_whole(size: int) -> None:
    text = "a\u65e5\u672c\U0001f600" * 20_000
    stream = f"data: before\ndata:{text}\ndata: {text}".encode() + b"\xf0\x9f\r\n\r\n"
    events = pour(EventStreamParser(), stream, size)

    assert events == [StreamEvent("message", f"before\n{text}\n{text}\ufffd")]


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_an_event_at_the_limit_passes_however_it_is_cut(size: int) -> None:
    parser = EventStreamParser(max_event=1000)
    stream = b"data: " + b"x" * 994 + b"\n\n" + b"data: 34567890\n" * 71 + b"\n"
    sizes = [len(e.data) for e in pour(parser, stream, size) if isinstance(e, StreamEvent)]

    assert sizes == [994, 71 * 9 - 1]


def test_comments_without_blank_lines_never_add_up_to_an_error() -> None:
    parser = EventStreamParser(max_event=1000)
    for _ in range(1000):
        parser.feed(b": still here\nunknown: field\n")
    assert parser.feed(b"data: a\n\n") == [StreamEvent("message", "a")]


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (b"data: " + b"x" * (3 << 19) + b"\n", True),
        (b"data: " + b"x" * (3 << 20) + b"\n", False),
        (b"data: " + b"x" * 100_000 + b"\n", True),
        (b"data: ab\n", True),
        (b": " + b"x" * (5 << 20) + b"\n", False),
    ],
    ids=["one line", "too large", "long lines", "short lines", "comment"],
)
def test_events_of_any_form_cost_twice_their_size_at_most_again_and_again(line: bytes, known: bool) -> None:
    limit = 2 << 20
    stream = line * max(1, (3 << 19) // len(line)) + b"\n"
    parser = EventStreamParser(max_event=limit)
    tracemalloc.start()

    try:
        for _ in range(2):
            kinds = [type(item) for item in pour(parser, stream, 10_000)]
            assert kinds == [StreamEvent if known else StreamGap]
        assert tracemalloc.get_traced_memory()[1] < 2 * limit + (1 << 20)
    finally:
        tracemalloc.stop()


def seconds(stream: bytes, size: int) -> float:
    parser = EventStreamParser(max_event=1024 * 1024 * 1024)
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    start = time.process_time()
    for piece in pieces:
        parser.feed(piece)
    return time.process_time() - start


@pytest.mark.parametrize(
    ("unit", "size"),
    [
        (b"x", 16),
        (b"\n", 16384),
        (b"\r", 16384),
        (b"data:\n", 64),
        (b"data: x\n", 1 << 30),
        (b":\n", 16),
        (b"\xe6\x97\xa5", 16),
        (b"retry: 99999999\n", 65536),
    ],
    ids=repr,
)
def test_four_times_the_bytes_take_about_four_times_as_long(unit: bytes, size: int) -> None:
    # Each line end costs a call of its own: a fifth of them shows it too.
    small = unit * ((100_000 if unit in {b"\n", b"\r"} else 500_000) // len(unit))
    once = min(seconds(small, size) for _ in range(3))
    four = min(seconds(small * 4, size) for _ in range(3))

    assert four < 10 * once + 0.02  # 16 times, were it quadratic
