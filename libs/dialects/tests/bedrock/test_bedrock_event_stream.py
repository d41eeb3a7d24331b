"""The framing of Bedrock's streams."""

from __future__ import annotations

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.bedrock.event_stream import MAX_MESSAGE_BYTES, EventStreamEvent, EventStreamReader
from dialects.errors import UpstreamAnswerError
from dialects.testing.event_stream import write_message, write_raw_message

# Of the test vectors that the SDKs of AWS share: no headers and no payload; one header of 32 bits; a wrong check sum.
EMPTY = bytes.fromhex("000000100000000005c248eb7d98c8ff")
INT32 = b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85"
CORRUPTED = b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb0"


EVENT = write_message({":message-type": "event", ":event-type": "messageStop"}, b'{"stopReason":"end_turn"}')
STREAM = EVENT + write_message({":message-type": "exception", ":exception-type": "throttlingException"}, b"{}")


def read(stream: bytes, size: int = 1 << 30) -> list[EventStreamEvent]:
    reader = EventStreamReader()
    return [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]


def test_the_vectors_of_the_sdks() -> None:
    assert write_message({}, b"") == EMPTY
    assert read(EMPTY + INT32) == [EventStreamEvent("", "", b""), EventStreamEvent("", "", b"{'foo':'bar'}")]
    with pytest.raises(UpstreamAnswerError):
        read(CORRUPTED)


def test_events_exceptions_and_errors() -> None:
    error = write_message({":message-type": "error", ":error-code": "InternalError", ":error-message": "x"}, b"")
    assert read(STREAM + error) == [
        EventStreamEvent("event", "messageStop", b'{"stopReason":"end_turn"}'),
        EventStreamEvent("exception", "throttlingException", b"{}"),
        EventStreamEvent("error", "InternalError", b"", "x"),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 11, 12, 13, 16, 50])
def test_pieces_of_any_size_give_the_same_messages(size: int) -> None:
    assert read(STREAM * 3, size) == read(STREAM) * 3


@given(st.integers(0, len(STREAM)))
def test_a_cut_message_is_pending(cut: int) -> None:
    reader = EventStreamReader()
    list(reader.feed(STREAM[:cut]))
    assert reader.pending == (cut not in (0, len(EVENT), len(STREAM)))


@given(st.integers(0, len(EVENT) - 1), st.integers(0, 7))
def test_every_flipped_bit_is_noticed_or_waited_for(at: int, bit: int) -> None:
    damaged = bytearray(EVENT)
    damaged[at] ^= 1 << bit
    with pytest.raises(UpstreamAnswerError):
        # The prelude has a check sum of its own, so a wrong length is not waited for.
        read(bytes(damaged))


@pytest.mark.parametrize("total", [0, 15, 16 + 9, MAX_MESSAGE_BYTES + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_at_once(total: int) -> None:
    prelude = struct.pack(">II", total, 10)
    with pytest.raises(UpstreamAnswerError):
        read(prelude + struct.pack(">I", zlib.crc32(prelude)))


def test_the_bound_is_a_choice() -> None:
    with pytest.raises(UpstreamAnswerError):
        list(EventStreamReader(max_message_bytes=len(EVENT) - 1).feed(EVENT))
    assert list(EventStreamReader(max_message_bytes=len(EVENT)).feed(EVENT)) == read(EVENT)


@pytest.mark.parametrize("head", [b"\x01a\x63", b"\xff", b"\x01\xff\x00", b"\x01a\x00\x01a\x00", b"\x01a"])
def test_malformed_headers_are_refused(head: bytes) -> None:
    with pytest.raises(UpstreamAnswerError):
        read(write_raw_message(head, b""))


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_any_headers_are_read_or_refused(head: bytes, rest: bytes) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        (event,) = read(write_raw_message(head, rest))
        assert event.payload == rest


@given(st.binary(max_size=300))
def test_any_bytes_are_messages_or_refused(stream: bytes) -> None:
    with contextlib.suppress(UpstreamAnswerError):
        read(stream, 7)
