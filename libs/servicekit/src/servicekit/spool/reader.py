"""Reading the spool's files in order, for what is not in memory any more."""

from __future__ import annotations

from collections.abc import Sequence

from servicekit.spool.segments import HEAD_BYTES, Segment, SpoolEntry, read_entries


class SpoolReader:
    """Remembers where it was, so that reading on does not begin at the front of a file. For one thread at a time."""

    def __init__(self) -> None:
        self._first = 0
        self._number = 0
        self._offset = HEAD_BYTES

    def read(self, segments: Sequence[Segment], after: int, durable: int, limit: int) -> list[tuple[int, SpoolEntry]]:
        """Return entries after a number and up to the last durable one, at most `limit`.

        Args:
            segments: all files, oldest first.
            after: number to begin after.
            durable: number of the last entry that may be read: what follows may be half written.
            limit: most entries to return.
        """
        for segment in segments:
            if segment.last <= after:
                continue
            found = self._read_segment(segment, after, durable, limit)
            if found:
                return found
        return []

    def _read_segment(self, segment: Segment, after: int, durable: int, limit: int) -> list[tuple[int, SpoolEntry]]:
        number, offset = segment.first - 1, HEAD_BYTES
        if self._first == segment.first and self._number <= after:
            number, offset = self._number, self._offset
        found: list[tuple[int, SpoolEntry]] = []
        try:
            for next_offset, entry in read_entries(segment.path, offset):
                number += 1
                if number > durable:
                    break
                self._first, self._number, self._offset = segment.first, number, next_offset
                if number > after:
                    found.append((number, entry))
                    if len(found) == limit:
                        break
        except FileNotFoundError:
            # Published meanwhile, and removed.
            return []
        return found
