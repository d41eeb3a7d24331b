"""The table, against a broker that is late, dies and is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from servicekit.clock import SystemClock
from servicekit.kafka import BusUnavailableError, CompactedTable, RecordSink
from servicekit.kafka.snapshot import read_snapshot, write_snapshot
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, ManualClock, RecordingTelemetry, running

TOPIC = "prices"
Eventually = Callable[[Callable[[], bool]], Awaitable[None]]
Versioned = tuple[int, str]


def decode(raw: bytes) -> Versioned:
    """`version:text`; ValueError for anything else."""
    version, _, text = raw.decode().partition(":")
    return int(version), text


def encode(value: Versioned) -> bytes:
    return f"{value[0]}:{value[1]}".encode()


def table(kafka: KafkaSettings, **options: Any) -> CompactedTable[Versioned]:
    arguments: dict[str, Any] = {"clock": SystemClock(), "patience": timedelta(seconds=0.5)} | options
    return CompactedTable(
        kafka,
        arguments.pop("clock"),
        topic=TOPIC,
        decode=decode,
        supersedes=lambda new, old: new[0] >= old[0],
        encode=encode,
        **arguments,
    )


async def publish(kafka: KafkaSettings, *records: tuple[str | bytes, bytes | None]) -> None:
    sink = RecordSink(kafka, SystemClock(), "shop")
    async with running(sink):
        for key, value in records:
            encoded = key if isinstance(key, bytes) else key.encode()
            while True:
                try:
                    await sink.send(TOPIC, key=encoded, value=value, headers={})
                    break
                except BusUnavailableError:
                    await asyncio.sleep(0.05)


def entries(prices: CompactedTable[Versioned]) -> dict[str, str]:
    return {key: text for key, (_, text) in prices.items()}


async def test_it_has_everything_up_to_the_end_when_it_has_started(kafka: KafkaSettings) -> None:
    await publish(kafka, *((f"item-{number}", b"1:%d" % number) for number in range(300)), ("item-7", b"2:new"))
    telemetry, changed = RecordingTelemetry(), dict[str, Versioned | None]()
    prices = table(kafka, on_change=changed.__setitem__, meter=telemetry.meter)
    assert prices.age() == timedelta.max
    async with running(prices):
        assert prices.caught_up
        assert len(prices) == 300
        assert prices.get("item-7") == (2, "new")
        assert prices.get("item-8") == (1, "8")
        assert prices.get("absent") is None
        assert prices.keys() == changed.keys() == {f"item-{number}" for number in range(300)}
        assert prices.age() < timedelta(minutes=1)
        assert telemetry.metric("messaging.table.entries") == 300


async def test_it_follows_what_comes_and_tombstones_delete(kafka: KafkaSettings, eventually: Eventually) -> None:
    await publish(kafka, ("tea", b"1:10"), ("salt", b"1:5"))
    changes = list[tuple[str, Versioned | None]]()
    prices = table(kafka, on_change=lambda key, value: changes.append((key, value)))
    async with running(prices):
        changes.clear()
        await publish(
            kafka, ("tea", b"2:11"), ("salt", None), ("never there", None), ("tea", b"1:stale"), ("z", b"1:z")
        )
        await eventually(lambda: "z" in prices.keys())  # noqa: SIM118 - it is not a mapping
        await eventually(lambda: "salt" not in prices.keys() and prices.get("tea") == (2, "11"))  # noqa: SIM118 - as above
    assert entries(prices) == {"tea": "11", "z": "z"}
    # The end of an entry that was not held is told too: it may be known from elsewhere.
    expected = [("never there", None), ("salt", None), ("tea", (2, "11")), ("z", (1, "z"))]
    assert sorted(changes, key=str) == expected


async def test_records_that_make_no_sense_are_left_out_and_stop_nothing(kafka: KafkaSettings, logged: Any) -> None:
    await publish(kafka, ("tea", b"1:10"), ("tea", b"nonsense"), (b"\xff", b"1:x"), ("salt", b"\xff"), ("milk", b"1:3"))
    prices = table(kafka)
    async with running(prices):
        assert entries(prices) == {"tea": "10", "milk": "3"}
    assert len(logged.named("table.record_rejected")) == 3


async def test_an_empty_topic_is_current_at_once(kafka: KafkaSettings) -> None:
    prices = table(kafka)
    async with running(prices):
        assert prices.caught_up
        assert len(prices) == 0


async def test_a_cluster_that_was_replaced_takes_nothing_away_and_old_versions_do_not_return(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    await publish(kafka, ("tea", b"5:ours"), ("salt", b"1:5"))
    prices = table(kafka)
    async with running(prices):
        broker.replace()
        await publish(kafka, ("tea", b"4:older"), ("salt", b"2:6"), ("milk", b"1:3"))
        await eventually(lambda: len(prices) == 3 and prices.get("salt") == (2, "6"))
        await eventually(lambda: prices.caught_up)
        assert entries(prices) == {"tea": "ours", "salt": "6", "milk": "3"}


async def test_it_stays_usable_while_the_broker_is_away_and_goes_on_afterwards(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    await publish(kafka, ("tea", b"1:10"))
    prices = table(kafka)
    async with running(prices):
        broker.suspend()
        await asyncio.sleep(kafka.stall_timeout.total_seconds() + 2)
        assert prices.get("tea") == (1, "10")
        assert prices.age() > timedelta(seconds=1)
        broker.resume()
        await publish(kafka, ("tea", b"2:11"))
        await eventually(lambda: prices.get("tea") == (2, "11"))


# --- starting without a cluster ---------------------------------------------------------------------------------------


async def test_a_snapshot_that_is_young_enough_starts_it_without_kafka(
    broker: BrokerProcess, kafka: KafkaSettings, tmp_path: Path, eventually: Eventually
) -> None:
    path = tmp_path / "prices"
    await publish(kafka, ("tea", b"1:10"), ("salt", b"1:5"))
    async with running(table(kafka, snapshot=path)):
        pass
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert sorted(snapshot.entries) == [("salt", b"1:5"), ("tea", b"1:10")]
    broker.kill()
    changed = dict[str, Versioned | None]()
    prices = table(kafka, snapshot=path, on_change=changed.__setitem__)
    async with running(prices):
        assert not prices.caught_up
        assert entries(prices) == {"tea": "10", "salt": "5"}
        assert changed == {"tea": (1, "10"), "salt": (1, "5")}
        assert timedelta(0) < prices.age() < timedelta(minutes=15)
        # And it follows when Kafka is back.
        broker.start()
        await publish(kafka, ("tea", b"2:11"))
        await eventually(lambda: prices.get("tea") == (2, "11") and prices.caught_up)
    assert entries(prices) == {"tea": "11", "salt": "5"}


async def test_a_snapshot_that_is_too_old_or_broken_does_not_count(
    broker: BrokerProcess, kafka: KafkaSettings, tmp_path: Path
) -> None:
    broker.kill()
    clock = ManualClock()
    old, broken = tmp_path / "old", tmp_path / "broken"
    write_snapshot(old, clock.now() - timedelta(minutes=16), [("tea", b"1:10")])
    broken.write_bytes(b"SKTABLE1 not really")
    for path in (old, broken, tmp_path / "absent"):
        prices = table(kafka, snapshot=path, clock=clock, required=False)
        await prices.start()
        assert len(prices) == 0
        assert not prices.caught_up
        await prices.stop(timedelta(seconds=1))


async def test_when_it_is_required_the_start_waits_for_a_cluster(broker: BrokerProcess, kafka: KafkaSettings) -> None:
    broker.kill()
    prices = table(kafka, patience=timedelta(seconds=0.1))
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(prices.start())
        await asyncio.sleep(1)
        assert not starting.done()
        broker.start()
        await publish(kafka, ("tea", b"1:10"))
        await starting
    # The topic may have been read before the record came; what counts is that the start ended by reading.
    assert prices.caught_up
    await prices.stop(timedelta(seconds=1))


async def test_when_it_is_not_required_the_start_goes_on_without(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    broker.kill()
    prices = table(kafka, required=False)
    async with running(prices):
        assert not prices.caught_up
        broker.start()
        await publish(kafka, ("tea", b"1:10"))
        await eventually(lambda: prices.get("tea") == (1, "10"))


async def test_a_cluster_that_is_lost_while_the_table_is_read_makes_no_half_table(
    broker: BrokerProcess, kafka: KafkaSettings, eventually: Eventually
) -> None:
    # More than one answer holds: of a partition a client asks for 1 MiB at a time.
    await publish(kafka, *((f"item-{number}", b"1:%060000d" % number) for number in range(100)))
    lost = False

    def lose(_: str, __: Versioned | None) -> None:
        # With the first record: the rest of the topic cannot be read any more.
        nonlocal lost
        if not lost:
            lost = True
            broker.kill()

    prices = table(kafka, on_change=lose, patience=timedelta(seconds=0.1))
    async with asyncio.timeout(100), asyncio.TaskGroup() as tasks:
        starting = tasks.create_task(prices.start())
        await eventually(lambda: lost)
        await asyncio.sleep(kafka.stall_timeout.total_seconds() + 2)
        assert not starting.done()
        assert len(prices) < 100
        broker.start()
        await starting
    assert prices.caught_up
    await prices.stop(timedelta(seconds=1))


# --- the snapshot while it runs ---------------------------------------------------------------------------------------


async def test_the_snapshot_is_written_now_and_then_and_renewed_without_changes(
    kafka: KafkaSettings, tmp_path: Path, eventually: Eventually
) -> None:
    path, clock = tmp_path / "deep" / "prices", ManualClock()
    await publish(kafka, ("tea", b"1:10"))
    # Only what paces the snapshots waits for the clock of the test; reading does not need it.
    prices = table(kafka, snapshot=path, clock=clock)

    def contact() -> Mapping[str, Any]:
        snapshot = read_snapshot(path)
        return {} if snapshot is None else {"contact": snapshot.contact, "entries": snapshot.entries}

    async with running(prices):
        await clock.wait_for_sleepers(2)
        await clock.advance(11)
        await eventually(lambda: bool(contact()))
        first = contact()
        # The next contact is noted when the cluster answers again, at the time that it is then.
        await eventually(lambda: prices.age() == timedelta(0))
        while contact() == first:
            await clock.advance(11)
            await asyncio.sleep(0.1)
        assert contact()["entries"] == (("tea", b"1:10"),)
        assert contact()["contact"] > first["contact"]


async def test_a_snapshot_that_cannot_be_written_harms_nothing(
    kafka: KafkaSettings, tmp_path: Path, eventually: Eventually, logged: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    await publish(kafka, ("tea", b"1:10"))
    prices = table(kafka, snapshot=tmp_path / "file" / "prices")
    async with running(prices):
        await publish(kafka, ("tea", b"2:11"))
        await eventually(lambda: prices.get("tea") == (2, "11"))
    assert logged.named("table.snapshot_failed")


def test_a_snapshot_needs_an_encoder() -> None:
    with pytest.raises(ValueError, match="encoder"):
        CompactedTable(
            KafkaSettings(),
            SystemClock(),
            topic=TOPIC,
            decode=decode,
            supersedes=lambda _, __: True,
            snapshot=Path("x"),
        )


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["there", "hanging", "gone"])
async def test_a_stop_ends_whatever_the_broker_does_and_leaves_a_snapshot(
    broker: BrokerProcess, kafka: KafkaSettings, tmp_path: Path, state: str
) -> None:
    await publish(kafka, ("tea", b"1:10"))
    path = tmp_path / "prices"
    async with asyncio.timeout(60), running(table(kafka, snapshot=path)):
        if state == "hanging":
            broker.suspend()
        if state == "gone":
            broker.kill()
    snapshot = read_snapshot(path)
    assert snapshot is not None
    assert snapshot.entries == (("tea", b"1:10"),)


@pytest.mark.parametrize("with_broker", [True, False])
async def test_a_start_that_is_cancelled_and_stopped_holds_nothing(
    broker: BrokerProcess, kafka: KafkaSettings, with_broker: bool
) -> None:
    if not with_broker:
        broker.kill()
    for seconds in (0.01, 0.05, 0.1, 0.3):
        prices = table(kafka)
        try:
            async with asyncio.timeout(seconds):
                await prices.start()
        except TimeoutError:
            pass
        await prices.stop(timedelta(seconds=1))
