"""Generations, records and the catalogue over doubles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any, Protocol

import pytest
from opentelemetry.metrics import NoOpMeter

from contracts.errors import ErrorReason
from dialects.chat import ChatRequest, decode_chat_request
from edge.admission import Admission
from edge.catalog import CatalogMirror, catalog_from_proto
from edge.domain.errors import (
    BrokenAnswerError,
    DependencyError,
    FrozenOrgError,
    InsufficientCreditError,
    RefusedError,
)
from edge.domain.principal import Principal
from edge.domain.prompt_size import estimate_prompt_tokens
from edge.domain.slugs import without_routing_suffixes, without_variants
from edge.generations import Application, Generation, Generations, failure_of
from edge.late_costs import LateCosts
from edge.request_rules import RequestRules
from edge.testing.accounts import USD, MemoryAccounts, known_key, known_org
from edge.testing.doubles import MemoryGenerationRecords, MemoryKeyDirectory
from edge.testing.leases import MemoryLeases
from edge.testing.limits import lent_limits, window_wallets
from edge.testing.router import Script, ScriptedRouter, break_off, broken, completed, model, refuse, speak
from edge.wallets import Wallets
from servicekit.testing import ManualClock, running
from turnpike.router.v1 import completion_pb2
from turnpike.usage.v1 import usage_event_pb2


def request(**members: object) -> ChatRequest:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Say something"}], **members}
    return decode_chat_request(json.dumps(document).encode())


class Bench:
    """Generations over a scripted router and a lender of credit."""

    def __init__(self, script: Script | None = None, balance: int = 10 * USD, *, active: bool = True) -> None:
        accounts = MemoryAccounts()
        self.org = accounts.add_org(balance, active=active)
        _, key = accounts.add_key(self.org.org_id)
        self.balance = balance
        self.leases = MemoryLeases(accounts)
        self.principal = Principal(known_key(key), known_org(self.org))
        self.router = ScriptedRouter(script)
        self.clock = ManualClock()
        self.wallets = Wallets(
            self.leases,
            self.clock,
            NoOpMeter("test"),
            Random(1),
            cover=timedelta(minutes=15),
            patience=timedelta(seconds=3),
        )
        self.records = MemoryGenerationRecords()
        self.late_costs = LateCosts(self.records, self.clock)
        self.mirror = CatalogMirror(self.router, self.clock, Random(1), timedelta(seconds=2))
        self.generations = Generations(
            self.router,
            self.mirror,
            Admission(self.wallets, MemoryKeyDirectory()),
            RequestRules(
                MemoryKeyDirectory(), lent_limits(window_wallets(self.leases, self.clock, Random(1))), self.clock
            ),
            self.late_costs,
            clock=self.clock,
            random=Random(1),
            default_output_tokens=1_000,
        )

    async def spent(self) -> int:
        """What the edge says that was spent, once it has given back everything else."""
        await self.late_costs.stop(timedelta(seconds=1))
        await self.wallets.stop(timedelta(seconds=1))
        assert self.leases.held(self.org.org_id) == 0
        return self.balance - self.org.balance_nano_usd

    async def read_all(self, sent: ChatRequest) -> Generation:
        async with self.generations.begin(self.principal, sent, Application()) as generation:
            while await generation.read() is not None:
                pass
        return generation


class OpenBench(Protocol):
    """Makes one whose wallets run until the end of the test."""

    async def __call__(self, script: Script | None = None, balance: int = 10 * USD, *, active: bool = True) -> Bench:
        """Make it."""
        ...


@pytest.fixture
async def open_bench() -> AsyncIterator[OpenBench]:
    async with AsyncExitStack() as stack:

        async def make(script: Script | None = None, balance: int = 10 * USD, *, active: bool = True) -> Bench:
            bench = Bench(script, balance, active=active)
            await stack.enter_async_context(running(bench.late_costs, bench.wallets))
            return bench

        yield make


async def test_a_request_whose_rules_were_applied_is_not_looked_at_again(open_bench: OpenBench) -> None:
    bench = await open_bench()
    ruled = replace(await bench.generations.ruled(bench.principal, request()), request=request(max_tokens=5))
    async with bench.generations.begin(bench.principal, request(), Application(), ruled=ruled) as generation:
        assert generation.request is ruled.request
    assert json.loads(bench.router.requests[0].request_json)["max_tokens"] == 5


async def test_the_hold_covers_the_dearest_way_to_end_and_the_cost_replaces_it(open_bench: OpenBench) -> None:
    bench = await open_bench()
    sent = request(max_tokens=100)
    async with bench.generations.begin(bench.principal, sent, Application()) as generation:
        caller = bench.router.requests[0].caller
        assert caller.hold_nano_usd == estimate_prompt_tokens(sent.body) * 1_000 + 100 * 2_000
        assert caller.lease_id in bench.leases.leases
        assert caller.max_output_tokens == 0
        assert bench.wallets.in_flight() == 1
        while (message := await generation.read()) is not None:
            last = message
        # Already when the end of the answer can be passed on.
        assert bench.wallets.in_flight() == 0
    assert bench.router.calls[0].finished
    assert await bench.spent() == last.outcome.cost_nano_usd == 13_000


async def test_without_a_limit_the_longest_answer_is_set_aside_where_that_is_little(open_bench: OpenBench) -> None:
    bench = await open_bench()
    sent = request()
    await bench.read_all(sent)
    caller = bench.router.requests[0].caller
    assert caller.hold_nano_usd == estimate_prompt_tokens(sent.body) * 1_000 + 2_048 * 2_000
    assert caller.max_output_tokens == 0


async def test_otherwise_the_default_is_set_aside_and_the_router_is_told(open_bench: OpenBench) -> None:
    bench = await open_bench(balance=50 * 2_000_000)
    sent = request()
    await bench.read_all(sent)
    caller = bench.router.requests[0].caller
    assert caller.hold_nano_usd == estimate_prompt_tokens(sent.body) * 1_000 + 2_000_000
    assert caller.max_output_tokens == 1_000


async def test_with_little_left_the_answer_is_as_long_as_is_affordable(open_bench: OpenBench) -> None:
    prompt = estimate_prompt_tokens(request().body) * 1_000
    bench = await open_bench(balance=prompt + 77 * 2_000 + 1)
    await in_time(bench, bench.read_all(request()))
    caller = bench.router.requests[0].caller
    assert (caller.hold_nano_usd, caller.max_output_tokens) == (prompt + 77 * 2_000, 77)
    assert await bench.spent() == 13_000


async def test_a_limit_of_the_caller_is_not_made_shorter_and_the_refusal_says_what_is_affordable(
    open_bench: OpenBench,
) -> None:
    prompt = estimate_prompt_tokens(request(max_tokens=100).body) * 1_000
    bench = await open_bench(balance=prompt + 77 * 2_000 + 1)
    with pytest.raises(InsufficientCreditError, match="You requested up to 100 tokens, but can only afford 77"):
        await in_time(bench, bench.read_all(request(max_tokens=100)))
    assert bench.router.requests == []
    assert await bench.spent() == 0


async def test_every_model_that_may_answer_counts(open_bench: OpenBench) -> None:
    bench = await open_bench()
    dear = model("acme/dear", completion_pico_usd=9_000_000, reasoning_pico_usd=9_000_000)
    bench.router.models.append(dear)
    await bench.read_all(request(models=["acme/dear:nitro", "acme/none"], max_tokens=10))
    assert bench.router.requests[0].caller.hold_nano_usd >= 90_000


async def test_a_refusal_gives_the_hold_back(open_bench: OpenBench) -> None:
    bench = await open_bench(refuse(RefusedError(ErrorReason.NO_ENDPOINTS, "none")))
    with pytest.raises(RefusedError):
        await bench.read_all(request())
    assert bench.router.calls[0].cancelled
    assert await bench.spent() == 0


@pytest.mark.parametrize("error", [None, BrokenAnswerError("died")])
async def test_a_cut_off_answer_counts_as_its_hold(open_bench: OpenBench, error: BrokenAnswerError | None) -> None:
    bench = await open_bench(break_off(error, "x"))
    with pytest.raises(BrokenAnswerError):
        await bench.read_all(request(max_tokens=10))
    assert bench.router.calls[0].cancelled
    assert await bench.spent() == bench.router.requests[0].caller.hold_nano_usd


async def test_a_caller_that_goes_away_counts_as_its_hold(open_bench: OpenBench) -> None:
    bench = await open_bench()
    async with bench.generations.begin(bench.principal, request(), Application()) as generation:
        await generation.read()
    assert bench.router.calls[0].cancelled
    assert await bench.spent() == bench.router.requests[0].caller.hold_nano_usd


async def test_what_a_caller_that_went_away_owes_is_found_out(open_bench: OpenBench) -> None:
    bench = await open_bench()
    async with bench.generations.begin(bench.principal, request(), Application()) as generation:
        await generation.read()
    assert bench.wallets.in_flight() == 1
    await bench.clock.advance(1)
    assert bench.wallets.in_flight() == 1
    name, org_id = generation.generation_id, bench.org.org_id
    bench.records.events[name] = usage_event_pb2.UsageEvent(generation_id=name, org_id=org_id, cost_nano_usd=777)
    bench.records.down = True
    await bench.clock.advance(2)
    bench.records.down = False
    assert bench.wallets.in_flight() == 1
    await bench.clock.advance(5)
    assert bench.wallets.in_flight() == 0
    assert await bench.spent() == 777


async def test_what_is_never_found_out_counts_as_the_hold(open_bench: OpenBench) -> None:
    bench = await open_bench()
    async with bench.generations.begin(bench.principal, request(), Application()) as generation:
        await generation.read()
    await bench.clock.advance(120)
    assert bench.wallets.in_flight() == 0
    assert bench.records.asked == 6
    assert await bench.spent() == bench.router.requests[0].caller.hold_nano_usd


async def test_a_failed_answer_costs_what_the_router_says(open_bench: OpenBench) -> None:
    bench = await open_bench(speak("x", outcome=broken()))
    await bench.read_all(request())
    assert await bench.spent() == 0


async def test_a_request_beyond_the_balance_reaches_no_router(open_bench: OpenBench) -> None:
    bench = await open_bench(balance=5)
    with pytest.raises(InsufficientCreditError):
        await in_time(bench, bench.read_all(request()))
    assert bench.router.requests == []


async def test_a_suspended_organisation_reaches_no_router(open_bench: OpenBench) -> None:
    bench = await open_bench(active=False)
    with pytest.raises(FrozenOrgError):
        await bench.read_all(request())
    assert bench.router.requests == []
    assert bench.leases.calls == []


async def test_without_a_catalogue_nothing_is_promised(open_bench: OpenBench) -> None:
    bench = await open_bench()
    bench.router.down = True
    with pytest.raises(DependencyError):
        await bench.read_all(request())
    bench.router.down = False
    await bench.read_all(request())


async def in_time(bench: Bench, work: Coroutine[Any, Any, object]) -> None:
    """Let time pass until the work is done."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_raised(work))
        for _ in range(200):
            if task.done():
                break
            await bench.clock.advance(0.05)
    error = task.result()
    if error is not None:
        raise error


