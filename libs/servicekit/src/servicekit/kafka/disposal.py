"""Opening and closing of aiokafka clients, also of those whose broker is gone.

A start that is given up between the first connection and its first answer leaves that connection open, known to nobody. Their
`stop` waits for answers and flushes that never come then, so here every step has a limit, and what is left is
cancelled through private attributes (aiokafka is pinned to the version that this was read in, 0.14.0).
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Iterable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError

from servicekit.interruption import raise_if_ours
from servicekit.logs import get_logger

_log = get_logger(__name__)

_STEP_SECONDS: Final = 1.0


async def open_client(client: AIOKafkaConsumer | AIOKafkaProducer) -> None:
    """Start a client. One that does not start, for whatever reason, must be disposed of.

    Raises:
        KafkaError: it could not be started.
        OSError: the same.
    """
    try:
        await client.start()
    except BaseException as error:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            connection = frame.f_locals.get("bootstrap_conn")
            if isinstance(connection, AIOKafkaConnection):
                connection.close()
        raise


async def dispose_producer(producer: AIOKafkaProducer, *, flush_seconds: float = 0.0) -> None:
    """Close a producer; records that are not acknowledged within `flush_seconds` fail. Raises nothing."""
    if flush_seconds > 0:
        await _limited(producer.flush(), flush_seconds)
    sender = producer._sender
    if sender.sender_task is not None:
        # It would tell a transaction that there is none, and that fails.
        sender.sender_task.remove_done_callback(sender._fail_all)
    producer._message_accumulator.fail_all(KafkaConnectionError("the producer was closed"))
    # Requests in flight end with their connections; the sender waits for them.
    await _limited(producer.client.close(), _STEP_SECONDS)
    await _limited(producer.stop(), _STEP_SECONDS)
    await _cancelled([sender.sender_task])
    await _limited(producer.client.close(), _STEP_SECONDS)


async def dispose_consumer(consumer: AIOKafkaConsumer, *, leave_seconds: float = 0.0) -> None:
    """Close a consumer; its group learns of it within `leave_seconds`, or by its session's end. Raises nothing."""
    if leave_seconds > 0:
        await _limited(consumer.stop(), leave_seconds)
    coordinator, fetcher = consumer._coordinator, consumer._fetcher
    await _limited(consumer._client.close(), _STEP_SECONDS)
    await _limited(consumer.stop(), _STEP_SECONDS)
    names = ("_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_reset_committed_task")
    tasks = [getattr(coordinator, name, None) for name in names]
    if fetcher is not None:
        tasks += [fetcher._fetch_task, *fetcher._pending_tasks]
    await _cancelled(tasks)
    await _limited(consumer._client.close(), _STEP_SECONDS)


async def _limited(work: Awaitable[Any], seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await work
    except asyncio.CancelledError as error:
        raise_if_ours(error)
    except Exception as error:
        _log.debug("client.close_failed", error=type(error).__name__)


async def _cancelled(tasks: Iterable[asyncio.Task[Any] | None]) -> None:
    left = [task for task in tasks if task is not None and not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=_STEP_SECONDS)
