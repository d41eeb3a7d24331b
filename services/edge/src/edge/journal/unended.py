"""Looks after generations whose end the router did not tell: states them at once, after a while, or long after."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter

from edge.domain.errors import DependencyError
from edge.domain.unended import NOTHING, Ending, Opening, Statement, statement_of
from edge.journal.ports import OpenGenerations, Statements
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec

_log = get_logger(__name__)

_LOOK_SECONDS: Final = 0.5

ESTIMATED: Final = CounterSpec(
    "edge.generation.estimated",
    "{generation}",
    "Generations whose end the edge has stated, because the router did not.",
)
OPEN: Final = GaugeSpec(
    "edge.generation.unended", "{generation}", "Generations that wait for the edge to state their end."
)


class Unended(Component):
    """Those that ended without an outcome, and those that an earlier process of this edge left behind."""

    name = "unended-generations"

    def __init__(
        self,
        opened: OpenGenerations,
        statements: Statements,
        clock: Clock,
        meter: Meter,
        *,
        patience: timedelta,
        reap_after: timedelta,
    ) -> None:
        """Make it.

        Args:
            opened: where they are noted; it must have started before this starts.
            statements: takes what is stated.
            clock: says when.
            meter: counts.
            patience: after a caller has left, until its generation is stated: the router will have done so by then.
            reap_after: the start of a generation that a killed process left behind, until it is stated as never ended.
        """
        self._opened = opened
        self._statements = statements
        self._clock = clock
        self._patience_ms = int(patience.total_seconds() * 1_000)
        self._reap_ms = int(reap_after.total_seconds() * 1_000)
        # Each is in the order in which its time comes.
        self._left: deque[tuple[int, Statement]] = deque()
        self._behind: deque[Opening] = deque()
        self._now: deque[Statement] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._estimated = ESTIMATED.create(meter)
        OPEN.create(meter, lambda: self.waiting)

    @property
    def waiting(self) -> int:
        """How many are to be stated."""
        return len(self._now) + len(self._left) + len(self._behind)

    def broke(self, statement: Statement) -> None:
        """The router's stream broke: state it now. The router may be gone."""
        self._now.append(statement)
        self._wake.set()

    def left(self, statement: Statement) -> None:
        """The caller left: the router, told so, states it. Should it have been killed just then, the edge does."""
        self._left.append((statement.ended_ms + self._patience_ms, statement))

    async def start(self) -> None:
        """Find what earlier processes left behind."""
        self._behind = deque(sorted(self._opened.left.values(), key=lambda opening: opening.started_ms))
        if self._behind:
            _log.warning("generations.left_behind", generations=len(self._behind))

    async def run(self) -> None:
        """State each when its time has come, until `stop`."""
        while not self._stopping:
            self._collect(self._now_ms())
            try:
                while self._now:
                    statement = self._now[0]
                    await self._statements.state(statement)
                    self._opened.end(statement.opening.generation_id)
                    self._now.popleft()
                    self._estimated.add(1, {"edge.generation.ending": str(statement.ending)})
            except DependencyError:
                # It stays open in the journal, whatever happens to this process.
                _log.warning("statement.kept_back", statements=len(self._now))
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def stop(self, grace: timedelta) -> None:
        """Stop. What was not stated is open in the journal: the next process states it."""
        self._stopping = True
        self._wake.set()

    def in_flight(self) -> int:
        """How many are to be stated now."""
        return len(self._now)

    def _collect(self, now_ms: int) -> None:
        while self._left and self._left[0][0] <= now_ms:
            self._now.append(self._left.popleft()[1])
        while self._behind and self._behind[0].started_ms + self._reap_ms <= now_ms:
            opening = self._behind.popleft()
            _log.error("generation.unreconciled", generation_id=opening.generation_id, org_id=opening.org_id)
            self._now.append(statement_of(opening, Ending.UNKNOWN, now_ms, NOTHING, "unreconciled"))

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1_000)
