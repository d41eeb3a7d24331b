"""Routers that tell each other over Kafka what live traffic shows, while one of them is cut off, and without Kafka at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from router.testing.catalogs import Offer
from router.testing.kafka_link import KafkaLink
from router.testing.scripted_provider import Script, ScriptedProvider
from router.testing.scripts import refuse, speak
from router.testing.stack import RouterStack, router_stack
from servicekit.testing import BrokerProcess, RecordingTelemetry, kafka_broker
from turnpike.health.v1 import endpoint_verdict_pb2
from turnpike.router.v1 import router_service_pb2

BAD, WORSE, GOOD = "acme/one@bad", "acme/one@worse", "acme/one@good"
UNHEALTHY = endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY


async def unhealthy(router: RouterStack) -> set[str]:
    """The endpoints that a router lists as unhealthy."""
    listed = await router.stub.ListModels(router_service_pb2.ListModelsRequest())
    return {each.id for model in listed.models for each in model.endpoints if each.health == UNHEALTHY}


async def order_of(router: RouterStack) -> list[str]:
    """The endpoints that a router would call, in this order, if only the price counted; the others are excluded."""
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hi"}], "provider": {"sort": "price"}}
    explained = await router.stub.Explain(
        router_service_pb2.ExplainRequest(request_json=json.dumps(document).encode(), seed=1)
    )
    ranked = sorted((each.rank, each.endpoint_id) for each in explained.endpoints if each.rank)
    return [endpoint_id for _, endpoint_id in ranked]


async def has_order(router: RouterStack, *endpoint_ids: str, looks: int) -> bool:
    """Whether a router would call these, in this order, at one of so many looks."""
    for _ in range(looks):
        if await order_of(router) == list(endpoint_ids):
            return True
        await asyncio.sleep(0.02)
    return False


async def until_order(router: RouterStack, *endpoint_ids: str) -> None:
    """Return when a router would call these, in this order; how long that takes is not tested."""
    if not await has_order(router, *endpoint_ids, looks=1500):
        raise AssertionError(f"not {endpoint_ids}, but {await order_of(router)}")


async def call(router: RouterStack, provider: str, times: int = 1) -> None:
    """Make calls that begin at a provider, which fails, and end with the one that serves."""
    other = "worse" if provider == "bad" else "bad"
    choice = {"order": [provider], "ignore": [other]}
    answers = await asyncio.gather(*(router.complete(provider=choice) for _ in range(times)))
    assert {answer.text for answer in answers} == {"fine"}


@asynccontextmanager
async def offers(script: Script) -> AsyncIterator[tuple[Offer, ...]]:
    """Two endpoints that follow a script, and one that is dearer and serves."""
    async with (
        ScriptedProvider(script) as bad,
        ScriptedProvider(script) as worse,
        ScriptedProvider(speak(["fine"])) as good,
    ):
        yield (
            Offer("bad", url=bad.url, prompt="0.000001"),
            Offer("worse", url=worse.url, prompt="0.0000012"),
            Offer("good", url=good.url, prompt="0.000002"),
        )


async def test_an_outage_that_one_router_meets_is_known_to_the_other(tmp_path: Path, broker: BrokerProcess) -> None:
    telemetry = RecordingTelemetry()
    async with (
        offers(refuse(500)) as three,
        router_stack(tmp_path / "a", broker.bootstrap, *three, instance="told-a") as first,
        router_stack(tmp_path / "b", broker.bootstrap, *three, instance="told-b", telemetry=telemetry) as second,
    ):
        assert await order_of(second) == [BAD, WORSE, GOOD]
        # Whoever begins to listen hears what is said from then on, so the first words may come before; and an outage that
        # was heard of ends by itself. So the first router fails again and again until the second one holds it.
        for _ in range(20):
            # So many that nobody needs a second opinion.
            await call(first, "bad", times=8)
            if await has_order(second, WORSE, GOOD, BAD, looks=40):
                break
        else:
            raise AssertionError("the second router never heard of the outage")
        assert telemetry.metric("router.observation.heard") > 0


async def test_r11_two_routers_agree_again_when_a_partition_has_healed(tmp_path: Path, broker: BrokerProcess) -> None:
    limited = refuse(429, headers={"Retry-After": "60"})
    async with (
        offers(limited) as three,
        KafkaLink(broker.bootstrap) as link,
        router_stack(tmp_path / "a", broker.bootstrap, *three, instance="parted-a") as first,
        router_stack(tmp_path / "b", link.bootstrap, *three, instance="parted-b") as second,
    ):
        # Both hear each other: the endpoint that serves is known to whoever has not called it.
        await known_good(first, second)
        await known_good(second, first)
        link.cut()
        await asyncio.gather(call(first, "bad"), call(second, "worse"))
        # Longer than it takes to tell and to hear, if there were a way.
        await asyncio.sleep(2.5)
        assert await order_of(first) == [WORSE, GOOD]
        assert await order_of(second) == [BAD, GOOD]
        link.heal()
        await asyncio.gather(until_order(first, GOOD), until_order(second, GOOD))


async def known_good(caller: RouterStack, listener: RouterStack) -> None:
    """Let one router call the endpoint that serves until the other has heard of it."""
    for _ in range(60):
        await caller.complete(provider={"only": ["good"]})
        listed = await listener.stub.ListModels(router_service_pb2.ListModelsRequest())
        healths = {each.id: each.health for model in listed.models for each in model.endpoints}
        if healths[GOOD] == endpoint_verdict_pb2.ENDPOINT_HEALTH_HEALTHY:
            return
        await asyncio.sleep(0.5)
    raise AssertionError("the other router has not heard of it")


async def test_r10_without_kafka_each_router_serves_and_learns_by_itself(tmp_path: Path) -> None:
    with kafka_broker() as broker:
        async with offers(refuse(500)) as three:
            async with router_stack(tmp_path, broker.bootstrap, *three) as router:
                broker.stop()
                await call(router, "bad", times=8)
                assert await unhealthy(router) == {BAD}
                assert (await router.complete()).text == "fine"
            # It starts without one, too.
            async with router_stack(tmp_path, broker.bootstrap, *three) as router:
                assert (await router.complete()).text == "fine"
