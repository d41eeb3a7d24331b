"""Nodes of Apache Kafka for tests: each with a folder of its own in one that goes at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from localstack.kafka.node import KafkaNode
from servicekit.testing import use_brokers

# Tests let members of groups die, and wait for what follows.
_PROPERTIES: Final = {"group.min.session.timeout.ms": "500"}


@contextmanager
def kafka_nodes_for_tests(jars: Path) -> Iterator[None]:
    """Tests of this process speak to nodes of Apache Kafka made of these jars."""
    numbers = count()
    with TemporaryDirectory(prefix="turnpike-kafka-", ignore_cleanup_errors=True) as parent:
        use_brokers(lambda: KafkaNode(Path(parent) / str(next(numbers)), jars=jars, properties=_PROPERTIES))
        yield
