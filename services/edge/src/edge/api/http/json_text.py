"""Pieces of JSON as bytes, for answers that are put together rather than encoded whole."""

from __future__ import annotations

import msgspec

_encode = msgspec.json.Encoder().encode

# Valid inside JSON strings, but a client that splits a stream with `str.splitlines` would break an event there (S34).
_LINE_BREAKS = (
    (b"\xe2\x80\xa8", b"\\u2028"),
    (b"\xe2\x80\xa9", b"\\u2029"),
    (b"\xc2\x85", b"\\u0085"),
)


def json_string(text: str) -> bytes:
    """Encode a string on one line, whatever a client takes for the end of a line."""
    encoded = _encode(text)
    return encoded if text.isascii() else one_line(encoded)


def json_value(value: object) -> bytes:
    """Encode a small value on one line."""
    return one_line(_encode(value))


def one_line(document: bytes) -> bytes:
    """Escape what some clients take for the end of a line; the JSON stays the same value.

    Raises:
        msgspec.DecodeError: the document holds a line feed or a carriage return and is not JSON.
    """
    if b"\n" in document or b"\r" in document:
        # Between tokens they are only white space; inside a string they are not JSON at all.
        document = _encode(msgspec.json.decode(document))
    if not document.isascii():
        for raw, escaped in _LINE_BREAKS:
            document = document.replace(raw, escaped)
    return document


def members_of(document: bytes) -> bytes:
    """Give the members of a JSON object without its braces, to splice them into another: b"" for an empty one."""
    text = one_line(document).strip()
    if text[:1] != b"{" or text[-1:] != b"}":
        return b""
    return text[1:-1].strip()
