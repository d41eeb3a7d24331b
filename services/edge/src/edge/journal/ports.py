"""What the journal of generations needs from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Protocol

from edge.domain.unended import Opening, Statement


class OpenGenerations(Protocol):
    """Generations that have begun and not ended, where a killed process does not take them along."""

    @property
    def left(self) -> Mapping[str, Opening]:
        """What earlier processes began and did not end, by generation id."""
        ...

    def begin(self, opening: Opening) -> None:
        """Note that one begins.

        Raises:
            DependencyError: it cannot be noted, so it must not begin.
        """
        ...

    def end(self, generation_id: str) -> None:
        """Note that one has ended. What is not open is ignored."""
        ...


class Statements(Protocol):
    """Takes what the edge states, and publishes it as usage events, sooner or later."""

    def state(self, statement: Statement) -> Awaitable[None]:
        """Publish a statement; awaiting it waits until it survives a kill.

        Raises:
            DependencyError: it could not be kept; state it again.
        """
        ...
