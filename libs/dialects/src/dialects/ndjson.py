"""Newline-delimited JSON: a bounded incremental reader of its lines."""

from __future__ import annotations

from dialects.errors import UpstreamAnswerError

# A line holds one piece of an answer; only an image makes it long.
MAX_LINE_BYTES = 4 * 1024 * 1024


class NdjsonReader:
    """Turns bytes, in pieces of any size, into lines.

    Lines end with LF or CRLF. Empty lines are skipped: some servers send them to keep a connection alive. A line that
    the end of the stream cuts off is dropped.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max_line_bytes = max_line_bytes
        # The unfinished line, in pieces: joined once, when it ends, so that one-byte pieces cost no copying.
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Whether the last line is unfinished: if the stream ends now, something was cut off."""
        return bool(self._pieces)

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next bytes and return the lines that they complete.

        Raises:
            UpstreamAnswerError: a line is too long. The reader is of no use afterwards.
        """
        ends = piece.split(b"\n")
        rest = ends.pop()
        lines = []
        for end in ends:
            line = self._complete(end)
            if line:
                lines.append(line)
        if rest:
            self._hold(rest)
        return lines

    def _complete(self, end: bytes) -> bytes:
        self._hold(end)
        line = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return line.strip(b" \t\r")

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max_line_bytes:
            raise UpstreamAnswerError(f"a line is longer than {self._max_line_bytes} bytes")
        self._pieces.append(piece)
