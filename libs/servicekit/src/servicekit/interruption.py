"""Ending of waits from outside, without a task for each wait."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


def raise_if_ours(error: asyncio.CancelledError) -> None:
    """Raise `error` if it is the current task that is being cancelled.

    Awaiting a task or future that somebody else cancelled raises the same exception; libraries let it escape, and a task
    that ended by it would look as if it had been told to.
    """
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error


class Outcome(Generic[T]):
    """What became of guarded work: its result, or nothing when it was interrupted or took too long."""

    __slots__ = ("done", "value")

    def __init__(self, *, done: bool, value: T | None = None) -> None:
        self.done = done
        self.value = value


class Interruption:
    """Happens at most once; cancels what is guarded by it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._scopes: set[asyncio.Timeout] = set()
        self.reason = ""
        self.happened_at = 0.0
        """When it happened, on the event loop's clock."""

    def happen(self, reason: str = "") -> None:
        """Interrupt everything that is guarded now or later."""
        if self._event.is_set():
            return
        self.reason = reason
        self._event.set()
        self.happened_at = asyncio.get_running_loop().time()
        for scope in self._scopes:
            # One whose time was up a moment ago is being cancelled already, and cannot be changed any more.
            if not scope.expired():
                scope.reschedule(self.happened_at)

    @property
    def happened(self) -> bool:
        """Whether it has happened."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return when it has happened."""
        await self._event.wait()

    async def guard(self, work: Coroutine[Any, Any, T], *, seconds: float | None = None) -> Outcome[T]:
        """Do `work`, but cancel it when this happens or when the time is up (or when it was cancelled from inside)."""
        if self._event.is_set():
            work.close()
            return Outcome(done=False)
        scope = asyncio.timeout(seconds)
        try:
            async with scope:
                self._scopes.add(scope)
                return Outcome(done=True, value=await work)
        except TimeoutError:
            if not scope.expired():
                raise
            return Outcome(done=False)
        except asyncio.CancelledError as error:
            raise_if_ours(error)
            return Outcome(done=False)
        finally:
            self._scopes.discard(scope)
