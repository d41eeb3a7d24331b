"""Streams whose first token is late are asked for at a second endpoint too, where that is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from contracts.money import cost
from contracts.usage import validate_usage_event
from router.adapters.usage_events import usage_event_of
from router.domain.attempts import AttemptFailure, AttemptOutcome, FailureKind
from router.domain.hedging import MOST_SAVED, SHARE, HedgeBudget
from router.domain.settlement import GenerationRecord
from router.domain.tokens import CountSource
from router.testing.catalogs import Offer
from router.testing.timed_providers import Play, Sent
from router.testing.virtual_bench import VirtualBench
from turnpike.usage.v1 import usage_event_pb2

QUICK, SLOW = Play(seconds=0.3), Play(seconds=20.0)
WARM_UP = 30
BY_PRICE: dict[str, Any] = {"provider": {"sort": "price"}}
HEDGED: dict[str, Any] = {"provider": {"sort": "price", "hedge": True}}


async def warm_bench(then: Callable[[Sent], Play], *, saved: float = 5.0) -> VirtualBench:
    """A bench whose cheaper endpoint has answered in 0.3 s so often that what is late for it is known."""
    plays: list[Callable[[Sent], Play]] = [lambda _: QUICK]
    bench = VirtualBench(
        Offer("a"), Offer("b", prompt="0.000002", completion="0.000004"), play=lambda sent: plays[0](sent)
    )
    await bench.run(bench.load(10, WARM_UP / 10, **BY_PRICE))
    bench.hedge_budget.saved = saved
    bench.providers.sent.clear()
    plays[0] = then
    return bench


def played(**plays: Play) -> Callable[[Sent], Play]:
    return lambda sent: plays[sent.endpoint_id.partition("@")[2]]


def event_of(record: GenerationRecord) -> usage_event_pb2.UsageEvent:
    event = usage_event_of(record, "router-test", "local")
    validate_usage_event(event)
    return event


async def test_a_late_first_token_is_asked_for_elsewhere_and_the_faster_one_answers() -> None:
    bench = await warm_bench(played(a=SLOW, b=QUICK))
    await bench.run(bench.request(**HEDGED))
    request = bench.requests[-1]
    assert request.is_answered
    assert request.outcome.provider == "b"
    assert request.outcome.text == "Good day"
    assert request.ended is not None
    assert request.ended - request.began < 5.0
    first, copy = bench.providers.sent
    assert (first.endpoint_id, copy.endpoint_id) == ("acme/one@a", "acme/one@b")
    assert copy.at - first.at == pytest.approx(0.3, rel=0.05)
    assert [endpoint.tag for endpoint in bench.telemetry.copies] == ["b"]


async def test_the_caller_pays_the_winner_and_the_loser_is_our_expense() -> None:
    bench = await warm_bench(played(a=SLOW, b=QUICK))
    await bench.run(bench.request(**HEDGED))
    record = bench.log.records[-1]
    assert record.answered is not None
    assert record.answered.endpoint.tag == "b"
    loser, winner = record.attempts
    assert (loser.outcome, winner.outcome) == (AttemptOutcome.CANCELLED, AttemptOutcome.SUCCESS)
    assert winner.expense is None
    assert loser.expense is not None
    assert loser.expense.tokens.source is CountSource.ESTIMATE
    assert loser.expense.tokens.counts.completion == 0
    assert loser.expense.cost == cost(loser.expense.price, loser.expense.tokens.counts).total > 0
    event = event_of(record)
    assert event.cost_nano_usd == record.answered.cost.total
    assert event.attempts[0].expense.provider_cost_nano_usd == loser.expense.cost
    assert not event.attempts[1].HasField("expense")


async def test_a_first_endpoint_that_answers_after_all_wins_over_a_slower_copy() -> None:
    bench = await warm_bench(played(a=Play(seconds=1.0), b=SLOW))
    await bench.run(bench.request(**HEDGED))
    request = bench.requests[-1]
    assert request.outcome.provider == "a"
    record = bench.log.records[-1]
    assert [(attempt.endpoint_id, attempt.expense is not None) for attempt in record.attempts] == [
        ("acme/one@b", True),
        ("acme/one@a", False),
    ]
    event_of(record)


async def test_when_one_of_two_fails_the_other_goes_on_and_when_both_do_it_is_a_failover() -> None:
    refused = Play(seconds=1.0, failure=AttemptFailure(FailureKind.SERVER_ERROR, 500))
    bench = await warm_bench(played(a=refused, b=Play(seconds=2.0)))
    await bench.run(bench.request(**HEDGED))
    assert bench.requests[-1].outcome.provider == "b"
    assert all(attempt.expense is None for attempt in bench.log.records[-1].attempts)
    bench = await warm_bench(played(a=refused, b=refused))
    await bench.run(bench.request(**HEDGED))
    refusal = bench.requests[-1].refusal
    assert refusal is not None
    assert [error["provider"] for error in refusal.previous_errors][:2] == ["A", "B"]
    event_of(bench.log.records[-1])


async def test_nobody_is_hedged_unasked_nor_without_a_stream_nor_beyond_the_budget() -> None:
    bench = await warm_bench(played(a=Play(seconds=3.0), b=QUICK), saved=0.0)
    await bench.run(bench.request(**HEDGED))
    bench.hedge_budget.saved = 5.0
    await bench.run(bench.request(**BY_PRICE))
    await bench.run(bench.request(**HEDGED, stream=False))
    assert [sent.endpoint_id for sent in bench.providers.sent] == ["acme/one@a"] * 3
    assert bench.telemetry.copies == []


async def test_an_endpoint_that_is_not_known_yet_is_not_hedged() -> None:
    bench = VirtualBench(Offer("a"), Offer("b", prompt="0.000002"), play=lambda _: Play(seconds=4.0))
    bench.hedge_budget.saved = 5.0
    await bench.run(bench.request(**HEDGED))
    assert len(bench.providers.sent) == 1


async def test_a_caller_who_leaves_during_the_race_ends_both_and_is_recorded_once() -> None:
    bench = await warm_bench(played(a=SLOW, b=SLOW))
    before = len(bench.log.records)

    async def leave() -> None:
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(bench.request(**HEDGED))
            await bench.clock.sleep(5.0)
            task.cancel()

    await bench.run(leave())
    assert len(bench.providers.sent) == 2
    (record,) = bench.log.records[before:]
    assert {attempt.outcome for attempt in record.attempts} == {AttemptOutcome.CANCELLED}
    assert sorted(attempt.endpoint_id for attempt in record.attempts) == ["acme/one@a", "acme/one@b"]
    event = event_of(record)
    assert event.cost_nano_usd == 0
    assert bench.telemetry.in_flight == 0


def test_the_budget_is_one_in_fifty_and_does_not_pile_up() -> None:
    budget = HedgeBudget(saved=0.0)
    copies = 0
    for _ in range(10_000):
        budget.began()
        copies += budget.take()
    assert copies == pytest.approx(10_000 * SHARE, abs=1)
    for _ in range(10_000):
        budget.began()
    assert budget.saved == MOST_SAVED
