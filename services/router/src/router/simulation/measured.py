"""What a run of a simulation has shown."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from contracts.money import PICO_PER_USD

_PER = 1_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A request that was answered: when it arrived, what its first token took in seconds, and who gave it."""

    at: float
    first_token: float
    endpoint: str


@dataclass(slots=True)
class Measured:
    """The outcome of every request. Costs are in pico-dollars.

    A request that is lost counts as one whose first token took all of its caller's `patience`, in seconds: else a policy
    would look the faster, the more of its slow requests it loses.
    """

    patience: float
    answers: list[Answer] = field(default_factory=list)
    lost: list[float] = field(default_factory=list)
    """When the requests arrived that nobody answered in time."""
    attempts: Counter[str] = field(default_factory=Counter)
    """Calls by endpoint, those that failed included."""
    cost: int = 0

    @property
    def requests(self) -> int:
        """Requests, answered or not."""
        return len(self.answers) + len(self.lost)

    @property
    def success(self) -> float:
        """Share of the requests that were answered, 1 when there were none."""
        return len(self.answers) / self.requests if self.requests else 1.0

    @property
    def attempts_per_request(self) -> float:
        """How many calls a request took, 0 when there were none."""
        return self.attempts.total() / self.requests if self.requests else 0.0

    @property
    def usd_per_thousand(self) -> float:
        """Dollars for a thousand answered requests."""
        return self.cost * _PER / PICO_PER_USD / len(self.answers) if self.answers else 0.0

    def first_token(self, share: float) -> float:
        """The first-token time in seconds that this share of the requests does not exceed, 0 when there were none."""
        times = [answer.first_token for answer in self.answers] + [self.patience] * len(self.lost)
        return _percentile(times, share) if times else 0.0

    def shares(self) -> dict[str, float]:
        """Share of the answers that each endpoint gave, the largest first."""
        counts = Counter(answer.endpoint for answer in self.answers)
        return {name: count / len(self.answers) for name, count in counts.most_common()}

    def slowest(self, seconds: float, share: float) -> list[tuple[float, float]]:
        """The same percentile for the requests of every so many seconds: the middle of that time, and seconds."""
        slices: dict[int, list[float]] = {}
        for answer in self.answers:
            slices.setdefault(int(answer.at / seconds), []).append(answer.first_token)
        for at in self.lost:
            slices.setdefault(int(at / seconds), []).append(self.patience)
        return [((number + 0.5) * seconds, _percentile(times, share)) for number, times in sorted(slices.items())]

    def as_json(self) -> dict[str, Any]:
        """The figures of the table, for programs."""
        return {
            "requests": self.requests,
            "lost": len(self.lost),
            "success": round(self.success, 6),
            "first_token_seconds": {name: round(self.first_token(share), 4) for name, share in _PERCENTILES},
            "usd_per_1000_requests": round(self.usd_per_thousand, 6),
            "attempts_per_request": round(self.attempts_per_request, 4),
            "shares": {name: round(share, 4) for name, share in self.shares().items()},
        }


_PERCENTILES = (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))


def _percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