async def _raised(work: Coroutine[Any, Any, object]) -> Exception | None:
    try:
        await work
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (completed(), None),
        (broken(504, "timeout"), 504),
        (completion_pb2.Outcome(status=usage_event_pb2.GENERATION_STATUS_CANCELLED), 502),
        (completion_pb2.Outcome(), 502),
        (completion_pb2.Outcome(error=completion_pb2.StreamError()), 502),
    ],
)
def test_only_a_completed_outcome_without_an_error_is_a_success(
    outcome: completion_pb2.Outcome, status: int | None
) -> None:
    failure = failure_of(outcome)
    assert (failure and failure.status) == status


class TestCatalog:
    """The mirror of the router's catalogue."""

    def test_only_what_can_be_served_is_in_it(self) -> None:
        catalog = catalog_from_proto("1", [model(), model("acme/two", routable=False)])
        assert [row.id for row in catalog.models] == ["acme/one"]
        assert catalog.find("acme/two") is None
        assert catalog.provider_names["acme/two@acme"] == "Acme"
        assert catalog.find("acme/one:nitro:floor") is catalog.find("acme/one-20260101") is catalog.models[0]
        assert catalog.find("acme/one:free") is None
        assert len(catalog.offers_for(["acme/one", "acme/none", "acme/one-20260101"])) == 2

    async def test_it_follows_the_router_and_outlives_it(self) -> None:
        bench = Bench()
        async with running(bench.mirror):
            await bench.clock.wait_for_sleepers()
            first = await bench.mirror.require()
            assert first.version == "1"
            await bench.clock.advance(3)
            assert bench.mirror.catalog is first
            bench.router.down = True
            await bench.clock.advance(3)
            assert bench.mirror.catalog is first
            bench.router.down, bench.router.version = False, "2"
            await bench.clock.advance(3)
            assert (await bench.mirror.require()).version == "2"


