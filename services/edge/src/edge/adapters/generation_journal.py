"""The journal of open generations in files."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from edge.domain.errors import DependencyError
from edge.domain.unended import Opening
from servicekit.journal import Journal, JournalError

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Opening).decode


class FileOpenGenerations:
    """The OpenGenerations in a journal of the disk."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def left(self) -> Mapping[str, Opening]:
        """What earlier processes began and did not end, by generation id."""
        return {key: _decode(note) for key, note in self._journal.left.items()}

    def begin(self, opening: Opening) -> None:
        """Note that one begins.

        Raises:
            DependencyError: the disk takes nothing, or too much is open.
        """
        try:
            self._journal.begin(opening.generation_id, _encode(opening))
        except JournalError:
            raise DependencyError("journal") from None

    def end(self, generation_id: str) -> None:
        """Note that one has ended. What is not open is ignored."""
        self._journal.end(generation_id)
