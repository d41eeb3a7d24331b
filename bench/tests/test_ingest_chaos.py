"""A small version of what `make test-long` does with a million events: the same parts, killed the same way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from localstack.kafka.topics import create_topics
from servicekit.testing import kafka_broker, keeps_records
from turnpike_bench.ingest import parts
from turnpike_bench.ingest.chaos import Chaos, plan
from turnpike_bench.ingest.events import seeded_events
from turnpike_bench.ingest.outage import DAY, Day
from turnpike_bench.ingest.recount import Sent

START = datetime(2026, 11, 3, tzinfo=UTC)
EVENTS = 3_000
SETTINGS = {"METERING_KAFKA_SESSION_TIMEOUT": "2s", "METERING_ROLLUP_INTERVAL": "1s", "METERING_BATCH_ROWS": "400"}


@pytest.mark.timeout(300)
def test_b04_members_and_the_store_are_killed_under_load_and_every_event_is_there_once(tmp_path: Path) -> None:
    # The embedded broker has one member a group, and no records after a restart.
    members = ("metering-a", "metering-b") if keeps_records() else ("metering-a",)
    with kafka_broker() as broker:
        if keeps_records():
            asyncio.run(create_topics(broker.bootstrap))
        partitions = parts.PARTITIONS if keeps_records() else 4
        chaos = Chaos(tmp_path, broker, partitions=partitions, members=members, settings=SETTINGS)
        disruptions = [f"failpoint insert.after {members[-1]}", f"kill {members[0]}", "store-kill", "nothing"]
        if keeps_records():
            disruptions += ["broker-restart"]
        events = seeded_events(EVENTS, seed=1, start=START, over=timedelta(hours=5))
        report = chaos.run(events, EVENTS, disruptions, limit_s=120)
    found = report.comparison
    assert found.problems == []
    assert set(found.recounted) == {"usage_hours", "usage_days", "endpoint_minutes"}
    assert found.recounted["endpoint_minutes"] > 300  # five hours of several endpoints
    assert found.found == EVENTS == len(report.sent.ids)
    assert report.sent.records > EVENTS
    assert len(report.disruptions) == len(disruptions)


@pytest.mark.timeout(300)
def test_a_day_without_the_store_loses_nothing_and_is_caught_up_with(tmp_path: Path) -> None:
    with kafka_broker() as broker:
        if keeps_records():
            asyncio.run(create_topics(broker.bootstrap))
        day = Day(tmp_path, broker, START, keeps_records=keeps_records(), waiting=1_000)
        events = seeded_events(EVENTS, seed=6, start=START, over=DAY)
        outage = asyncio.run(day.run(events, timedelta(minutes=30), limit_s=120))
    assert outage.comparison.problems == []
    assert outage.events == outage.comparison.found == EVENTS  # the spool may send some again when the broker is back
    assert outage.spooled > EVENTS // 5  # the broker was away for a quarter of the day
    assert 0 < outage.in_memory <= 1_000
    assert outage.caught_up_s > 0


def test_every_member_is_killed_at_every_failpoint() -> None:
    planned = plan(("a", "b"), ("one", "two"), keeps_records=True)
    assert planned[:4] == ["failpoint one a", "failpoint two a", "failpoint one b", "failpoint two b"]
    assert "broker-restart" in planned
    assert not [what for what in plan(("a",), keeps_records=False) if what.startswith("broker")]


def test_what_is_sent_twice_counts_once() -> None:
    sent = Sent()
    events = list(seeded_events(50, seed=2, start=START, over=timedelta(hours=5)))
    for event in (*events, *events[:9]):
        sent.add(event)
    assert (sent.records, len(sent.ids)) == (59, 50)
    assert sent.cost_nano_usd == sum(event.cost_nano_usd for event in events)
    hours, days = sent.buckets(1), sent.buckets(24)
    assert sum(count for count, _ in hours.values()) == 50
    assert list(days) == [int(START.timestamp())]
    assert days[int(START.timestamp())] == (50, sent.cost_nano_usd)


def test_events_are_the_same_for_the_same_seed_and_no_two_are_one() -> None:
    first, second = (list(seeded_events(2_500, seed=4, start=START)) for _ in range(2))
    assert first == second
    assert len({event.event_id for event in first}) == 2_500
