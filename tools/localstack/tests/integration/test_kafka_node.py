"""What the embedded broker cannot show, on a node of Apache Kafka: topics, two members of a group, transactions, restarts.

Skipped where there is no Java; everything else about brokers is tested on the embedded one, and on this by `make test-kafka`.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from contracts.topic_layout import LAYOUTS
from localstack.brokers import choose_broker
from localstack.errors import BrokerUnusableError, MissingPartError
from localstack.kafka.node import JARS, KafkaNode
from localstack.kafka.topics import create_topics
from localstack.ports import free_ports
from localstack.testing.kafka_nodes import KafkaNodes, empty
from servicekit.clock import SystemClock
from servicekit.kafka import Record, RecordConsumer, TopicPartition, fetch_cluster_id
from servicekit.settings import KafkaSettings, parse_duration
from servicekit.testing import running
from servicekit.testing.service_process import eventually as in_time

ROOT = Path(__file__).parents[4]
TOPIC, PARTITIONS = "sales", 4  # as many as a node gives to a topic that nobody laid out


@pytest.fixture(scope="module")
def jars() -> Path:
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("Apache Kafka needs Java and Maven")
    subprocess.run([str(ROOT / "tools" / "kafka" / "fetch.sh")], check=True, capture_output=True)
    return ROOT / JARS


@pytest.fixture(scope="module")
def node(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaNode]:
    node = KafkaNode(tmp_path_factory.mktemp("kafka"), jars=jars, properties={"group.min.session.timeout.ms": "500"})
    node.start()
    yield node
    node.kill()


@pytest.fixture
def kafka(node: KafkaNode) -> KafkaSettings:
    return KafkaSettings(
        brokers=node.bootstrap,
        request_timeout=parse_duration("2s"),
        watch_interval=parse_duration("100ms"),
        session_timeout=parse_duration("2s"),
        stall_timeout=parse_duration("2s"),
    )


class Ledger:
    """A store that keeps values and offsets together, and is shared by the members of a group."""

    def __init__(self) -> None:
        self.values = list[bytes]()
        self.offsets = dict[TopicPartition, int]()

    async def start_offsets(
        self, cluster_id: str, partitions: Collection[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        return {partition: self.offsets[partition] for partition in partitions if partition in self.offsets}

    async def handle(self, cluster_id: str, partition: TopicPartition, records: Sequence[Record]) -> None:
        self.values += [record.value or b"" for record in records]
        self.offsets[partition] = records[-1].offset + 1

    async def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing is kept back."""


def member(kafka: KafkaSettings, ledger: Ledger, topic: str) -> RecordConsumer:
    return RecordConsumer(kafka, SystemClock(), topics=[topic], group=f"ledger-of-{topic}", handler=ledger)


@asynccontextmanager
async def producer(kafka: KafkaSettings, transaction: str | None = None) -> AsyncIterator[AIOKafkaProducer]:
    producing = AIOKafkaProducer(bootstrap_servers=kafka.brokers, transactional_id=transaction, acks="all")
    await producing.start()
    try:
        yield producing
    finally:
        await producing.stop()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(90):
        while not holds():  # noqa: ASYNC110 - the condition is about other processes
            await asyncio.sleep(0.02)


async def test_topics_are_made_as_they_are_laid_out_and_left_alone_afterwards(node: KafkaNode) -> None:
    laid_out = {layout.name for layout in LAYOUTS}
    admin = AIOKafkaAdminClient(bootstrap_servers=node.bootstrap)
    await admin.start()
    try:

        async def all_are_made() -> bool:
            # Another test of this node may have been first, a moment ago, so that not all of its topics are told yet.
            if there := laid_out.intersection(await admin.list_topics()):
                await admin.delete_topics(sorted(there))
                return False
            return set(await create_topics(node.bootstrap)) == laid_out

        await in_time(all_are_made, "all topics are made")
        assert await create_topics(node.bootstrap) == []
        wanted = {layout.name: layout.partitions for layout in LAYOUTS}

        async def are_there() -> bool:
            # The controller has made them; the broker learns of it a moment later.
            described = await admin.describe_topics(list(wanted))
            return {topic["topic"]: len(topic["partitions"]) for topic in described} == wanted

        await in_time(are_there, "the topics are there")
        for layout in LAYOUTS:
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, layout.name)])
            found = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            assert layout.settings(1).items() <= found.items()
    finally:
        await admin.close()


