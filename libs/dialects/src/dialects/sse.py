"""Server-sent events: a bounded incremental reader and a writer that cannot be injected into.

Source of the rules: the HTML standard, section 9.2 (server-sent events), "parsing an event stream".
"""

from __future__ import annotations

import re

from msgspec import Struct

from dialects.errors import SseError

# S33. An inline image in one delta is the longest line that a model sends.
MAX_LINE_BYTES = 1024 * 1024
MAX_EVENT_BYTES = 4 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_LINE_ENDS = re.compile(rb"\r\n|\r|\n")


class SseEvent(Struct, frozen=True, gc=False):
    """One event.

    Attributes:
        data: the data lines, joined by line feeds, valid UTF-8.
        event: the event's type, empty for the default type `message`.
        id: the event's own id, empty when it has none.
    """

    data: bytes
    event: str = ""
    id: str = ""


class SseReader:
    """Turns bytes, in pieces of any size, into events.

    Lines end with LF, CR or CRLF, also where a piece ends between the two. Comments and unknown fields are skipped. An
    event that the end of the stream cuts off is dropped, as the standard says.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        self._max_event_bytes = max_event_bytes
        # The unfinished line, in pieces: joined once, when it ends, so that one-byte pieces cost no copying.
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._skip_line_feed = False
        self._at_start = True
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._event = ""
        self._id = ""

    @property
    def pending(self) -> bool:
        """Whether the last event is unfinished: if the stream ends now, something was cut off."""
        return bool(self._pieces or self._data)

    def feed(self, piece: bytes) -> list[SseEvent]:
        """Take the next bytes and return the events that they complete.

        Raises:
            SseError: invalid UTF-8, or a line or an event is too long. The reader is of no use afterwards.
        """
        if self._skip_line_feed and piece:
            self._skip_line_feed = False
            if piece[0] == 0x0A:
                piece = piece[1:]
        if b"\r" in piece:
            # A CR ends its line at once; if its LF comes with the next piece, it is skipped there.
            self._skip_line_feed = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = piece.split(b"\n")
        rest = lines.pop()
        events: list[SseEvent] = []
        if lines:
            if self._pieces:
                self._pieces.append(lines[0])
                lines[0] = b"".join(self._pieces)
                self._pieces.clear()
                self._pieces_bytes = 0
            for line in lines:
                if line:
                    self._take_line(line)
                elif self._data:
                    events.append(self._finish())
                else:
                    self._at_start = False
                    self._event = self._id = ""
        if rest:
            self._pieces_bytes += len(rest)
            if self._pieces_bytes > self._max_line_bytes + len(_BOM):
                raise SseError(f"a line is longer than {self._max_line_bytes} bytes")
            self._pieces.append(rest)
        return events

    def _take_line(self, line: bytes) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if len(line) > self._max_line_bytes:
            raise SseError(f"a line is longer than {self._max_line_bytes} bytes")
        if not line.isascii():
            try:
                line.decode()
            except UnicodeDecodeError:
                raise SseError("invalid UTF-8") from None
        if line.startswith(b"data:"):
            self._append_data(line[6:] if line[5:6] == b" " else line[5:])
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._append_data(value)
        elif name == b"event":
            self._event = value.decode()
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode()

    def _append_data(self, value: bytes) -> None:
        self._data.append(value)
        # One byte for the line feed that joins it, so that empty lines are bounded too.
        self._data_bytes += len(value) + 1
        if self._data_bytes > self._max_event_bytes:
            raise SseError(f"an event is longer than {self._max_event_bytes} bytes")

    def _finish(self) -> SseEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        event = SseEvent(data, self._event, self._id)
        self._data.clear()
        self._data_bytes = 0
        self._event = self._id = ""
        return event


def write_event(data: bytes, *, event: str = "", id: str = "") -> bytes:
    """Return the bytes of one event; data of several lines becomes several data fields.

    Raises:
        ValueError: CR, LF or NUL in `event` or `id`, which would start another field or event (S34).
    """
    head = ""
    if event:
        head += f"event: {_one_line(event)}\n"
    if id:
        head += f"id: {_one_line(id)}\n"
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_ENDS.split(data))
    return b"%bdata: %b\n\n" % (head.encode(), data)


def write_comment(text: str) -> bytes:
    """Return the bytes of a comment, which readers skip: it keeps a connection alive.

    Raises:
        ValueError: CR, LF or NUL in the text.
    """
    return f": {_one_line(text)}\n\n".encode()


def _one_line(text: str) -> str:
    if "\n" in text or "\r" in text or "\0" in text:
        raise ValueError("CR, LF and NUL are not allowed in a field of an event")
    return text