def test_only_routing_suffixes_are_ignored() -> None:
    assert without_routing_suffixes("a/b:nitro:floor") == "a/b"
    assert without_routing_suffixes("a/b:free:online") == "a/b:free"
    assert without_variants("a/b:free:nitro") == "a/b"


def test_an_estimate_counts_every_part_of_a_prompt() -> None:
    plain = estimate_prompt_tokens(request().body)
    assert plain == 4 + 4
    picture = {"type": "image_url", "image_url": {"url": "https://x.example/y.png"}}
    parts = [{"type": "text", "text": "x" * 400}, picture, {"type": "file", "file": {"file_data": "x" * 400_000}}]
    assert (
        estimate_prompt_tokens(request(messages=[{"role": "user", "content": parts}]).body) == 4 + 300 + 1_600 + 10_000
    )
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    assert estimate_prompt_tokens(request(tools=[tool]).body) > plain
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    assert estimate_prompt_tokens(request(response_format=schema).body) > plain


def test_credit_is_set_aside_by_the_dearest_price_that_a_request_can_have() -> None:
    listed = model()
    listed.endpoints[0].dearest_price.CopyFrom(listed.endpoints[0].price)
    listed.endpoints[0].dearest_price.prompt_pico_usd *= 2
    (offer,) = catalog_from_proto("1", [listed]).offers["acme/one"]
    assert offer.price.prompt == 2 * listed.endpoints[0].price.prompt_pico_usd
    (plain,) = catalog_from_proto("1", [model()]).offers["acme/one"]
    assert plain.price.prompt == listed.endpoints[0].price.prompt_pico_usd
