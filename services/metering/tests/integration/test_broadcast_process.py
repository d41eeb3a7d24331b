"""The sender as a process that is killed in the middle of its work."""

from __future__ import annotations

import gzip
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from standardwebhooks import Webhook

from contracts.topics import USAGE
from metering.broadcast.failpoints import POINTS
from metering.testing.broadcast import (
    SIGNING_SECRET,
    AccountsDouble,
    Receiver,
    broadcast_environment,
    object_store,
    receiving,
    serving,
)
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from servicekit.kafka import RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker, running
from servicekit.testing.service_process import eventually, service_process
from turnpike.accounts.v1 import destination_service_pb2 as messages

CANARY = "canary-0123456789abcdef"
EVENTS = 20


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


@pytest.fixture
def accounts() -> AccountsDouble:
    return AccountsDouble()  # type: ignore[abstract]  # the sender asks nothing else


async def publish(broker: BrokerProcess, new_event: EventFactory, org_id: str, count: int) -> set[str]:
    names = set()
    sink = RecordSink(KafkaSettings(brokers=broker.bootstrap), SystemClock(), "test")
    async with running(sink):
        for _ in range(count):
            event = new_event(started_at_ms=int(time.time() * 1000), org_id=org_id)
            await sink.send(USAGE.name, key=org_id.encode(), value=event.SerializeToString(), headers={})
            names.add(event.generation_id)
    return names


@pytest.mark.parametrize("point", POINTS)
async def test_killed_anywhere_nothing_is_lost_and_a_repeat_is_the_same(
    point: str, broker: BrokerProcess, accounts: AccountsDouble, tmp_path: Path, new_event: EventFactory
) -> None:
    org_id = str(uuid4())
    async with receiving() as receiver, serving(accounts) as target:
        config = {"url": receiver.url, "signingSecret": SIGNING_SECRET}
        name = accounts.add(org_id, messages.DESTINATION_TYPE_WEBHOOK, config, headers={"X-Key": CANARY})
        names = await publish(broker, new_event, org_id, EVENTS)
        times = 1 if point == "events-spooled" else 2
        variables = {"BROADCAST_SENDING_BATCH": "4", "BROADCAST_FAILPOINTS": f"{point}:{times}"}
        dying = broadcast_environment(tmp_path, broker.bootstrap, target, **variables)
        async with service_process("metering.broadcast", tmp_path, dying) as process:
            assert await process.end() == -signal.SIGKILL
        living = broadcast_environment(tmp_path, broker.bootstrap, target, BROADCAST_SENDING_BATCH="4")
        async with service_process("metering.broadcast", tmp_path, living) as process:

            async def all_there() -> bool:
                return set(receiver.generations_of_json()) == names and accounts.state(name).waiting == 0

            await eventually(all_there, "every generation was taken")
            assert await process.stop() == 0
        check_repeats(receiver)
        assert accounts.state(name).delivered == EVENTS
    for file in [*tmp_path.glob("*.log"), *(tmp_path / "spool").iterdir()]:
        for secret in (CANARY, SIGNING_SECRET):
            assert secret.encode() not in file.read_bytes(), file


def check_repeats(receiver: Receiver) -> None:
    """What comes under one id is always the same, and signed."""
    bodies: dict[str, bytes] = {}
    for each in receiver.taken:
        Webhook(SIGNING_SECRET).verify(each.body, dict(each.headers))
        assert bodies.setdefault(each.headers["webhook-id"], each.body) == each.body


async def test_an_object_that_is_put_again_overwrites_itself(
    broker: BrokerProcess, accounts: AccountsDouble, tmp_path: Path, new_event: EventFactory
) -> None:
    org_id = str(uuid4())
    async with object_store() as endpoint, serving(accounts) as target:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id="a" * 16,
            aws_secret_access_key=CANARY,
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="usage")
        config = {
            "endpoint": endpoint,
            "bucketName": "usage",
            "accessKeyId": "a" * 16,
            "secretAccessKey": CANARY,
        }
        name = accounts.add(org_id, messages.DESTINATION_TYPE_S3, config)
        names = await publish(broker, new_event, org_id, 6)
        variables = {"BROADCAST_SENDING_OBJECTS": "3"}
        dying = broadcast_environment(
            tmp_path, broker.bootstrap, target, BROADCAST_FAILPOINTS="batch-sent", **variables
        )
        async with service_process("metering.broadcast", tmp_path, dying) as process:
            assert await process.end() == -signal.SIGKILL
        assert len(client.list_objects_v2(Bucket="usage")["Contents"]) == 1
        living = broadcast_environment(tmp_path, broker.bootstrap, target, **variables)
        async with service_process("metering.broadcast", tmp_path, living):

            async def all_there() -> bool:
                return accounts.state(name).delivered == 6

            await eventually(all_there, "every generation was taken")
        lines = []
        for each in client.list_objects_v2(Bucket="usage")["Contents"]:
            body = client.get_object(Bucket="usage", Key=each["Key"])["Body"].read()
            lines += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        client.close()
    assert sorted(line["attributes"]["gen_ai.response.id"] for line in lines) == sorted(names)
