"""Keeps processes running: started in the order of their needs, restarted when they die, stopped stage by stage."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from localstack.child import Child, ChildSpec, ChildState
from localstack.disk import NEEDED_TO_GO_ON, free_bytes
from localstack.errors import ChildFailedError, ChildNotReadyError, DiskFullError, StackError
from localstack.report import Report

_LOOK_INTERVAL_S = 0.05
_SETTINGS_EXIT_CODE = 2
"""With which a service says that its settings are wrong (servicekit); the next start would say the same."""


@dataclass(frozen=True)
class RestartPolicy:
    """When a process that dies is started again. All in seconds.

    Attributes:
        deaths: so many in quick succession are too many.
        quick: a life is short when it ends before it was ready, or within so long of that.
        first_pause: before the first restart; it doubles with each short life.
        longest_pause: and ends here.
    """

    deaths: int = 6
    quick: float = 5.0
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def pause(self, short_lives: int) -> float:
        """How long to wait after so many short lives in a row."""
        return float(min(self.longest_pause, self.first_pause * 2 ** max(0, short_lives - 1)))


class Supervisor:
    """Owns the processes. `run` does everything; the other methods may be called while it runs."""

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        report: Report,
        *,
        on_change: Callable[[], None] = lambda: None,
        policy: RestartPolicy | None = None,
    ) -> None:
        """Take charge of processes; none is started yet.

        Args:
            specs: the processes; the needs of each are among them.
            report: is told what happens.
            on_change: called when a process has a new pid or a new state. Must not raise.
            policy: when to restart.
        """
        self.children = {spec.name: Child(spec) for spec in specs}
        self._report = report
        self._on_change = on_change
        self._policy = policy or RestartPolicy()
        self.impatient = asyncio.Event()
        """Set it to kill what has not ended by itself."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Start everything, do `work`, and stop everything when it returns, fails or is cancelled.

        Raises:
            StackError: a process cannot be kept alive, or what `work` raises.
        """
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(child)) for child in self.children.values()]
                await work()
                for keeper in keepers:
                    keeper.cancel()
        except BaseExceptionGroup as failures:
            first = _first_stack_error(failures)
            if first is None:
                raise
            raise first from None
        finally:
            await self._drain()

    async def settled(self) -> None:
        """Wait until each process was ready once or was given up."""
        for child in self.children.values():
            await child.settled.wait()

    async def hold(self, name: str) -> None:
        """Stop a process and keep it down.

        Raises:
            KeyError: there is none of this name.
            ChildFailedError: it was given up, so it does not run.
        """
        child = self.children[name]
        _refuse_given_up(child)
        child.wanted.clear()
        await child.stop(self.impatient)
        await child.parked.wait()

    async def release(self, name: str) -> None:
        """Start a process that is held, and wait until it is ready.

        Raises:
            KeyError: there is none of this name.
            ChildFailedError: it was given up.
            ChildNotReadyError: it is not ready within its limit.
        """
        child = self.children[name]
        _refuse_given_up(child)
        child.wanted.set()
        try:
            async with asyncio.timeout(child.spec.start_limit.total_seconds()):
                await child.ready.wait()
        except TimeoutError:
            raise ChildNotReadyError(_not_ready(child)) from None

    async def _keep(self, child: Child) -> None:
        for need in child.spec.needs:
            await self.children[need].settled.wait()
        short_lives = blamed = 0
        while True:
            if not child.wanted.is_set():
                short_lives = blamed = 0
                await self._park(child)
            try:
                ready_at = await self._live(child)
            except ChildNotReadyError as error:
                if not child.spec.optional:
                    raise
                child.kill()
                self._give_up(child, str(error))
                return
            finally:
                child.ready.clear()
            if not child.wanted.is_set():
                continue
            self._now(child, ChildState.DEAD)
            self._check_disk(child)
            if child.spec.optional and not child.settled.is_set():
                self._give_up(child, f"{self._obituary(child)}; it cannot run on this machine")
                return
            lived = None if ready_at is None else time.monotonic() - ready_at
            was_short = lived is None or lived < self._policy.quick
            short_lives = short_lives + 1 if was_short else 1
            # What dies because another part is down recovers with it, and its deaths until then are not its own.
            blamed = 0 if self._lacks_needs(child) else blamed + 1 if was_short else 1
            if self._hopeless(child, blamed):
                if not child.spec.optional:
                    raise ChildFailedError(f"{self._obituary(child)}; it does not stay up")
                self._give_up(child, f"{self._obituary(child)}; it keeps dying")
                return
            self._report.problem(f"{self._obituary(child)}; restarting")
            await asyncio.sleep(self._policy.pause(short_lives))

    async def _park(self, child: Child) -> None:
        """Stay down until somebody wants the process again."""
        self._now(child, ChildState.HELD)
        self._report.progress(f"{child.spec.name} is down on request")
        child.parked.set()
        await child.wanted.wait()
        child.parked.clear()

    async def _live(self, child: Child) -> float | None:
        """One life: start, become ready, end. Returns when it became ready, or None."""
        try:
            await child.spawn()
        except OSError as error:
            raise ChildFailedError(f"cannot start {child.spec.name}: {error.strerror or error}") from error
        started = time.monotonic()
        self._on_change()
        first = not child.settled.is_set()
        while not (await child.spec.ready() and child.running):
            if not child.running:
                return None
            if first and time.monotonic() - started > child.spec.start_limit.total_seconds():
                raise ChildNotReadyError(_not_ready(child))
            await asyncio.sleep(_LOOK_INTERVAL_S)
        ready_at = time.monotonic()
        self._now(child, ChildState.READY)
        child.ready.set()
        child.settled.set()
        self._report.progress(f"{child.spec.name} is ready" if first else f"{child.spec.name} is ready again")
        await child.wait()
        return ready_at

    def _hopeless(self, child: Child, blamed: int) -> bool:
        if child.exit_code == _SETTINGS_EXIT_CODE or child.last_words().startswith("ModuleNotFoundError"):
            return True
        return blamed > self._policy.deaths

    def _lacks_needs(self, child: Child) -> bool:
        return any(not self.children[need].ready.is_set() for need in child.spec.needs)

    def _give_up(self, child: Child, why: str) -> None:
        self._report.problem(f"{why}; going on without it")
        self._now(child, ChildState.GIVEN_UP)
        child.settled.set()

    def _check_disk(self, child: Child) -> None:
        directory = child.spec.log.parent
        if free_bytes(directory) < NEEDED_TO_GO_ON or "No space left on device" in child.last_words():
            raise DiskFullError(f"the disk is full at {directory.parent}: {child.spec.name} {child.ending()}")

    def _obituary(self, child: Child) -> str:
        return f"{child.spec.name} {child.ending()}; {_last(child)}"

    def _now(self, child: Child, state: ChildState) -> None:
        child.state = state
        self._on_change()

    async def _drain(self) -> None:
        """Stop the lower stages before the higher ones; those of one stage at once."""
        running = sorted(
            (child for child in self.children.values() if child.running), key=lambda child: child.spec.stage
        )
        for _, stage in groupby(running, key=lambda child: child.spec.stage):
            async with asyncio.TaskGroup() as group:
                for child in stage:
                    group.create_task(self._stop(child))

    async def _stop(self, child: Child) -> None:
        child.wanted.clear()
        gently = await child.stop(self.impatient)
        if gently:
            self._report.progress(f"{child.spec.name} stopped")
        elif not self.impatient.is_set():
            seconds = child.spec.grace.total_seconds()
            self._report.problem(
                f"{child.spec.name} did not stop within {seconds:.0f} s and was killed; {_last(child)}"
            )


def _first_stack_error(failures: BaseExceptionGroup[BaseException]) -> StackError | None:
    for failure in failures.exceptions:
        found = _first_stack_error(failure) if isinstance(failure, BaseExceptionGroup) else failure
        if isinstance(found, StackError):
            return found
    return None


def _refuse_given_up(child: Child) -> None:
    if child.state is ChildState.GIVEN_UP:
        raise ChildFailedError(f"{child.spec.name} was given up; {_last(child)}")


def _not_ready(child: Child) -> str:
    return f"{child.spec.name} is not ready after {child.spec.start_limit.total_seconds():.0f} s; {_last(child)}"


def _last(child: Child) -> str:
    words = child.last_words()
    return f"last words: {words}; log: {child.spec.log}" if words else f"log: {child.spec.log}"
