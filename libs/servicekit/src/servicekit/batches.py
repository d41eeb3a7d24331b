"""Questions that are asked one by one and answered together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from servicekit.clock import Clock

Q = TypeVar("Q")
A = TypeVar("A")

NO_PAUSE = timedelta(0)


class FullError(Exception):
    """So many questions wait that another one would not be answered in time."""


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Q, A]):
    """A question.

    Attributes:
        outcome: the answer, or the error that is it; None before.
        is_queued: whether it is in no call yet.
        news: is set when there is an outcome, or when whoever waits is to make a call.
    """

    question: Q
    outcome: tuple[A | Exception] | None = None
    is_queued: bool = True
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Batches(Generic[Q, A]):
    """Asks about everything that waits in one call, which somebody who waits makes for all.

    The first question waits for nothing. What comes while as many calls are under way as there may be goes together in the next
    one, so the more is asked, the less each question costs, and the number of calls has a bound whatever is asked.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Q]], Awaitable[Sequence[A | Exception]]],
        clock: Clock,
        *,
        together: int,
        under_way: int,
        pause: timedelta = NO_PAUSE,
        waiting: int = 100_000,
    ) -> None:
        """Make it.

        Args:
            ask: makes a call, and returns for each question in order the answer or the error that it has. What it raises is the
                error of all of them. A call that is broken off, because who made it went away, is made again for the others.
            clock: for the pause.
            together: most questions in one call.
            under_way: most calls at the same time.
            pause: between the beginnings of two calls, at least.
            waiting: most questions that wait.
        """
        self._ask, self._clock = ask, clock
        self._together, self._most, self._waiting = together, under_way, waiting
        self._pause_s = pause.total_seconds()
        self._queue: deque[_Waiting[Q, A]] = deque()
        self._under_way = 0
        self._next_at = 0.0

    async def ask(self, question: Q) -> A:
        """Ask a question.

        Raises:
            FullError: too many wait.
            Exception: the error that is the answer.
        """
        if len(self._queue) >= self._waiting:
            raise FullError
        mine: _Waiting[Q, A] = _Waiting(question)
        self._queue.append(mine)
        try:
            while mine.outcome is None:
                if mine.is_queued and self._under_way < self._most:
                    await self._call()
                else:
                    mine.news.clear()
                    await mine.news.wait()
        except asyncio.CancelledError:
            if mine.is_queued:
                self._queue.remove(mine)
            # It may have been this one's turn to make a call.
            self._wake()
            raise
        (answer,) = mine.outcome
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _call(self) -> None:
        """Make one call for those who wait the longest."""
        self._under_way += 1
        batch: list[_Waiting[Q, A]] = []
        outcomes: Sequence[A | Exception] | None = None
        try:
            await self._pause()
            while self._queue and len(batch) < self._together:
                batch.append(self._queue.popleft())
                batch[-1].is_queued = False
            try:
                outcomes = await self._ask([each.question for each in batch]) if batch else ()
            except Exception as error:
                outcomes = [error] * len(batch)
        finally:
            self._under_way -= 1
            if outcomes is None:
                for each in reversed(batch):
                    each.is_queued = True
                    self._queue.appendleft(each)
            else:
                for each, outcome in zip(batch, outcomes, strict=True):
                    each.outcome = (outcome,)
                    each.news.set()
            self._wake()

    async def _pause(self) -> None:
        """Wait for the time of the next call, and set that of the one after it."""
        now = self._clock.monotonic()
        begins_at = max(now, self._next_at)
        self._next_at = begins_at + self._pause_s
        if begins_at > now:
            await self._clock.sleep(begins_at - now)

    def _wake(self) -> None:
        """Have the first who waits make the next call, if there may be one."""
        if self._queue and self._under_way < self._most:
            self._queue[0].news.set()
