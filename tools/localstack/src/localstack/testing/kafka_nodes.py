"""Nodes of Apache Kafka for tests: each with a folder of its own in one that goes at the end.

A node costs some two seconds of CPU to start and a fraction of one to empty. So the one that a test gives back in good
order is lent to the next; a test that leaves it stopped, or with members of a group that it killed, leaves it to be deleted.
Turnpike's topics are there as operators create them: a member of a group looks only every few seconds for a topic to appear.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from contracts.topic_layout import LAYOUTS
from localstack.kafka.class_archive import class_archive
from localstack.kafka.node import KafkaNode
from servicekit.testing import BrokerProcess, use_brokers

_PROPERTIES: Final = {
    # Tests let members of groups die, and wait for what follows.
    "group.min.session.timeout.ms": "500",
    # Topics come and go all the time.
    "log.segment.delete.delay.ms": "1000",
}
_ANSWER_S: Final = 5.0
_CHANGE_S: Final = 15.0
_LOOK_INTERVAL_S: Final = 0.01


@contextmanager
def kafka_nodes_for_tests(jars: Path) -> Iterator[None]:
    """Tests of this process speak to nodes of Apache Kafka made of these jars."""
    with TemporaryDirectory(prefix="turnpike-kafka-", ignore_cleanup_errors=True) as parent:
        nodes = KafkaNodes(Path(parent), jars)
        use_brokers(nodes.make, nodes.lend)
        try:
            yield
        finally:
            nodes.close()


class KafkaNodes:
    """Makes nodes, lends them, and keeps one that was given back for who asks next."""

    def __init__(self, folder: Path, jars: Path) -> None:
        """Prepare; nothing is started.

        Args:
            folder: for the folders of the nodes.
            jars: that they are made of.
        """
        self._folder, self._jars = folder, jars
        self._numbers = count()
        self._idle: KafkaNode | None = None

    def make(self) -> KafkaNode:
        """One that is not started, and is not the pool's."""
        folder = self._folder / str(next(self._numbers))
        options = [f"-XX:SharedArchiveFile={class_archive(self._jars)}"]
        return KafkaNode(folder, jars=self._jars, properties=_PROPERTIES, java_options=options)

    @contextmanager
    def lend(self) -> Iterator[BrokerProcess]:
        """One that runs, with Turnpike's topics and nothing in them, and no group.

        Raises:
            StackError: it did not start.
        """
        node, self._idle = self._idle, None
        if node is None:
            node = self.make()
            node.start()
        lay_out(node.bootstrap)
        try:
            yield node
        finally:
            self._take_back(node)

    def close(self) -> None:
        """End the one that is kept."""
        if self._idle is not None:
            self._idle.kill()

    def _take_back(self, node: KafkaNode) -> None:
        node.resume()
        if self._idle is None and node.pid is not None and empty(node.bootstrap):
            self._idle = node
        else:
            node.kill()
            node.wipe()


def lay_out(bootstrap: str) -> None:
    """Create Turnpike's topics on a node that has none, and return when it knows them.

    Raises:
        KafkaException: the node does not answer, or has one of them.
    """
    admin = _admin(bootstrap)
    new = [NewTopic(each.name, each.partitions, replication_factor=1, config=each.settings(1)) for each in LAYOUTS]
    _wait(admin.create_topics(new, operation_timeout=_CHANGE_S, request_timeout=_CHANGE_S))
    while len(_topics(admin)) < len(new):
        time.sleep(_LOOK_INTERVAL_S)


def empty(bootstrap: str) -> bool:
    """Delete every topic and every group of a node.

    Returns:
        whether that is done. It is not where a group has members still, or the node does not answer in time.
    """
    admin = _admin(bootstrap)
    try:
        groups = admin.list_consumer_groups(request_timeout=_ANSWER_S).result().valid
        if any(group.state is not ConsumerGroupState.EMPTY for group in groups):
            return False
        if groups:
            _wait(admin.delete_consumer_groups([group.group_id for group in groups], request_timeout=_ANSWER_S))
        if topics := _topics(admin):
            _wait(admin.delete_topics(topics, operation_timeout=_CHANGE_S, request_timeout=_CHANGE_S))
        give_up_at = time.monotonic() + _CHANGE_S
        while _topics(admin):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(_LOOK_INTERVAL_S)
    except KafkaException:
        return False
    return True


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0, "socket.timeout.ms": int(_CHANGE_S * 1000)})


def _topics(admin: AdminClient) -> list[str]:
    # Kafka's own begin so.
    return [name for name in admin.list_topics(timeout=_ANSWER_S).topics if not name.startswith("__")]


def _wait(futures: dict[str, Any]) -> None:
    for future in futures.values():
        future.result()
