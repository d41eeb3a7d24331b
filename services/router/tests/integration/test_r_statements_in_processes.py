"""R1, R6 and R10 with a real router process, real sockets, a real gRPC client, and usage events on the Kafka wire."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.router_process import router_process
from router.testing.scripted_provider import Exchange, Script, ScriptedProvider
from router.testing.scripts import delta, speak
from router.testing.stack import Completed, RouterStack, UsageReader, write_files
from servicekit.clock import SystemClock
from servicekit.testing import BrokerProcess, new_broker
from turnpike.router.v1 import router_service_pb2
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

STREAMS = 1_000
RATE = 50
COMPLETED = usage_event_pb2.GENERATION_STATUS_COMPLETED
FAILED = usage_event_pb2.GENERATION_STATUS_FAILED
# A thousand connections at once take a busy machine its time; that is no fault of the provider's.
UNHURRIED = {"ROUTER_TIMEOUTS_CONNECT": "60s"}


@dataclass
class Breaking:
    """Serves until it is told to break, and then fails everything, in several ways. Notes when each call came."""

    is_broken: bool = False
    came_at: list[float] = field(default_factory=list)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.came_at.append(SystemClock().monotonic())
        ways: Sequence[Script] = (speak(["Good", " day"]),)
        if self.is_broken:
            ways = (scripts.refuse(500), scripts.reset, scripts.refuse(503))
        await ways[len(self.came_at) % len(ways)](exchange)


async def load(router: RouterStack, seconds: float) -> list[Completed]:
    """Make `RATE` requests a second, whatever becomes of them. A call that fails fails the test."""
    clock = SystemClock()
    began = clock.monotonic()
    async with asyncio.TaskGroup() as tasks:
        running = []
        for number in range(round(RATE * seconds)):
            await clock.sleep(began + number / RATE - clock.monotonic())
            running.append(tasks.create_task(router.complete(stream=number % 2 == 0)))
    return [task.result() for task in running]


async def test_r1_an_endpoint_that_fails_everything_loses_all_traffic_and_no_caller_notices(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    breaking = Breaking()
    async with ScriptedProvider(breaking) as first, ScriptedProvider(speak(["Good", " day"])) as second:
        # Of one price, so that each has half of the traffic.
        write_files(tmp_path, [Offer("a", url=first.url), Offer("b", url=second.url)])
        async with router_process(tmp_path, broker.bootstrap) as (_, router):
            done = await load(router, 2)
            healthy = len(breaking.came_at)
            assert healthy > 0.25 * len(done)
            breaking.is_broken = True
            broken_at = SystemClock().monotonic()
            done += await load(router, 8)
    # Nobody has noticed.
    assert len(done) == 10 * RATE
    assert {(each.text, each.outcome.status) for each in done} == {("Good day", COMPLETED)}
    assert not [each for each in done if each.outcome.HasField("error")]
    # Half of the traffic was its share, and now there are only trials, of which one is under way at a time.
    after = [at - broken_at for at in breaking.came_at if at >= broken_at]
    assert 3 <= len(after) <= 30
    assert len([at for at in after if at > 6]) <= 2
    assert any(attempt.provider == "a" for each in done for attempt in each.route.failed_attempts)


@dataclass
class Gathering:
    """Waits until a number of calls have come to a point, and then lets all of them go on."""

    number: int
    count: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def join(self) -> None:
        """Come to the point, and wait for the others."""
        self.count += 1
        if self.count == self.number:
            self.complete.set()
        await self.complete.wait()


async def complete_all(router: RouterStack, number: int) -> list[Completed]:
    """Complete so many streams at once, each at its first endpoint if that is `a`."""
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(router.complete(stream=True, provider={"order": ["a", "b"]})) for _ in range(number)
        ]
    return [task.result() for task in running]


async def events_of(broker: BrokerProcess, done: Sequence[Completed]) -> list[usage_event_pb2.UsageEvent]:
    """The usage event of each generation: there must be one, the same however often it was sent."""
    reader = UsageReader(broker.bootstrap)
    await reader.read_until(*[each.generation_id for each in done], seconds=60)
    events = []
    for each in done:
        assert len({event.SerializeToString() for event in reader.events[each.generation_id]}) == 1
        events.append(reader.events[each.generation_id][0])
    return events


@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "within the answer"])
async def test_r6_a_thousand_streams_cut_before_their_first_token_are_all_complete(
    tmp_path: Path, broker: BrokerProcess, begun: bool
) -> None:
    # All have been sent to `a` before the first of them fails, so that none can avoid it.
    sent = Gathering(STREAMS)

    async def killer(exchange: Exchange) -> None:
        if begun:
            await exchange.begin_stream()
            await exchange.event(delta(role="assistant", content=""))
        await sent.join()
        exchange.reset()

    async with ScriptedProvider(killer) as first, ScriptedProvider(speak(["Good", " day"])) as second:
        write_files(tmp_path, [Offer("a", url=first.url), Offer("b", url=second.url)])
        async with router_process(tmp_path, broker.bootstrap, **UNHURRIED) as (_, router):
            done = await complete_all(router, STREAMS)
            events = await events_of(broker, done)
    assert (len(first.received), len(second.received)) == (STREAMS, STREAMS)
    assert {(each.text, each.outcome.status) for each in done} == {("Good day", COMPLETED)}
    assert {each.route.provider for each in done} == {"b"}
    assert {tuple(attempt.provider for attempt in event.attempts) for event in events} == {("a", "b")}
    assert {(event.status, event.usage.source) for event in events} == {
        (COMPLETED, token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER)
    }


async def test_r6_a_thousand_streams_cut_after_their_first_token_get_one_error_each_and_no_text_twice(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    # Cut when every caller has seen its first token.
    seen = Gathering(STREAMS)

    async def killer(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("Once"))
        await seen.complete.wait()
        exchange.reset()

    async with ScriptedProvider(killer) as first, ScriptedProvider(speak(["Once", " more"])) as second:
        write_files(tmp_path, [Offer("a", url=first.url), Offer("b", url=second.url)])
        async with router_process(tmp_path, broker.bootstrap, **UNHURRIED) as (_, router):

            async def watch() -> Completed:
                request = router.request(stream=True, provider={"order": ["a", "b"]})
                responses = []
                async for response in router.stub.Complete(request, timeout=100):
                    responses.append(response)
                    if len(responses) == 1:
                        await seen.join()
                return Completed(request.generation_id, responses)

            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(watch()) for _ in range(STREAMS)]
            done = [task.result() for task in running]
            events = await events_of(broker, done)
    assert (len(first.received), len(second.received)) == (STREAMS, 0)
    for each in done:
        assert each.text == "Once"
        assert [response.HasField("outcome") for response in each.responses] == [False, True]
        assert each.outcome.HasField("error")
        assert (each.outcome.status, each.outcome.cost_nano_usd) == (FAILED, 0)
    assert {(event.status, event.cost_nano_usd, len(event.attempts)) for event in events} == {(FAILED, 0, 1)}


async def test_r10_a_router_that_finds_nothing_but_its_providers_serves_and_loses_no_usage_event(
    tmp_path: Path,
) -> None:
    """No broker, so no verdicts, no observations and nowhere to send usage events: not at the start and not later."""
    absent = new_broker()
    absent.start()
    absent.stop()
    done: list[Completed] = []
    async with ScriptedProvider(speak(["Good", " day"])) as first, ScriptedProvider(scripts.refuse(500)) as second:
        write_files(tmp_path, [Offer("a", url=first.url), Offer("b", url=second.url)])
        async with router_process(tmp_path, absent.bootstrap) as (process, router):
            done += await load(router, 3)
            assert await router.stub.ListModels(router_service_pb2.ListModelsRequest(), timeout=20)
            process.signal(signal.SIGKILL)
        assert {(each.text, each.outcome.status) for each in done} == {("Good day", COMPLETED)}
        # What was kept meanwhile is sent when there is a broker, also by a router that was started again.
        absent.start()
        try:
            async with router_process(tmp_path, absent.bootstrap):
                events = await events_of(absent, done)
        finally:
            absent.kill()
    assert {event.status for event in events} == {COMPLETED}
