"""The framing `application/vnd.amazon.eventstream`: length, headers, payload, and a check sum over each.

botocore decodes a message; what may reach it is bounded here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dialects.errors import UpstreamAnswerError

if TYPE_CHECKING:
    from botocore.eventstream import EventStreamBuffer, EventStreamMessage

# S33. An image comes in pieces, so a message is as long as a piece of one at most.
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
# Prelude: total length, length of the headers, check sum of both. A message ends with another check sum.
_PRELUDE = struct.Struct(">III")
_LEAST_BYTES = _PRELUDE.size + 4


@dataclass(frozen=True, slots=True)
class EventStreamEvent:
    """One message.

    Attributes:
        kind: `event`, `exception` or `error`.
        name: of the event or the exception, or the code of the error.
        payload: JSON, as a rule.
        message: the text of an error.
    """

    kind: str
    name: str
    payload: bytes = field(repr=False)
    message: str = field(default="", repr=False)


class EventStreamReader:
    """Turns bytes, in pieces of any size, into messages."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        # Imported here, so that only who speaks to Bedrock pays for it.
        from botocore.eventstream import EventStreamBuffer

        self._buffer_class: type[EventStreamBuffer] = EventStreamBuffer
        self._max_message_bytes = max_message_bytes
        # Gathered here and handed over at once, so that one-byte pieces cost no copying.
        self._bytes = bytearray()
        self._length = 0
        self._decoder: EventStreamBuffer | None = None

    @property
    def pending(self) -> bool:
        """Whether the last message is unfinished: if the stream ends now, something was cut off."""
        return bool(self._bytes)

    def feed(self, piece: bytes) -> Iterator[EventStreamEvent]:
        """Take the next bytes and yield the messages that they complete. Must be exhausted before the next call.

        Raises:
            UpstreamAnswerError: a check sum is wrong, or a message is too long or malformed. The reader is of no use afterwards.
        """
        self._bytes += piece
        while True:
            if self._decoder is None:
                if len(self._bytes) < _PRELUDE.size:
                    return
                self._begin()
            if len(self._bytes) < self._length:
                return
            yield self._finish()

    def _begin(self) -> None:
        total, headers, _ = _PRELUDE.unpack_from(self._bytes)
        if not _LEAST_BYTES + headers <= total <= self._max_message_bytes:
            raise UpstreamAnswerError(
                f"a message is not between {_LEAST_BYTES} and {self._max_message_bytes} bytes long"
            )
        self._length = total
        self._decoder = self._buffer_class()
        # Its check sum is looked at before any of what it announces is waited for.
        self._decode(bytes(self._bytes[: _PRELUDE.size]))

    def _finish(self) -> EventStreamEvent:
        message = self._decode(bytes(self._bytes[_PRELUDE.size : self._length]))
        del self._bytes[: self._length]
        self._decoder = None
        if message is None:
            raise UpstreamAnswerError("a message is incomplete")
        headers = message.headers
        kind = _header(headers, ":message-type")
        name = _header(headers, {"event": ":event-type", "exception": ":exception-type"}.get(kind, ":error-code"))
        return EventStreamEvent(kind, name, message.payload, _header(headers, ":error-message"))

    def _decode(self, data: bytes) -> EventStreamMessage | None:
        from botocore.eventstream import ParserError

        if self._decoder is None:
            return None
        self._decoder.add_data(data)
        try:
            return self._decoder.next()
        except StopIteration:
            return None
        except (ParserError, struct.error, KeyError, ValueError, IndexError):
            # Beside its own errors botocore lets through what unpacking malformed headers raises.
            raise UpstreamAnswerError("a message is malformed, or its check sum is wrong") from None


def _header(headers: dict[str, Any], name: str) -> str:
    value = headers.get(name)
    return value if isinstance(value, str) else ""
