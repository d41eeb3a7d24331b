"""Writing `application/vnd.amazon.eventstream`, for providers that are played and for tests."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_STRING = 7


def write_message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Write one message with headers of text."""
    return write_raw_message(
        b"".join(
            bytes([len(name.encode())])
            + name.encode()
            + struct.pack(">BH", _STRING, len(value.encode()))
            + value.encode()
            for name, value in headers.items()
        ),
        payload,
    )


def write_raw_message(headers: bytes, payload: bytes) -> bytes:
    """Write one message whose headers are written already, well or not."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def write_event(name: str, payload: bytes, kind: str = "event") -> bytes:
    """Write an event, or with `kind` an exception."""
    headers = {":message-type": kind, f":{kind}-type": name, ":content-type": "application/json"}
    return write_message(headers, payload)