async def test_two_members_share_a_topic_and_the_one_that_stays_takes_all_of_it(kafka: KafkaSettings) -> None:
    ledger = Ledger()
    first, second = member(kafka, ledger, TOPIC), member(kafka, ledger, TOPIC)
    async with producer(kafka) as producing, running(first):
        for number in range(8):
            await producing.send_and_wait(TOPIC, b"%d" % number, partition=number % PARTITIONS)
        await eventually(lambda: len(ledger.values) == 8)
        async with running(second):
            await eventually(lambda: len(first.assignment) == len(second.assignment) == PARTITIONS // 2)
            for number in range(8, 16):
                await producing.send_and_wait(TOPIC, b"%d" % number, partition=number % PARTITIONS)
            await eventually(lambda: len(ledger.values) == 16)
        await eventually(lambda: len(first.assignment) == PARTITIONS)
        for number in range(16, 24):
            await producing.send_and_wait(TOPIC, b"%d" % number, partition=number % PARTITIONS)
        await eventually(lambda: len(ledger.values) == 24)
    assert sorted(ledger.values) == sorted(b"%d" % number for number in range(24))


async def test_holes_that_transactions_leave_are_no_lag_and_what_was_aborted_is_not_read(kafka: KafkaSettings) -> None:
    ledger = Ledger()
    reading = member(kafka, ledger, "orders")
    async with producer(kafka, "till-1") as producing, running(reading):
        async with producing.transaction():
            await producing.send_and_wait("orders", b"kept", partition=0)
        await producing.begin_transaction()
        await producing.send_and_wait("orders", b"dropped", partition=0)
        await producing.abort_transaction()
        await eventually(lambda: ledger.values == [b"kept"])
        session = reading._session
        # Behind the record are a commit, an aborted record and its abort, which nobody is given.
        await asyncio.sleep(2 * kafka.stall_timeout.total_seconds())
        await eventually(lambda: reading.lag == 0)
        assert reading._session is session
        async with producing.transaction():
            await producing.send_and_wait("orders", b"more", partition=0)
        await eventually(lambda: ledger.values == [b"kept", b"more"])


async def test_after_a_kill_it_is_the_same_cluster_with_the_same_records(node: KafkaNode, kafka: KafkaSettings) -> None:
    ledger = Ledger()
    cluster = await fetch_cluster_id(kafka)
    reading = member(kafka, ledger, "returns")
    async with running(reading):
        async with producer(kafka) as producing:
            await producing.send_and_wait("returns", b"before", partition=0)
        await eventually(lambda: ledger.values == [b"before"])
        node.restart()
        assert await fetch_cluster_id(kafka) == cluster
        async with producer(kafka) as producing:
            await producing.send_and_wait("returns", b"after", partition=0)
        await eventually(lambda: ledger.values == [b"before", b"after"])


async def test_a_node_that_is_given_back_is_lent_again_with_empty_topics_and_no_group(
    jars: Path, tmp_path: Path
) -> None:
    nodes, ledger = KafkaNodes(tmp_path, jars), Ledger()
    with nodes.lend() as lent:
        settings = KafkaSettings(brokers=lent.bootstrap)
        reading = member(settings, ledger, TOPIC)
        async with running(reading):
            async with producer(settings) as producing:
                await producing.send_and_wait(TOPIC, b"1")
            await eventually(lambda: ledger.values == [b"1"])
            assert not empty(lent.bootstrap), "its group has a member"
    with nodes.lend() as again:
        assert again is lent
        admin = AIOKafkaAdminClient(bootstrap_servers=again.bootstrap)
        await admin.start()
        try:
            found = {name for name in await admin.list_topics() if not name.startswith("__")}
            assert found == {layout.name for layout in LAYOUTS}
            assert not await admin.list_consumer_groups()
        finally:
            await admin.close()
        again.stop()
    assert list(tmp_path.iterdir()) == [], "one that was stopped is deleted"
    nodes.close()


async def test_a_stack_takes_brokers_that_run_elsewhere_and_creates_the_topics_that_are_missing(
    jars: Path, node: KafkaNode, tmp_path: Path
) -> None:
    broker = await choose_broker(node.bootstrap, port=1, controller_port=2, folder=tmp_path, jars=jars)
    assert (broker.bootstrap, broker.command) == (node.bootstrap, ())
    assert await broker.ready()
    assert await create_topics(node.bootstrap) == []


async def test_brokers_that_do_not_answer_are_one_line(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_ports(1, Random())[0]}"
    with pytest.raises(BrokerUnusableError, match=f"Kafka at {nobody} is of no use") as caught:
        await choose_broker(nobody, port=1, controller_port=2, folder=tmp_path, jars=tmp_path)
    assert "\n" not in str(caught.value)
    with pytest.raises(MissingPartError, match=r"no Kafka in|Java 17"):
        await choose_broker("real", port=1, controller_port=2, folder=tmp_path, jars=tmp_path)
