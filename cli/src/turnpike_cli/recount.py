"""The third count of `turnpike reconcile`: the usage topic itself, as far back as Kafka keeps it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import yaml
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from contracts.reconciliation import Group, Recount, TooManyEventsError, UsageSum
from contracts.topics import USAGE
from contracts.usage import InvalidUsageEventError, validate_usage_event
from servicekit.kafka.cluster import client_options
from servicekit.settings import KafkaSettings
from turnpike.usage.v1 import usage_event_pb2
from turnpike_cli.errors import CommandError, NoAnswerError

# What it logs of a broker that does not answer is said in one line of ours.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())

_HOUR: Final = timedelta(hours=1)
# An event is published after it ended, and clocks differ.
_SKEW: Final = timedelta(minutes=10)
_POLL_MS: Final = 1_000
_SILENT_POLLS: Final = 30


@dataclass(frozen=True)
class TopicCount:
    """What the topic says.

    Attributes:
        sums: of the hours from `complete_from` on.
        complete_from: the first hour of which the topic still has everything, not before the start of the period.
        records: that were read.
        set_aside: records that break a rule.
    """

    sums: dict[Group, UsageSum]
    complete_from: datetime
    records: int
    set_aside: int


def kafka_settings(brokers: str, file: Path | None) -> KafkaSettings:
    """How to reach the cluster: TLS and credentials come from a YAML file, never from the command line.

    Raises:
        UsageError: the file is not one.
    """
    try:
        found: Any = {} if file is None else yaml.safe_load(file.read_text(encoding="utf-8"))
        return KafkaSettings(**{**(found or {}), "brokers": brokers})
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise click.UsageError(f"--kafka-config {file}: cannot be read ({type(error).__name__})") from None
    except ValidationError as error:
        names = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        raise click.UsageError(f"--kafka-config {file}: wrong or unknown: {names}") from None


async def count_topic(settings: KafkaSettings, start: datetime, end: datetime) -> TopicCount:
    """Count the events of a period from the topic, from shortly before its start to the end that the topic has now.

    Raises:
        NoAnswerError: Kafka does not answer.
        CommandError: there are too many for one count.
    """
    consumer = AIOKafkaConsumer(
        USAGE.name,
        bootstrap_servers=settings.brokers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        **client_options(settings),
    )
    try:
        try:
            await consumer.start()
            return await _count(consumer, start, end)
        finally:
            await consumer.stop()
    except (KafkaError, OSError, TimeoutError) as error:
        raise NoAnswerError(f"no Kafka answers at {settings.brokers}: {type(error).__name__}") from None
    except TooManyEventsError as error:
        raise CommandError(str(error)) from None


async def _count(consumer: AIOKafkaConsumer, start: datetime, end: datetime) -> TopicCount:
    # Without a group every partition is this consumer's.
    partitions = sorted(consumer.assignment())
    if not partitions:
        raise CommandError(f"there is no topic {USAGE.name}")
    first, last = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    kept_from = start
    for partition in partitions:
        # What is before the first record is gone, where the topic does not begin with it.
        if 0 < first[partition] < last[partition]:
            consumer.seek(partition, first[partition])
            oldest = datetime.fromtimestamp((await consumer.getone(partition)).timestamp / 1000, UTC)
            kept_from = max(kept_from, _next_hour(oldest))
    at = int((start - _SKEW).timestamp() * 1000)
    begins = await consumer.offsets_for_times(dict.fromkeys(partitions, at))
    for partition in partitions:
        found = begins.get(partition)
        consumer.seek(partition, first[partition] if found is None else found.offset)
    recount = Recount(kept_from, end)
    records, set_aside, silent = 0, 0, 0
    while silent < _SILENT_POLLS:
        waiting = [each for each in partitions if await consumer.position(each) < last[each]]
        if not waiting:
            return TopicCount(recount.sums(), kept_from, records, set_aside)
        batches = await consumer.getmany(*waiting, timeout_ms=_POLL_MS)
        silent = 0 if batches else silent + 1
        for batch in batches.values():
            records += len(batch)
            set_aside += sum(not _add(recount, record.value) for record in batch)
    raise TimeoutError


def _add(recount: Recount, value: bytes | None) -> bool:
    try:
        event = usage_event_pb2.UsageEvent.FromString(value or b"")
        validate_usage_event(event)
    except (DecodeError, InvalidUsageEventError):
        return False
    recount.add(event)
    return True


def _next_hour(moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + _HOUR
