"""Lines of JSON, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialects.errors import UpstreamAnswerError
from dialects.ndjson import NdjsonReader


def read(*pieces: bytes) -> list[bytes]:
    reader = NdjsonReader()
    return [line for piece in pieces for line in reader.feed(piece)]


def test_lines_end_with_lf_or_crlf_and_empty_ones_are_skipped() -> None:
    assert read(b'{"a":1}\n\r\n\n {"b":2} \r', b'\n{"c":\r3}\n') == [b'{"a":1}', b'{"b":2}', b'{"c":\r3}']


def test_what_the_end_cuts_off_is_pending() -> None:
    reader = NdjsonReader()
    assert reader.feed(b"{}\n{") == [b"{}"]
    assert reader.pending
    assert reader.feed(b"}\n") == [b"{}"]
    assert not reader.pending


def test_lines_are_bounded() -> None:
    assert NdjsonReader(10).feed(b"x" * 10 + b"\n") == [b"x" * 10]
    with pytest.raises(UpstreamAnswerError, match="10 bytes"):
        NdjsonReader(10).feed(b"x" * 11 + b"\n")
    endless = NdjsonReader(10)
    for _ in range(10):
        endless.feed(b"x")
    with pytest.raises(UpstreamAnswerError):
        endless.feed(b"x")


@given(st.lists(st.sampled_from([b"{}", b"", b"\r", b" ", b"\n", b"\n", b'{"a":"\xc3\xa9"}']), max_size=30))
def test_cuts_change_nothing(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole = read(stream)
    assert read(*[bytes([byte]) for byte in stream]) == whole
    for cut in range(len(stream)):
        assert read(stream[:cut], stream[cut:]) == whole


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_any_bytes_are_lines(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    assert read(*[stream[start:end] for start, end in itertools.pairwise(edges)]) == read(stream)
    assert all(line and b"\n" not in line for line in read(stream))
