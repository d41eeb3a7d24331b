"""What every KeyDirectory does: the double, and the real one on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.metrics import NoOpMeter

from contracts import topics
from contracts.testing.examples import iter_examples
from edge.adapters.convert import key_to_proto, org_to_proto
from edge.adapters.key_directory import KafkaKeyDirectory, key_from_bytes, org_from_bytes
from edge.domain.principal import KeyKind, Org
from edge.ports import KeyDirectory
from edge.testing.accounts import MemoryAccounts, known_key, known_org
from edge.testing.doubles import MemoryKeyDirectory
from edge.testing.stack import Publisher
from edge.testing.waiting import eventually
from servicekit.clock import SystemClock
from servicekit.settings import KafkaSettings, parse_duration
from servicekit.testing import BrokerProcess, kafka_broker, running
from turnpike.accounts.v1 import records_pb2

Record = records_pb2.KeyRecord | records_pb2.OrgRecord


@dataclass
class News:
    """What a directory told of."""

    keys: list[str] = field(default_factory=list)
    orgs: list[Org] = field(default_factory=list)


def told_of(news: News, org: records_pb2.OrgRecord) -> list[int]:
    """Revisions of an organisation that were told of."""
    return [told.revision for told in news.orgs if told.org_id == org.org_id]


@asynccontextmanager
async def kafka_directory(
    bootstrap: str, folder: Path, news: News | None = None, max_snapshot_age: timedelta = timedelta(minutes=15)
) -> AsyncIterator[KafkaKeyDirectory]:
    told = news or News()
    directory = KafkaKeyDirectory(
        KafkaSettings(brokers=bootstrap, watch_interval=parse_duration("100ms")),
        SystemClock(),
        NoOpMeter("test"),
        folder=folder,
        max_snapshot_age=max_snapshot_age,
        on_key=told.keys.append,
        on_org=told.orgs.append,
    )
    async with running(*directory.tables):
        yield directory


@dataclass
class Published:
    """A directory, and the means to publish to it."""

    directory: KeyDirectory
    publish: Callable[..., Awaitable[None]]
    bury: Callable[[str], Awaitable[None]]


@pytest.fixture(params=["double", "kafka"])
async def published(request: pytest.FixtureRequest, broker: BrokerProcess, tmp_path: Path) -> AsyncIterator[Published]:
    if request.param == "double":
        memory = MemoryKeyDirectory()

        async def publish(*records: Record) -> None:
            for record in records:
                if isinstance(record, records_pb2.KeyRecord):
                    memory.keys[record.digest] = known_key(record)
                else:
                    memory.orgs[record.org_id] = known_org(record)

        async def bury(digest: str) -> None:
            memory.keys.pop(digest, None)

        yield Published(memory, publish, bury)
        return
    publisher = Publisher(broker.bootstrap)
    async with kafka_directory(broker.bootstrap, tmp_path) as directory:
        yield Published(directory, publisher.publish, publisher.bury)


class TestEveryDirectory:
    """The port's promises."""

    async def test_what_was_never_published_is_none(self, published: Published) -> None:
        assert published.directory.key("0" * 64) is None
        assert published.directory.org("none") is None

    async def test_what_is_published_is_there_with_all_its_members(self, published: Published) -> None:
        accounts = MemoryAccounts()
        org = accounts.add_org(-5, active=False)
        _, record = accounts.add_key(org.org_id, limit=0, spent=3, disabled=True, expires_s=1_900_000_000)
        await published.publish(org, record)
        directory = published.directory
        await eventually(lambda: directory.key(record.digest) and directory.org(org.org_id))
        assert directory.key(record.digest) == known_key(record)
        assert directory.org(org.org_id) == known_org(org)

    async def test_a_change_replaces_and_a_deletion_removes(self, published: Published) -> None:
        accounts = MemoryAccounts()
        _, record = accounts.add_key(accounts.add_org().org_id)
        directory = published.directory
        await published.publish(record)
        await eventually(lambda: directory.key(record.digest))
        record.disabled, record.revision = True, 2
        await published.publish(record)
        await eventually(lambda: (key := directory.key(record.digest)) is not None and key.disabled)
        await published.bury(record.digest)
        await eventually(lambda: directory.key(record.digest) is None)

    async def test_a_directory_with_a_source_is_current(self, published: Published) -> None:
        await eventually(lambda: published.directory.age_s() < 10)


