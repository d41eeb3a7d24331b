"""What was sent, added up in Python, and the store compared with it: event by event, and sum by sum."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from turnpike_bench.ingest.events import Event

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_PAUSE_S: Final = 0.5

_ROWS: Final = "SELECT count() FROM usage_events"
_EVENTS: Final = "SELECT count(), sum(toInt128(cost_nano_usd)) FROM usage_events FINAL"
_IDS: Final = "SELECT toString(event_id) FROM usage_events FINAL"
_ROLLUP: Final = (
    "SELECT toUnixTimestamp(bucket), sum(requests), sum(toInt128(cost_nano_usd)) FROM {} FINAL GROUP BY bucket"
)
_MINUTES: Final = (
    "SELECT endpoint_id, intDiv(toUnixTimestamp(minute), 60), successes, rate_limited, prompt_tokens"
    " FROM endpoint_minutes FINAL WHERE successes OR rate_limited OR prompt_tokens"
)
_FOUND: Final = "SELECT uniqExact(event_id) FROM usage_events"
_OPEN: Final = "SELECT count() FROM ingest_batches FINAL WHERE NOT done"


@dataclass
class Sent:
    """What was sent: by hour of its start, how many events and what they cost; what endpoints did; and the ids.

    `minutes` is by endpoint and Unix minute: successes, rate-limited calls, prompt tokens of answers.
    """

    ids: set[str] = field(default_factory=set)
    minutes: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0, 0]))
    hours: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    records: int = 0

    def add(self, event: Event) -> None:
        """Count an event; again when it is sent again."""
        self.records += 1
        if event.event_id in self.ids:
            return
        self.ids.add(event.event_id)
        hour = self.hours[event.started_ms // _HOUR_MS]
        hour[0] += 1
        hour[1] += event.cost_nano_usd
        for call in event.calls:
            minute = self.minutes[call.endpoint_id, event.started_ms // _MINUTE_MS]
            minute[0] += call.successes
            minute[1] += call.rate_limited
            minute[2] += call.prompt_tokens

    @property
    def cost_nano_usd(self) -> int:
        """Of all events, each once."""
        return sum(cost for _, cost in self.hours.values())

    def buckets(self, hours: int) -> dict[int, tuple[int, int]]:
        """Events and cost by bucket of so many hours, named by its first Unix second."""
        sums: dict[int, tuple[int, int]] = {}
        for hour, (events, cost) in self.hours.items():
            first = hour // hours * hours * 3600
            before = sums.get(first, (0, 0))
            sums[first] = (before[0] + events, before[1] + cost)
        return sums


@dataclass
class Comparison:
    """What the store has. Nothing is lost or doubled, and every sum is right, when `problems` is empty.

    Attributes:
        rows: of the events, those counted that a merge would take away.
        found: rows with FINAL.
        recounted: rollups that equal a recount, and how many sums each has.
        problems: what differs.
    """

    rows: int = 0
    found: int = 0
    recounted: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What people read at the end of a run."""
        if self.problems:
            return [f"PROBLEM: {problem}" for problem in self.problems]
        sums = ", ".join(f"{count} of {table}" for table, count in self.recounted.items())
        return [f"nothing lost, nothing doubled; sums equal to a recount: {sums}"]


def events_in(dsn: str) -> tuple[int, int]:
    """Distinct events of the store, and batches that are open; (0, 0) when it does not answer."""
    try:
        client = _client(dsn)
        return int(client.query(_FOUND).result_rows[0][0]), int(client.query(_OPEN).result_rows[0][0])
    except (ClickHouseError, OSError):
        return 0, 0


def compare(dsn: str, sent: Sent, limit_s: float) -> Comparison:
    """Compare the store with what was sent, and wait as long for sums that are made late."""
    client, result = _client(dsn), Comparison()
    ((result.rows,),) = client.query(_ROWS).result_rows
    ((result.found, cost),) = client.query(_EVENTS).result_rows
    found = {row[0] for row in client.query(_IDS).result_rows}
    if lost := sent.ids - found:
        result.problems.append(f"{len(lost)} events are lost, such as {min(lost)}")
    if strange := found - sent.ids:
        result.problems.append(f"{len(strange)} events were never sent")
    if result.found != len(sent.ids):
        result.problems.append(f"{result.found} rows with FINAL for {len(sent.ids)} events")
    if int(cost) != sent.cost_nano_usd:
        result.problems.append(f"they cost {cost}, and {sent.cost_nano_usd} was sent")
    for table, hours in (("usage_hours", 1), ("usage_days", 24)):
        _recount(result, table, partial(_rollup, client, table), sent.buckets(hours), limit_s)
    minutes = {key: (values[0], values[1], values[2]) for key, values in sent.minutes.items() if any(values)}
    _recount(result, "endpoint_minutes", partial(_minutes, client), minutes, limit_s)
    return result


def _recount(
    result: Comparison, table: str, read: Callable[[], Mapping[Any, Any]], expected: Mapping[Any, Any], limit_s: float
) -> None:
    give_up_at = time.monotonic() + limit_s
    while (found := read()) != expected:
        if time.monotonic() > give_up_at:
            wrong = sorted(set(found.items()) ^ set(expected.items()))
            result.problems.append(f"{table} is not a recount: {wrong[:4]}")
            return
        time.sleep(_PAUSE_S)
    result.recounted[table] = len(expected)


def _minutes(client: Client) -> dict[tuple[str, int], tuple[int, int, int]]:
    """Successes, rate-limited calls and prompt tokens by endpoint and minute."""
    rows = client.query(_MINUTES).result_rows
    return {(str(endpoint), int(minute)): (int(a), int(b), int(c)) for endpoint, minute, a, b, c in rows}


def _rollup(client: Client, table: str) -> dict[int, tuple[int, int]]:
    """Requests and cost by bucket, of the buckets that are over."""
    statement = _ROLLUP.format(table)  # house: built-sql - a name of ours
    rows = client.query(statement).result_rows
    return {int(bucket): (int(requests), int(cost)) for bucket, requests, cost in rows if requests}


def _client(dsn: str) -> Client:
    return clickhouse_connect.get_client(dsn=dsn, autogenerate_session_id=False)
