"""Accounts as a process, and what it published."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from aiokafka import AIOKafkaConsumer

from accounts.testing import serving_dsn
from servicekit.testing.service_process import ServiceProcess, service_process


def environment(owner_dsn: str, bootstrap: str, pepper: str, **more: str) -> Mapping[str, str]:
    """The settings of a process, and nothing else of ours."""
    return {
        "ACCOUNTS_POSTGRES_DSN": serving_dsn(owner_dsn),
        "ACCOUNTS_POSTGRES_OWNER_DSN": owner_dsn,
        "ACCOUNTS_KEYS_PEPPER": pepper,
        "ACCOUNTS_KAFKA_BROKERS": bootstrap,
        "ACCOUNTS_KAFKA_WATCH_INTERVAL": "200ms",
        # After a kill its partitions are free again only then.
        "ACCOUNTS_KAFKA_SESSION_TIMEOUT": "2s",
        "ACCOUNTS_OUTBOX_INTERVAL": "50ms",
        **more,
    }


def accounts_process(folder: Path, variables: Mapping[str, str]) -> AbstractAsyncContextManager[ServiceProcess]:
    """Start accounts; killed at the end of the block if it still runs."""
    return service_process("accounts", folder, variables)


async def read_topic(bootstrap: str, topic: str) -> list[tuple[str, bytes | None]]:
    """Everything that a topic has now, partition by partition, as (key, value)."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    try:
        found: list[tuple[str, bytes | None]] = []
        for partition, end in (await consumer.end_offsets(consumer.assignment())).items():
            while await consumer.position(partition) < end:
                fetched = await consumer.getmany(partition, timeout_ms=500)
                found += [(record.key.decode(), record.value) for record in fetched.get(partition, [])]
        return found
    finally:
        await consumer.stop()
