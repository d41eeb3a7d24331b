"""What a flush showed, second by second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnpike_bench.figures import percentile

STEADY_FACTOR = 1.5
"""p99 is back when it stays below so many times the greatest of the seconds before the flush."""
STALL_MS = 25.0
"""Or below this: it is twenty of 2,000 requests that a second's p99 is about, and a process that lost its core for so long has them."""


@dataclass(frozen=True)
class Use:
    """What accounts and PostgreSQL used in one second.

    Attributes:
        transactions: of PostgreSQL.
        accounts: CPU of accounts, in cores.
        postgres: CPU of PostgreSQL, in cores.
        edges: CPU of the edges, in cores.
    """

    transactions: int
    accounts: float
    postgres: float
    edges: float


@dataclass(frozen=True)
class Second:
    """One second of requests; `at_s` counts from the flush."""

    at_s: int
    answered: int
    p50_ms: float
    p99_ms: float
    refused: Mapping[str, int]
    use: Use


@dataclass(frozen=True)
class Flush:
    """A run."""

    edges: int
    keys: int
    orgs: int
    rate: int
    seconds: Sequence[Second]

    @property
    def steady(self) -> Sequence[Second]:
        """The seconds that count for how it was before."""
        return [second for second in self.seconds if second.at_s < 0]

    @property
    def after(self) -> Sequence[Second]:
        """The seconds from the flush on."""
        return [second for second in self.seconds if second.at_s >= 0]

    @property
    def back_after_s(self) -> int | None:
        """Whole seconds after the flush from which on p99 was what it was before; None when it never was."""
        bound = max(STALL_MS, STEADY_FACTOR * max(second.p99_ms for second in self.steady))
        slow = [second.at_s for second in self.after if second.p99_ms > bound]
        back = slow[-1] + 1 if slow else 0
        return back if back <= self.after[-1].at_s else None

    @property
    def refused(self) -> Counter[str]:
        """Refusals by status."""
        total: Counter[str] = Counter()
        for second in self.seconds:
            total.update(second.refused)
        return total

    def table(self) -> str:
        """Show it."""
        heads = ("p50, ms", "p99, ms", "transactions", "accounts", "PostgreSQL", "edges")
        lines = [
            f"{self.edges} edges, {self.keys} keys of {self.orgs} organisations, {self.rate} requests a second",
            f"{'second':>7}{'answered':>10}" + "".join(f"{head:>14}" for head in heads) + "  refused",
        ]
        lines += [
            f"{each.at_s:>7}{each.answered:>10}{each.p50_ms:>14.1f}{each.p99_ms:>14.1f}{each.use.transactions:>14}"
            f"{each.use.accounts:>14.2f}{each.use.postgres:>14.2f}{each.use.edges:>14.2f}  {dict(each.refused) or ''}"
            for each in self.seconds
        ]
        back = self.back_after_s
        busiest = max(second.use.transactions for second in self.after)
        lines.append(
            f"401: {self.refused['401']}; refused in all: {sum(self.refused.values())}; "
            f"p99 is back {'never' if back is None else f'{back} s after the flush'}; "
            f"{busiest} transactions in the busiest second, {busiest / self.edges:.0f} an edge"
        )
        return "\n".join(lines)


def seconds_of(
    answered: Sequence[Sequence[tuple[Sequence[float], Mapping[str, int]]]], uses: Sequence[Use], first: int
) -> list[Second]:
    """Put together what several processes answered in the same seconds.

    Args:
        answered: by process and second: times in milliseconds, and refusals.
        uses: by second.
        first: number of the first one, counted from the flush.
    """
    found = []
    for number, use in enumerate(uses):
        times = [time for process in answered for time in process[number][0]]
        refused: Counter[str] = Counter()
        for process in answered:
            refused.update(process[number][1])
        found.append(
            Second(first + number, len(times), percentile(times, 0.5), percentile(times, 0.99), dict(refused), use)
        )
    return found
