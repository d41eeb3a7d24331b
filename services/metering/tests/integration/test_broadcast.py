"""The sender on its real edges: the Kafka wire, gRPC, sockets of receivers, an object store."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from standardwebhooks import Webhook

from contracts.topics import KEYS, USAGE
from metering.broadcast.app import wire
from metering.testing.broadcast import (
    SIGNING_SECRET,
    AccountsDouble,
    Receiver,
    attributes,
    broadcast_settings,
    key_record,
    object_store,
    receiving,
    serving,
)
from metering.testing.usage_events import EventFactory
from servicekit.clock import SystemClock
from servicekit.durations import parse_duration
from servicekit.kafka import RecordSink
from servicekit.settings import KafkaSettings
from servicekit.testing import BrokerProcess, kafka_broker, running
from servicekit.testing.components import make_runtime
from servicekit.testing.service_process import eventually
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import records_pb2
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

OTLP, WEBHOOK, S3 = (
    messages.DESTINATION_TYPE_OTEL_COLLECTOR,
    messages.DESTINATION_TYPE_WEBHOOK,
    messages.DESTINATION_TYPE_S3,
)
CANARY = "canary-0123456789abcdef"


@pytest.fixture
def broker() -> Iterator[BrokerProcess]:
    with kafka_broker() as started:
        yield started


@pytest.fixture
async def accounts() -> AccountsDouble:
    return AccountsDouble()  # type: ignore[abstract]  # the sender asks nothing else


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as found:
        yield found


class Bench:
    """A sender, and what feeds it."""

    def __init__(self, sink: RecordSink, new_event: EventFactory) -> None:
        self.org_id = str(uuid4())
        self._sink, self._new_event = sink, new_event

    async def publish(self, count: int = 1, **fields: Any) -> list[str]:
        """Publish usage events of the organisation. Returns their generations."""
        named = []
        for _ in range(count):
            event = self._new_event(started_at_ms=int(time.time() * 1000), **{"org_id": self.org_id} | fields)
            await self.send(event)
            named.append(event.generation_id)
        return named

    async def send(self, event: UsageEvent) -> None:
        """Publish one event."""
        await self._sink.send(USAGE.name, key=event.org_id.encode(), value=event.SerializeToString(), headers={})


@asynccontextmanager
async def bench(
    broker: BrokerProcess,
    accounts: AccountsDouble,
    folder: Path,
    new_event: EventFactory,
    keys: Sequence[records_pb2.KeyRecord] = (),
    **sending: Any,
) -> AsyncIterator[Bench]:
    sink = RecordSink(KafkaSettings(brokers=broker.bootstrap), SystemClock(), "test")
    async with serving(accounts) as target, running(sink):
        for key in keys:
            await sink.send(KEYS.name, key=key.digest.encode(), value=key.SerializeToString(), headers={})
        settings = broadcast_settings(folder, broker.bootstrap, target, **sending)
        async with wire(settings, make_runtime(settings=settings)) as service, running(*service.components):
            yield Bench(sink, new_event)


async def until(holds: Any, what: str) -> None:
    async def check() -> object:
        return holds()

    await eventually(check, what)


async def test_a_collector_gets_a_span_by_the_conventions_and_nothing_that_was_not_asked_for(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    key = key_record(new_event.example.key_id, "Production", "d" * 64)
    async with bench(broker, accounts, tmp_path, new_event, keys=[key]) as sender:
        config, headers = {"endpoint": receiver.url}, {"Authorization": CANARY}
        plain = accounts.add(sender.org_id, OTLP, config, headers=headers)
        all_of_it: dict[str, Any] = {
            "broadcasts_cost": True,
            "broadcasts_identity": True,
            "broadcasts_request_context": True,
        }
        accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url + "/full/v1/traces"}, **all_of_it)
        (name,) = await sender.publish(session_id="s-1", external_user="u-1", user_agent="curl/8")
        await until(lambda: len(receiver.taken) == 2, "both destinations have it")
        by_path = {each.path: each for each in receiver.taken}
        request = by_path["/v1/traces"]
        assert (request.method, request.headers["Content-Type"]) == ("POST", "application/x-protobuf")
        assert request.headers["Authorization"] == CANARY
        (span,) = request.spans()
        about, example = attributes(span), new_event.example
        assert span.name == f"chat {example.model}"
        assert about["gen_ai.response.id"] == name
        assert about["gen_ai.provider.name"] == example.provider
        assert about["gen_ai.usage.input_tokens"] == example.usage.prompt_tokens
        assert (about["gen_ai.conversation.id"], about["session.id"], about["user.id"]) == ("s-1", "s-1", "u-1")
        assert about["gen_ai.response.finish_reasons"] == [example.finish_reason]
        assert not [each for each in about if each.startswith(("turnpike.cost", "turnpike.api_key", "turnpike.org"))]
        assert "user_agent.original" not in about
        (full,) = by_path["/full/v1/traces"].spans()
        more = attributes(full)
        assert (full.trace_id, full.span_id) == (span.trace_id, span.span_id)
        assert (more["turnpike.api_key.name"], more["user_agent.original"]) == ("Production", "curl/8")
        assert more["turnpike.cost.nano_usd"] > 0
        assert "gen_ai.input.messages" not in more
        await until(lambda: accounts.state(plain).delivered == 1, "accounts knows")
        assert accounts.state(plain).attempts[0].status == 200


async def test_a_webhook_is_signed_and_a_repeat_has_the_same_id(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    failures = iter([503, 500])
    receiver.answer = lambda _: next(failures, 200)
    async with bench(broker, accounts, tmp_path, new_event) as sender:
        config = {"url": receiver.url + "/hook", "method": "PUT", "signingSecret": SIGNING_SECRET}
        destination = accounts.add(sender.org_id, WEBHOOK, config, headers={"X-Ours": "1"})
        (name,) = await sender.publish()
        await until(lambda: receiver.taken, "it was taken")
        await until(lambda: accounts.state(destination).delivered == 1, "accounts knows")
    assert len(receiver.all) == 3
    assert len({each.headers["webhook-id"] for each in receiver.all}) == 1
    for each in receiver.all:
        document = Webhook(SIGNING_SECRET).verify(each.body, dict(each.headers))
        (span,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert (len(span["traceId"]), len(span["spanId"])) == (32, 16)
    assert (receiver.taken[0].method, receiver.taken[0].headers["X-Ours"]) == ("PUT", "1")
    assert receiver.generations_of_json() == [name]
    state = accounts.state(destination)
    assert (state.failures, state.HasField("failing_since")) == (2, False)
    assert [each.error for each in state.attempts] == ["", "status", "status"]


async def test_a_bucket_gets_lines_under_names_that_a_repeat_overwrites(
    broker: BrokerProcess, accounts: AccountsDouble, tmp_path: Path, new_event: EventFactory
) -> None:
    async with object_store() as endpoint, bench(broker, accounts, tmp_path, new_event) as sender:
        keys = {"aws_access_key_id": "AKIA0123456789", "aws_secret_access_key": CANARY, "region_name": "eu-central-1"}
        client = boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}), **keys)
        client.create_bucket(Bucket="usage", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        config = {
            "endpoint": endpoint, "bucketName": "usage", "accessKeyId": "AKIA0123456789", "secretAccessKey": CANARY,
            "region": "eu-central-1", "prefix": "team a", "pathTemplate": "{prefix}/{year}/{month}",
        }  # fmt: skip
        destination = accounts.add(sender.org_id, S3, config, broadcasts_cost=True)
        names = await sender.publish(5)
        await until(lambda: accounts.state(destination).delivered == 5, "all were taken")
        found = client.list_objects_v2(Bucket="usage")["Contents"]
        lines = []
        for each in found:
            assert each["Key"].startswith(time.strftime("team a/%Y/%m/", time.gmtime()))
            body = client.get_object(Bucket="usage", Key=each["Key"])["Body"].read()
            lines += [json.loads(line) for line in gzip.decompress(body).splitlines()]
        client.close()
    assert sorted(line["attributes"]["gen_ai.response.id"] for line in lines) == sorted(names)
    assert all(line["attributes"]["turnpike.cost.nano_usd"] > 0 for line in lines)


async def test_a_destination_that_is_down_holds_up_no_other_and_its_backlog_is_bounded(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    receiver.answer = lambda each: 503 if each.path.startswith("/down") else 200
    async with bench(broker, accounts, tmp_path, new_event, events=10, batch=4) as sender:
        down = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url + "/down"})
        up = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url + "/up"})
        names = []
        for sent in (10, 20, 30, 40):  # at most what may wait: of more, the oldest give way for the other, too
            names += await sender.publish(10)
            await until(lambda sent=sent: accounts.state(up).delivered == sent, "the other has all")
        assert sorted(receiver.generations()) == sorted(names)
        await until(lambda: accounts.state(down).dropped > 0 and accounts.state(down).waiting <= 14, "it is bounded")
        assert accounts.state(down).HasField("failing_since")
        receiver.answer = lambda _: 200
        await until(lambda: accounts.state(down).waiting == 0, "what waited is sent")
        assert accounts.state(down).delivered + accounts.state(down).dropped == 40
        assert names[-1] in receiver.generations()


async def test_an_answer_that_never_comes_is_a_failure_of_that_destination_only(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    async with (
        receiving() as slow,
        bench(broker, accounts, tmp_path, new_event, timeout=parse_duration("500ms")) as sender,
    ):
        slow.hold = asyncio.Event()
        stuck = accounts.add(sender.org_id, OTLP, {"endpoint": slow.url})
        fine = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url})
        await sender.publish(3)
        await until(lambda: accounts.state(fine).delivered == 3, "the other has all")
        await until(lambda: accounts.state(stuck).failures >= 2, "it is tried again")
        assert {each.error for each in accounts.state(stuck).attempts} == {"timeout"}


async def test_what_a_destination_refuses_is_found_and_given_up_and_the_rest_goes_on(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    receiver.answer = lambda each: 400 if b"poison" in each.body else 200
    async with bench(broker, accounts, tmp_path, new_event, linger=parse_duration("1s")) as sender:
        destination = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url})
        names = await sender.publish(5) + await sender.publish(1, session_id="poison")
        names += await sender.publish(5)
        await until(lambda: accounts.state(destination).delivered == 10, "the others are there")
        assert accounts.state(destination).refused == 1
        assert sorted(receiver.generations()) == sorted(name for name in names if name != names[5])


async def test_prompts_go_where_both_the_key_and_the_destination_say_so(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    async with bench(broker, accounts, tmp_path, new_event) as sender:
        accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url + "/open"}, privacy_mode=False)
        accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url + "/private"})
        event = new_event(started_at_ms=int(time.time() * 1000), org_id=sender.org_id)
        accounts.contents[event.generation_id] = json.dumps(
            {
                "input": {"messages": [{"role": "user", "content": CANARY}]},
                "output": {"completion": "Hello", "reasoning": "Hm"},
                "error": None,
            }
        ).encode()
        await sender.send(event)
        (silent,) = await sender.publish()
        await until(lambda: len(receiver.generations()) == 4, "all are there")
        said = {}
        for each in receiver.taken:
            for span in each.spans():
                said[each.path, attributes(span)["gen_ai.response.id"]] = attributes(span)
        opened = said["/open/v1/traces", event.generation_id]
        assert json.loads(opened["gen_ai.input.messages"]) == [
            {"role": "user", "parts": [{"type": "text", "content": CANARY}]}
        ]
        (answer,) = json.loads(opened["gen_ai.output.messages"])
        assert [part["type"] for part in answer["parts"]] == ["reasoning", "text"]
        assert "gen_ai.input.messages" not in said["/open/v1/traces", silent]
        assert CANARY not in str(said["/private/v1/traces", event.generation_id])
        # With accounts away nobody knows whether something was said, so it waits; the others go on.
        accounts.down = True
        (late,) = await sender.publish()
        await until(lambda: receiver.generations().count(late) == 1, "the one without prompts goes on")
        accounts.down = False
        await until(lambda: receiver.generations().count(late) == 2, "the other follows")


async def test_only_what_a_destination_is_for_goes_there(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    def path(name: str) -> dict[str, str]:
        return {"endpoint": f"{receiver.url}/{name}"}

    workspace, key_id = str(uuid4()), str(uuid4())
    keys = [key_record(key_id, "Named", "a" * 64), key_record(new_event.example.key_id, "Other", "b" * 64)]
    async with bench(broker, accounts, tmp_path, new_event, keys=keys) as sender:
        rule = messages.FilterRule(field="session_id", operator="regex", text="^s-[0-9]+$")
        group = messages.FilterGroup(logic=messages.FILTER_LOGIC_AND, rules=[rule])
        rules = messages.FilterRules(enabled=True, groups=[group])
        digests = records_pb2.TextList(values=["a" * 64])
        accounts.add(str(uuid4()), OTLP, path("foreign"))
        accounts.add(sender.org_id, OTLP, path("workspace"), workspace_id=workspace)
        accounts.add(sender.org_id, OTLP, path("rules"), filter_rules=rules)
        accounts.add(sender.org_id, OTLP, path("key"), allowed_key_digests=digests)
        accounts.add(sender.org_id, OTLP, path("later"), created_ms=int(time.time() * 1000) + 3_600_000)
        accounts.add(sender.org_id, OTLP, path("rare"), sampling_rate=0.0001)
        last = accounts.add(sender.org_id, OTLP, path("all"))
        plain = await sender.publish(2)
        (in_workspace,) = await sender.publish(workspace_id=workspace)
        (ruled,) = await sender.publish(session_id="s-12")
        (keyed,) = await sender.publish(key_id=key_id)
        await until(lambda: accounts.state(last).delivered == 4, "all of the default workspace")
        await until(lambda: len(receiver.generations()) == 7, "the chosen ones")
    found: dict[str, list[str]] = {}
    for each in receiver.taken:
        found.setdefault(each.path.split("/")[1], []).extend(
            attributes(span)["gen_ai.response.id"] for span in each.spans()
        )
    assert found.pop("workspace") == [in_workspace]
    assert found.pop("rules") == [ruled]
    assert found.pop("key") == [keyed]
    assert sorted(found.pop("all")) == sorted([*plain, ruled, keyed])
    assert found == {}


async def test_s15_s16_private_addresses_and_redirects_lead_nowhere(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    port = receiver.url.rsplit(":", 1)[1]
    async with bench(broker, accounts, tmp_path, new_event, private_networks=False) as sender:
        names = [
            accounts.add(sender.org_id, WEBHOOK, {"url": f"http://{host}:{port}/x", "signingSecret": SIGNING_SECRET})
            for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]")
        ]
        await sender.publish()
        await until(lambda: all(accounts.state(name).failures >= 2 for name in names), "all were tried")
        assert receiver.all == []
        errors = {attempt.error for name in names for attempt in accounts.state(name).attempts}
        assert errors <= {"private_address", "dns", "invalid_url"}
        assert {attempt.error for attempt in accounts.state(names[0]).attempts} == {"private_address"}
        assert {attempt.error for attempt in accounts.state(names[1]).attempts} == {"private_address"}


async def test_s16_a_redirect_is_not_followed(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    receiver.answer = lambda _: 302
    async with bench(broker, accounts, tmp_path, new_event) as sender:
        name = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url})
        await sender.publish()
        await until(lambda: accounts.state(name).failures >= 2, "it was tried twice")
    assert {each.path for each in receiver.all} == {"/v1/traces"}
    assert {each.error for each in accounts.state(name).attempts} == {"redirected"}


async def test_what_fails_for_too_long_is_given_up_and_begins_anew_when_it_is_switched_on(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    receiver.answer = lambda _: 503
    async with bench(broker, accounts, tmp_path, new_event, give_up=parse_duration("300ms")) as sender:
        name = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url})
        await sender.publish(3)
        await until(lambda: name in accounts.reports and accounts.reports[name].gives_up, "it was given up")
        await until(lambda: accounts.state(name).dropped == 3, "what waited is dropped")
        receiver.answer = lambda _: 200
        accounts.switch(name, active=True)
        (again,) = await sender.publish()
        await until(lambda: receiver.generations() == [again], "it is sent to again")
        await until(lambda: not accounts.state(name).HasField("failing_since"), "nothing is left of it")


async def test_another_configuration_is_tried_at_once(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    receiver.answer = lambda each: 200 if each.headers.get("Authorization") == CANARY else 401
    pauses: dict[str, Any] = {"retry_first": parse_duration("1h"), "retry_longest": parse_duration("1h")}
    async with bench(broker, accounts, tmp_path, new_event, **pauses) as sender:
        name = accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url}, headers={"Authorization": "wrong"})
        (event,) = await sender.publish()
        await until(lambda: accounts.state(name).failures == 1, "it failed")
        accounts.configure(name, {"endpoint": receiver.url}, {"Authorization": CANARY})
        await until(lambda: receiver.generations() == [event], "it is sent with the new key")


async def test_a_start_without_accounts_goes_on_with_what_is_kept(
    broker: BrokerProcess, accounts: AccountsDouble, receiver: Receiver, tmp_path: Path, new_event: EventFactory
) -> None:
    async with bench(broker, accounts, tmp_path, new_event) as sender:
        accounts.add(sender.org_id, OTLP, {"endpoint": receiver.url}, headers={"Authorization": CANARY})
        (first,) = await sender.publish()
        await until(lambda: receiver.generations() == [first], "it was sent")
        org_id = sender.org_id
    accounts.down = True
    async with bench(broker, accounts, tmp_path, new_event) as sender:
        (second,) = await sender.publish(org_id=org_id)
        await until(lambda: second in receiver.generations(), "it was sent without accounts")
    for file in (tmp_path / "spool").iterdir():
        assert CANARY.encode() not in file.read_bytes()
