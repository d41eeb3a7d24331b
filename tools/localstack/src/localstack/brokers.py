"""Which broker a stack has: the embedded one, a node of Apache Kafka of its own, or brokers that somebody else runs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError

from localstack import probes
from localstack.errors import BrokerUnusableError
from localstack.kafka.node import KafkaNode
from localstack.kafka.topics import create_topics
from localstack.ports import LOOPBACK
from localstack.settings import EMBEDDED, REAL

_HEAP_MB: Final = 512
# The topics are made as they are laid out; a name that is not among them is a mistake.
_PROPERTIES: Final = {"auto.create.topics.enable": "false"}


@dataclass(frozen=True)
class Broker:
    """What the services speak to.

    Attributes:
        bootstrap: host:port, separated by commas.
        command: of the process, or () where somebody else runs it.
        ready: whether it takes what the services send.
    """

    bootstrap: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]]


async def choose_broker(kafka: str, *, port: int, controller_port: int, folder: Path, jars: Path) -> Broker:
    """Prepare the broker that was asked for. Topics that are missing on Apache Kafka are created before anybody needs them.

    Args:
        kafka: as in `StackOptions`.
        port: of a process of the stack's own.
        controller_port: the second one of a node of Apache Kafka.
        folder: what a node of Apache Kafka keeps its data in.
        jars: that it is made of.

    Raises:
        MissingPartError: there is no Java, or there are no jars.
        PortTakenError: somebody listens on the port.
        ChildNotReadyError: the folder cannot be formatted.
        BrokerUnusableError: brokers that somebody else runs do not answer, or lack a topic and refuse to create it.
    """
    if kafka == EMBEDDED:
        return embedded(port)
    if kafka == REAL:
        return await _node(port, controller_port, folder, jars)
    return await _elsewhere(kafka)


def embedded(port: int) -> Broker:
    """librdkafka's mock cluster, on a port of this machine."""

    async def ready() -> bool:
        return await probes.accepts(port)

    return Broker(f"{LOOPBACK}:{port}", (sys.executable, "-P", "-m", "localstack.broker", "--port", str(port)), ready)


async def _node(port: int, controller_port: int, folder: Path, jars: Path) -> Broker:
    node = KafkaNode(
        folder, jars=jars, port=port, controller_port=controller_port, heap_mb=_HEAP_MB, properties=_PROPERTIES
    )
    command = await asyncio.to_thread(node.prepare)

    async def ready() -> bool:
        if not await probes.accepts(port):
            return False
        try:
            await create_topics(node.bootstrap)
        except (KafkaError, OSError, TimeoutError):
            return False
        return True

    return Broker(node.bootstrap, tuple(command), ready)


async def _elsewhere(bootstrap: str) -> Broker:
    try:
        await create_topics(bootstrap)
    except (KafkaError, OSError, TimeoutError) as error:
        raise BrokerUnusableError(
            f"Kafka at {bootstrap} is of no use: {type(error).__name__}: {error}; "
            "is it running (make kafka-up), and may topics be created?"
        ) from None

    async def ready() -> bool:
        return True

    return Broker(bootstrap, (), ready)
