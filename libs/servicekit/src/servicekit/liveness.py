"""Whether a restart would help: named checks of progress. Never of what somebody else has to repair."""

from __future__ import annotations

from collections.abc import Callable


class Liveness:
    """Named checks. With none, that the process answers at all is what shows that it lives."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], bool]] = {}

    def add(self, name: str, check: Callable[[], bool]) -> None:
        """Add a check. It must be quick and must not block: it runs at each probe.

        Raises:
            ValueError: there is one of this name.
        """
        if name in self._checks:
            raise ValueError(f"liveness check {name!r} exists")
        self._checks[name] = check

    def results(self) -> dict[str, bool]:
        """Run all checks."""
        return {name: check() for name, check in self._checks.items()}


class Progress:
    """Something that must get on, as long as it can: after too long without, it is stuck."""

    def __init__(self, limit_s: float, now: Callable[[], float]) -> None:
        """Begin; nothing is late yet.

        Args:
            limit_s: how long it may take from one step to the next.
            now: seconds on a clock that never goes back.
        """
        self._limit_s = limit_s
        self._now = now
        self._last = now()

    def note(self) -> None:
        """A step was made, or there was nothing to do."""
        self._last = self._now()

    def is_stuck(self, able_since: float | None) -> bool:
        """Whether there was no step for too long, although it was able to make one.

        Args:
            able_since: when what it depends on came back; None when that is away, which is no fault of its own.
        """
        return able_since is not None and self._now() - max(self._last, able_since) > self._limit_s