class TestKafkaKeyDirectory:
    """The real one."""

    async def test_everything_is_read_before_it_is_ready(self, broker: BrokerProcess, tmp_path: Path) -> None:
        accounts, news = MemoryAccounts(), News()
        org = accounts.add_org()
        records = [accounts.add_key(org.org_id)[1] for _ in range(200)]
        await Publisher(broker.bootstrap).publish(org, *records)
        async with kafka_directory(broker.bootstrap, tmp_path, news) as directory:
            assert all(directory.key(record.digest) for record in records)
            assert directory.org(org.org_id) == known_org(org)
            assert directory.age_s() < 60
        assert {record.digest for record in records} <= set(news.keys)
        assert known_org(org) in news.orgs

    async def test_a_late_record_loses(self, broker: BrokerProcess, tmp_path: Path) -> None:
        accounts, news, publisher = MemoryAccounts(), News(), Publisher(broker.bootstrap)
        org = accounts.add_org(7)
        _, record = accounts.add_key(org.org_id)
        record.revision = org.revision = 5
        late_key, late_org = records_pb2.KeyRecord(), records_pb2.OrgRecord()
        late_key.CopyFrom(record)
        late_org.CopyFrom(org)
        late_key.revision = late_org.revision = 4
        async with kafka_directory(broker.bootstrap, tmp_path, news) as directory:
            await publisher.publish(record, org, late_key, late_org)
            # Of the same name, so it is read after them: what is told of shows what was taken.
            record.revision = org.revision = 6
            await publisher.publish(record, org)
            await eventually(lambda: news.keys.count(record.digest) >= 2 and len(told_of(news, org)) >= 2)
            assert directory.key(record.digest) == known_key(record)
        assert news.keys.count(record.digest) == 2
        assert told_of(news, org) == [5, 6]

    async def test_a_record_after_the_deletion_of_its_key_loses(self, broker: BrokerProcess, tmp_path: Path) -> None:
        accounts, news, publisher = MemoryAccounts(), News(), Publisher(broker.bootstrap)
        _, record = accounts.add_key(accounts.add_org().org_id)
        async with kafka_directory(broker.bootstrap, tmp_path, news) as directory:
            await publisher.publish(record)
            await eventually(lambda: directory.key(record.digest))
            await publisher.bury(record.digest)
            record.revision = 9
            await publisher.publish(record)
            await eventually(lambda: news.keys.count(record.digest) == 3)
            assert directory.key(record.digest) is None

    async def test_what_is_no_record_is_passed_over(self, broker: BrokerProcess, tmp_path: Path) -> None:
        accounts, publisher = MemoryAccounts(), Publisher(broker.bootstrap)
        org = accounts.add_org()
        _, record = accounts.add_key(org.org_id)
        _, other = accounts.add_key(org.org_id)
        without_kind = records_pb2.KeyRecord(key_id="k", digest="d", org_id="o")
        await publisher.send(
            (topics.KEYS.name, record.digest, b"\xff\xff not a record"),
            (topics.KEYS.name, "d", without_kind.SerializeToString()),
            (topics.ORGS.name, "o", records_pb2.OrgRecord().SerializeToString()),
            # Under the name of another key.
            (topics.KEYS.name, other.digest, record.SerializeToString()),
        )
        await publisher.publish(org, record)
        async with kafka_directory(broker.bootstrap, tmp_path) as directory:
            assert directory.key(record.digest) == known_key(record)
            assert directory.key(other.digest) is None
            assert directory.key("d") is None
            assert directory.org("o") is None

    async def test_a6_without_a_broker_the_snapshot_does(self, tmp_path: Path) -> None:
        accounts = MemoryAccounts()
        org = accounts.add_org()
        _, record = accounts.add_key(org.org_id, limit=5, expires_s=1_900_000_000)
        _, deleted = accounts.add_key(org.org_id)
        with kafka_broker() as broker:
            publisher = Publisher(broker.bootstrap)
            await publisher.publish(org, record, deleted)
            await publisher.bury(deleted.digest)
            async with kafka_directory(broker.bootstrap, tmp_path):
                pass
            broker.kill()
            async with kafka_directory(broker.bootstrap, tmp_path) as directory:
                assert directory.key(record.digest) == known_key(record)
                assert directory.key(deleted.digest) is None
                assert directory.org(org.org_id) == known_org(org)
                assert directory.age_s() < 300
                # And it goes on from there when there is a broker again, be it another one.
                broker.start()
                record.revision, record.disabled = 2, True
                await publisher.publish(record)
                await eventually(lambda: (key := directory.key(record.digest)) is not None and key.disabled)
                assert directory.org(org.org_id) == known_org(org)

    async def test_the_age_grows_while_there_is_no_broker(self, tmp_path: Path) -> None:
        with kafka_broker() as broker:
            async with kafka_directory(broker.bootstrap, tmp_path) as directory:
                broker.kill()
                await eventually(lambda: directory.age_s() > 1)


@pytest.mark.parametrize("read", [key_from_bytes, org_from_bytes])
@pytest.mark.parametrize("data", [b"", b"\xff", b"not a record"])
def test_what_cannot_be_read_is_a_value_error(read: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(ValueError):
        read(data)


def test_the_published_examples_are_readable(examples: Path) -> None:
    keys = {name: (record, known_key(record)) for name, record in iter_examples(records_pb2.KeyRecord, examples)}
    orgs = {name: (record, known_org(record)) for name, record in iter_examples(records_pb2.OrgRecord, examples)}
    assert keys
    assert orgs
    for key_record, key in keys.values():
        assert key_from_bytes(key_record.SerializeToString()) == key
        assert key_from_bytes(key_to_proto(key).SerializeToString()) == key
    for org_record, org in orgs.values():
        assert org_from_bytes(org_record.SerializeToString()) == org
        assert org_from_bytes(org_to_proto(org).SerializeToString()) == org
    assert keys["disabled_management"][1].kind is KeyKind.MANAGEMENT
    assert keys["disabled_management"][1].disabled
    assert keys["limited"][1].limit == 5_000_000_000
    assert not orgs["frozen"][1].active
    assert orgs["active"][1].active
