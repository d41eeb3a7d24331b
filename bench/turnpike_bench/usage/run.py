"""Times the questions, and looks at what each of them reads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from clickhouse_connect.driver.client import Client

from metering.adapters.clickhouse_calls import ClickHouseCalls
from metering.testing.plans import Asked, Recorder
from turnpike_bench.figures import percentile
from turnpike_bench.usage.questions import Page


@dataclass(frozen=True)
class PageResult:
    """How long a page took, and how much of a core, which does not depend on what else the machine does; `rows` is what its heaviest question would read by its plan, of `rows_of` in those tables."""

    name: str
    limit_s: float
    seconds: Sequence[float]
    cpu_seconds: Sequence[float]
    rows: int
    rows_of: int
    heaviest: str

    @property
    def p50_s(self) -> float:
        return percentile(self.seconds, 0.5)

    @property
    def p95_s(self) -> float:
        return percentile(self.seconds, 0.95)

    @property
    def cpu_p95_s(self) -> float:
        return percentile(self.cpu_seconds, 0.95)

    @property
    def holds(self) -> bool:
        return self.p95_s <= self.limit_s


async def measure(calls: ClickHouseCalls, page: Page, rounds: int) -> PageResult:
    """Ask every question of a page so many times, each in turn; the first round warms up and is not counted."""
    recorder = Recorder()
    await calls.step(recorder.watch)
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    for number in range(rounds + 1):
        for ask in page.asks:
            began, cpu_began = time.perf_counter(), time.process_time()
            await ask()
            if number:
                seconds.append(time.perf_counter() - began)
                cpu_seconds.append(time.process_time() - cpu_began)
    await calls.step(recorder.unwatch)
    asked = recorder.statements[: len(recorder.statements) // (rounds + 1)]
    reads = [await calls.step(partial(_reads, one=one)) for one in asked]
    rows, rows_of, heaviest = max(reads, default=(0, 0, ""))
    return PageResult(page.name, page.limit_s, seconds, cpu_seconds, rows, rows_of, heaviest)


def _reads(client: Client, one: Asked) -> tuple[int, int, str]:
    """Rows that a statement reads by its plan, and what the tables it reads have, by parts."""
    text, parameters, settings = one
    question = text[text.index("SELECT") :] if text.lstrip().startswith("INSERT") else text
    estimate = client.query("EXPLAIN ESTIMATE " + question, parameters, settings=settings).named_results()
    tables = {str(row["table"]): int(row["rows"]) for row in estimate}
    if not tables:
        return 0, 0, ""
    sizes = client.query(
        "SELECT sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND has({tables:Array(String)}, table)",
        {"tables": list(tables)},
    ).result_rows
    return sum(tables.values()), int(sizes[0][0]), ", ".join(f"{name} {rows}" for name, rows in sorted(tables.items()))


def table(results: Iterable[PageResult]) -> str:
    """One line a page."""
    lines = [
        f"{'page':<52}{'asked':>6}{'p50 ms':>9}{'p95 ms':>9}{'cpu p95':>9}{'limit':>7}{'':>5}  rows read by the heaviest question"
    ]
    lines += [
        f"{each.name:<52}{len(each.seconds):>6}{each.p50_s * 1000:>9.1f}{each.p95_s * 1000:>9.1f}{each.cpu_p95_s * 1000:>9.1f}{each.limit_s * 1000:>7.0f}"
        f"{'' if each.holds else ' SLOW':>5}  {each.heaviest or '-'}"
        for each in results
    ]
    return "\n".join(lines)
