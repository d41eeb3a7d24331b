"""A generation whose outcome the router did not tell is stated by the edge, once, and with the rank that it deserves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer

from contracts.ids import usage_event_id
from contracts.topics import USAGE
from contracts.usage import validate_usage_event
from edge.domain.errors import BrokenAnswerError, DependencyError
from edge.failpoints import POINTS
from edge.settings import JournalSettings
from edge.testing.router import COMPLETION_PICO, PROMPT_PICO, Stall, break_off, refuse, route
from edge.testing.stack import (
    EdgeProcess,
    EdgeStack,
    Neighbours,
    OpenEdge,
    Publisher,
    chat_body,
    edge_process,
    neighbours,
)
from servicekit.durations import parse_duration
from servicekit.testing import BrokerProcess
from turnpike.router.v1.router_service_pb2 import CompleteRequest, CompleteResponse
from turnpike.usage.v1 import usage_event_pb2 as usage_pb

WORDS = ("Hello ", "there, ", "caller.")  # 20 bytes: 5 tokens
PATH = "/api/v1/chat/completions"
SOON = JournalSettings(patience=parse_duration("100ms"))


async def stated(
    bootstrap: str, org_id: str, wanted: int | Collection[str], *, quiet: float = 0.0
) -> list[usage_pb.UsageEvent]:
    """Wait for so many usage events of an organisation, or for these, and a while longer for more than there should be."""
    found: list[usage_pb.UsageEvent] = []
    consumer = AIOKafkaConsumer(USAGE.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            while not _has(found, wanted):
                found += await _next(consumer, org_id, 500)
        found += await _next(consumer, org_id, int(quiet * 1_000))
    finally:
        await consumer.stop()
    for event in found:
        validate_usage_event(event)
        assert event.event_id == usage_event_id(event.generation_id)
    return found


def _has(found: Sequence[usage_pb.UsageEvent], wanted: int | Collection[str]) -> bool:
    if isinstance(wanted, int):
        return len(found) >= wanted
    return {event.generation_id for event in found} >= set(wanted)


async def _next(consumer: AIOKafkaConsumer, org_id: str, timeout_ms: int) -> list[usage_pb.UsageEvent]:
    batches = await consumer.getmany(timeout_ms=timeout_ms)
    records = [record for batch in batches.values() for record in batch if record.key == org_id.encode()]
    for record in records:
        names: Mapping[str, bytes] = dict(record.headers)
        assert names["ce_type"].decode() == USAGE.event_type
        assert names["ce_source"].decode().startswith("/edge/")
    return [usage_pb.UsageEvent.FromString(record.value) for record in records]


async def test_a_router_that_breaks_off_is_stated_at_once_and_the_caller_pays_nothing(
    edge: EdgeStack, broker: BrokerProcess
) -> None:
    edge.around.router.script = break_off(BrokenAnswerError("gone", 502, "server"), *WORDS)
    answer = await edge.chat(stream=True)
    generation_id = answer.events[0]["id"]
    (event,) = await stated(broker.bootstrap, edge.org.org_id, 1, quiet=0.5)
    assert (event.generation_id, event.rank) == (generation_id, usage_pb.USAGE_RANK_EDGE_ESTIMATE)
    assert (event.status, event.error_type) == (usage_pb.GENERATION_STATUS_FAILED, "provider_unavailable")
    assert (event.provider, event.endpoint_id, event.requested_model) == ("acme", "acme/one@acme", "acme/one")
    assert event.usage.completion_tokens == 5
    owed = (event.usage.prompt_tokens * PROMPT_PICO + 5 * COMPLETION_PICO) // 1_000
    assert (event.cost_nano_usd, event.provider_cost_nano_usd) == (0, owed)
    assert event.key_id == edge.key_record.key_id
    (asked,) = edge.around.router.requests
    assert event.started_at.ToMilliseconds() == asked.caller.started_unix_ms, (
        "filed under the start that the router was told"
    )


async def test_a_stream_that_merely_ends_is_stated_too(edge: EdgeStack, broker: BrokerProcess) -> None:
    edge.around.router.script = break_off(None, *WORDS)
    await edge.chat(stream=True)
    (event,) = await stated(broker.bootstrap, edge.org.org_id, 1)
    assert event.status == usage_pb.GENERATION_STATUS_FAILED


async def test_a_caller_that_left_pays_for_what_it_was_sent_unless_the_router_says_better(
    open_edge: OpenEdge, broker: BrokerProcess
) -> None:
    edge = await open_edge(journal=SOON)
    stall = Stall(*WORDS)
    edge.around.router.script = stall
    headers = {"Authorization": f"Bearer {edge.key}"}
    async with edge.http.post(edge.url + "/chat/completions", json=chat_body(stream=True), headers=headers) as response:
        assert response.status == 200
        await stall.began.wait()
        async with asyncio.timeout(20):
            async for line in response.content:
                if WORDS[-1].strip().encode() in line:
                    break
        response.close()
    (event,) = await stated(broker.bootstrap, edge.org.org_id, 1)
    assert (event.rank, event.status) == (usage_pb.USAGE_RANK_EDGE_ESTIMATE, usage_pb.GENERATION_STATUS_CANCELLED)
    assert event.usage.completion_tokens == 5
    assert event.cost_nano_usd == event.provider_cost_nano_usd > 0


async def test_what_was_answered_or_refused_is_not_stated(open_edge: OpenEdge, broker: BrokerProcess) -> None:
    edge = await open_edge(journal=SOON)
    assert (await edge.chat()).status == 200
    edge.around.router.script = refuse(DependencyError("router"))
    assert (await edge.chat()).status == 503
    edge.around.router.script = break_off(BrokenAnswerError("gone"), *WORDS)
    await edge.chat()
    (event,) = await stated(broker.bootstrap, edge.org.org_id, 1, quiet=1.0)
    assert event.endpoint_id == route().endpoint_id, "only the broken one"


async def test_what_cannot_be_noted_is_not_asked_of_a_router(
    open_edge: OpenEdge, tmp_path: Path, broker: BrokerProcess
) -> None:
    edge = await open_edge()
    assert (await edge.chat()).status == 200
    (journal,) = (tmp_path / "state" / "journal").glob("journal-*.log")
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.resolve() == journal:
            # From now on the disk takes nothing: the file is open for reading only, and its folder is gone.
            reading = os.open(journal, os.O_RDONLY)
            os.dup2(reading, int(descriptor.name))
            os.close(reading)
    journal.parent.rename(tmp_path / "elsewhere")
    before = len(edge.around.router.requests)
    answers = [await edge.chat() for _ in range(3)]
    assert [answer.status for answer in answers] == [503] * 3
    assert answers[0].headers["Retry-After"]
    assert len(edge.around.router.requests) == before
    (tmp_path / "elsewhere").rename(journal.parent)
    assert (await edge.chat()).status == 200


@pytest.fixture
async def served() -> AsyncIterator[Neighbours]:
    async with neighbours(Neighbours()) as around:
        yield around


async def url_of(process: EdgeProcess, number: int) -> str:
    """The address of the process that was started as the n-th with this log; empty when it ended before it served."""
    async with asyncio.timeout(60):
        while True:
            if len(process.events("service.started")) >= number:
                return f"http://127.0.0.1:{process.events('http.listening')[-1]['port']}"
            if process.has_ended:
                return ""
            await asyncio.sleep(0.05)


async def test_what_a_killed_edge_left_behind_is_stated_by_the_next_as_never_ended(
    tmp_path: Path, broker: BrokerProcess, served: Neighbours
) -> None:
    org = served.accounts.add_org()
    key, record = served.accounts.add_key(org.org_id)
    await Publisher(broker.bootstrap).publish(org, record)
    stall = Stall(*WORDS)
    served.router.script = stall
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as http:
        async with edge_process(tmp_path, broker.bootstrap, served.targets) as process:
            url = await url_of(process, 1)
            async with http.post(url + PATH, json=chat_body(stream=True), headers=headers) as response:
                assert response.status == 200
                await stall.began.wait()
                process.kill()
                assert await process.wait() == -9
        reap = {"EDGE_JOURNAL_REAP": "100ms"}
        async with edge_process(tmp_path, broker.bootstrap, served.targets, **reap) as process:
            await url_of(process, 2)
            (event,) = await stated(broker.bootstrap, org.org_id, 1)
            assert (event.rank, event.status) == (usage_pb.USAGE_RANK_REAPER, usage_pb.GENERATION_STATUS_FAILED)
            assert (event.cost_nano_usd, event.provider_cost_nano_usd) == (0, 0)
            assert (event.error_type, event.requested_model) == ("unreconciled", "acme/one")
            (left,) = process.events("generation.unreconciled")
            assert left["generation_id"] == event.generation_id
            process.terminate()
            assert await process.wait() == 0
        async with edge_process(tmp_path, broker.bootstrap, served.targets, **reap) as process:
            await url_of(process, 3)
            assert len(await stated(broker.bootstrap, org.org_id, 1, quiet=1.0)) == 1, "once"


async def test_b04_an_edge_killed_at_every_failpoint_states_what_it_had_begun(
    tmp_path: Path, broker: BrokerProcess, served: Neighbours
) -> None:
    """Each process but the last is killed at a point of its own, and takes up what those before it left."""
    org = served.accounts.add_org()
    key, record = served.accounts.add_key(org.org_id)
    await Publisher(broker.bootstrap).publish(org, record)
    asked: list[str] = []
    broken = break_off(BrokenAnswerError("gone"), *WORDS)

    async def script(request: CompleteRequest) -> AsyncGenerator[CompleteResponse, None]:
        asked.append(request.generation_id)
        async for message in broken(request):
            yield message

    served.router.script = script
    started = 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
        for point in POINTS:
            words = {"EDGE_FAILPOINTS": f"{point}:2", "EDGE_JOURNAL_REAP": "100ms"}
            async with edge_process(tmp_path, broker.bootstrap, served.targets, **words) as process:
                url = await url_of(process, started + 1)
                started += bool(url)
                while url and not process.has_ended:
                    with suppress(aiohttp.ClientError):
                        async with http.post(url + PATH, json=chat_body(stream=True)) as response:
                            await response.read()
                    await asyncio.sleep(0.1)
                assert await process.wait() == -9, point
        known = set(asked)
        async with edge_process(tmp_path, broker.bootstrap, served.targets, EDGE_JOURNAL_REAP="100ms") as process:
            assert await url_of(process, started + 1)
            events = await stated(broker.bootstrap, org.org_id, known, quiet=1.0)
    unknown = {event.generation_id for event in events} - known
    # Of each process that was killed between its note and its question, one was noted that no router was asked.
    assert len(unknown) <= len(POINTS)
    assert all(event.rank == usage_pb.USAGE_RANK_REAPER for event in events if event.generation_id in unknown)
