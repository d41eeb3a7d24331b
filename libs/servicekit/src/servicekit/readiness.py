"""Whether the service should get traffic: all started, not draining, and every named check passes."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Phase(StrEnum):
    """Where in its life a service is."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


class Readiness:
    """Named checks, and the phase that the supervisor sets."""

    def __init__(self) -> None:
        self._phase = Phase.STARTING
        self._checks: dict[str, Callable[[], bool]] = {}
        self._listeners: list[Callable[[Phase], None]] = []

    @property
    def phase(self) -> Phase:
        """Where in its life the service is."""
        return self._phase

    def enter(self, phase: Phase) -> None:
        """Go to a phase and tell the listeners. For the supervisor."""
        self._phase = phase
        for listener in self._listeners:
            listener(phase)

    def on_phase(self, listener: Callable[[Phase], None]) -> None:
        """Call `listener` with each phase that is entered from now on."""
        self._listeners.append(listener)

    def add(self, name: str, check: Callable[[], bool]) -> None:
        """Add a check. It must be quick and must not block: it runs at each probe.

        Raises:
            ValueError: there is one of this name.
        """
        if name in self._checks:
            raise ValueError(f"readiness check {name!r} exists")
        self._checks[name] = check

    def results(self) -> dict[str, bool]:
        """Run all checks; one that raises has failed. `phase` passes while the service is running."""
        return {"phase": self._phase is Phase.RUNNING} | {name: _passes(check) for name, check in self._checks.items()}

    @property
    def ready(self) -> bool:
        """Whether all checks pass now."""
        return all(self.results().values())


def _passes(check: Callable[[], bool]) -> bool:
    try:
        return bool(check())
    except Exception:
        return False
