"""Server-sent events: reading them however they are cut, and writing them so that nothing can be smuggled in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dialects.errors import SseError
from dialects.sse import SseEvent, SseReader, write_comment, write_event


def read(*pieces: bytes) -> list[SseEvent]:
    reader = SseReader()
    return [event for piece in pieces for event in reader.feed(piece)]


def test_fields_comments_and_unknown_fields() -> None:
    stream = b": hello\n\nid: 7\nevent: error\nretry: 10\nfoo: bar\ndata:a\ndata: b\ndata\n\ndata:  c\n\n"
    assert read(stream) == [SseEvent(b"a\nb\n", "error", "7"), SseEvent(b" c")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end(end: bytes) -> None:
    assert read(end.join([b"data: a", b"data: b", b"", b"event: x", b"data: c", b"", b""])) == [
        SseEvent(b"a\nb"),
        SseEvent(b"c", "x"),
    ]


def test_a_line_end_cut_in_two_is_one() -> None:
    assert read(b"data: a\r", b"\n\r", b"\ndata: b\r\n", b"\r\n") == [SseEvent(b"a"), SseEvent(b"b")]


def test_a_cr_ends_its_event_before_anything_follows() -> None:
    assert SseReader().feed(b"data: a\r\r") == [SseEvent(b"a")]


def test_a_byte_order_mark_is_skipped_at_the_start_only() -> None:
    assert read(b"\xef\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [SseEvent(b"a")]


def test_what_the_end_cuts_off_is_pending() -> None:
    reader = SseReader()
    assert reader.feed(b"data: a\n\ndata: b") == [SseEvent(b"a")]
    assert reader.pending
    assert reader.feed(b"\n") == []
    assert reader.pending
    assert reader.feed(b"\n") == [SseEvent(b"b")]
    assert not reader.pending


@pytest.mark.parametrize("line", [b"data: \xff", b": \xc3\x28", b"event: \xe2\x82"])
def test_invalid_utf8_is_refused(line: bytes) -> None:
    with pytest.raises(SseError, match="UTF-8"):
        read(line + b"\n\n")


def test_lines_and_events_are_bounded() -> None:
    reader = SseReader(max_line_bytes=100, max_event_bytes=150)
    assert reader.feed(b"data: " + b"x" * 94 + b"\n\n") == [SseEvent(b"x" * 94)]
    with pytest.raises(SseError, match="line"):
        SseReader(max_line_bytes=100).feed(b"data: " + b"x" * 95 + b"\n\n")
    with pytest.raises(SseError, match="event"):
        SseReader(max_line_bytes=100, max_event_bytes=150).feed((b"data: " + b"x" * 80 + b"\n") * 2)
    endless = SseReader(max_line_bytes=100)
    for _ in range(100):
        endless.feed(b"x")
    with pytest.raises(SseError, match="line"):
        endless.feed(b"x" * 4)


LINES = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b"data: \xc3\xa9\xe2\x82\xac",
        b": c",
        b":",
        b"event: e",
        b"id: 1",
        b"",
        b"",
        b"z: y",
    ]
)


@given(
    lines=st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=30),
    cuts=st.lists(st.integers(0, 400), max_size=40),
)
@example(lines=[(b"data: x", b"\r\n"), (b"", b"\r\n")], cuts=[8, 9, 10])
def test_cuts_change_nothing(lines: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    stream = b"".join(line + end for line, end in lines)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    whole = read(stream)
    assert read(*pieces) == whole
    assert read(*[bytes([byte]) for byte in stream]) == whole


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_any_bytes_are_events_or_an_error(pieces: list[bytes]) -> None:
    try:
        events = read(*pieces)
    except SseError:
        return
    for event in events:
        event.data.decode()


@given(st.lists(st.tuples(st.text(max_size=40), st.text(st.characters(exclude_characters="\r\n\0"), max_size=8))))
def test_s34_a_reader_sees_exactly_what_was_written(events: list[tuple[str, str]]) -> None:
    # Codepoints that UTF-8 cannot carry have no bytes to send.
    events = [(data.encode(errors="ignore").decode(), name.encode(errors="ignore").decode()) for data, name in events]
    stream = b"".join(write_event(data.encode(), event=name) + write_comment(name) for data, name in events)
    expected = [(data.replace("\r\n", "\n").replace("\r", "\n"), name) for data, name in events]
    assert [(event.data.decode(), event.event) for event in read(stream)] == expected


@pytest.mark.parametrize("bad", ["a\nb", "a\rb", "a\0b"])
def test_s34_line_ends_in_fields_are_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="CR, LF"):
        write_event(b"x", event=bad)
    with pytest.raises(ValueError, match="CR, LF"):
        write_event(b"x", id=bad)
    with pytest.raises(ValueError, match="CR, LF"):
        write_comment(bad)
