"""What the router promises of retries, waits, deadlines and conversations, in virtual time: R1 to R5, R7, R9.

R6 needs sockets and R10, R11 need Kafka: they are in `tests/integration`. R12 is in `test_r_statements_replay.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from dialects.answers import Usage
from dialects.chat import decode_chat_request
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.demand import demand_of
from router.domain.health_view import Standing
from router.domain.retry_budget import LEAST, SHARE
from router.testing.catalogs import Offer
from router.testing.timed_providers import Play, Sent
from router.testing.virtual_bench import VirtualBench, endpoint_id

BROKEN = Play(seconds=0.2, failure=AttemptFailure(FailureKind.SERVER_ERROR, 500))
GOOD = Play(seconds=0.3)
RATE = 50.0
DEMAND = demand_of(
    decode_chat_request(
        json.dumps({"model": "acme/one", "messages": [{"role": "user", "content": "Say something"}]}).encode()
    )
)


def played_by(**plays: Play | Callable[[float], Play]) -> Callable[[Sent], Play]:
    """Play by provider, where a play may change with the time."""

    def play(sent: Sent) -> Play:
        found = plays[sent.endpoint_id.partition("@")[2]]
        return found if isinstance(found, Play) else found(sent.at)

    return play


async def test_r1_an_endpoint_that_fails_everything_loses_all_traffic_within_6_seconds_and_no_caller_notices() -> None:
    # Healthy for 20 s, so that it has its share when it breaks; the other one costs the same.
    bench = VirtualBench(
        Offer("a"), Offer("b"), play=played_by(a=lambda at: GOOD if at < 20 else BROKEN, b=GOOD)
    )  # fmt: skip
    await bench.run(bench.load(RATE, 40))
    assert len(bench.requests) == 2_000
    assert all(request.is_answered for request in bench.requests)
    assert {request.outcome.text for request in bench.requests} == {"Good day"}
    assert len(bench.calls_of("a", 0, 20)) > 300
    # What was begun before the outage was seen, and from then on one call at a time that tries whether it is over.
    assert len(bench.calls_of("a", 20, 26)) <= 30
    assert len(bench.calls_of("a", 26)) <= 4


@pytest.mark.parametrize("seed", range(3))
async def test_r2_a_healed_endpoint_is_back_at_its_share_within_a_minute_and_begins_with_a_tenth(seed: int) -> None:
    heals = 22.0
    bench = VirtualBench(
        Offer("a"),
        Offer("b"),
        play=played_by(a=lambda at: BROKEN if 20 <= at < heals else GOOD, b=GOOD),
        seed=seed,
    )
    shares: dict[float, float] = {}

    async def watch() -> None:
        while bench.now < heals + 61:
            await bench.clock.sleep(0.1)
            (share,) = (
                each.share
                for each in bench.completions.choose(DEMAND, Random(0)).candidates
                if each.endpoint.id == endpoint_id("a")
            )
            shares[bench.now] = share

    await bench.run(bench.load(20, heals + 62), watch())
    assert all(request.is_answered for request in bench.requests)
    # Three trials end the outage; then it starts slowly.
    recovered = min(at for at, share in shares.items() if at > heals and 0.0 < share <= 0.1)
    first_second = [share for at, share in shares.items() if recovered <= at < recovered + 1]
    assert len(first_second) >= 9
    assert max(first_second) <= 0.1
    assert shares[max(at for at in shares if at <= heals + 60)] > 0.9 * 0.5


async def test_r3_with_every_endpoint_down_the_least_bad_is_tried_and_the_first_to_heal_is_found() -> None:
    bench = VirtualBench(
        Offer("a"),
        Offer("b"),
        play=played_by(a=BROKEN, b=lambda at: GOOD if at < 5 or at >= 30 else BROKEN),
    )
    firsts = []

    async def watch() -> None:
        while bench.now < 29:
            await bench.clock.sleep(0.1)
            if bench.now > 10:
                firsts.append(bench.completions.choose(DEMAND, Random(0)).candidates)

    await bench.run(bench.load(10, 29), watch())
    down = [each for each in firsts if all(candidate.state.standing is Standing.SUSPECT for candidate in each)]
    assert len(down) > 100
    for candidates in down:
        assert candidates[0].state.badness == min(candidate.state.badness for candidate in candidates)
    # Nobody is sent away untried.
    late = [request for request in bench.requests if request.began >= 10]
    assert all(request.refusal is not None for request in late)
    assert len([each for each in bench.telemetry.begun if each.number == 1 and each.at >= 10]) == len(late)
    await bench.run(bench.load(10, 20))
    assert all(request.is_answered for request in bench.requests if request.began >= 31)


@pytest.mark.parametrize("seconds", [0.2, 4.0], ids=["at once", "slowly"])
async def test_r4_retries_stay_within_a_fifth_of_what_is_in_flight_when_everything_fails(seconds: float) -> None:
    broken = Play(seconds=seconds, failure=AttemptFailure(FailureKind.SERVER_ERROR, 500))
    bench = VirtualBench(*[Offer(slug) for slug in "abcd"], play=lambda sent: broken)
    await bench.run(bench.load(RATE, 60))
    begun = bench.telemetry.begun
    assert len(bench.requests) == 3_000
    assert any(each.is_retry for each in begun), "some are made, or nothing is shown"
    # Nothing has ever shown that it serves, so whatever follows a first attempt is a retry.
    assert all(each.is_retry for each in begun if each.number > 1)
    for each in begun:
        assert each.retries_in_flight <= SHARE * each.in_flight + LEAST
    assert len(begun) <= 1.2 * len(bench.requests)


async def test_r4_an_outage_of_everything_that_was_well_is_not_amplified() -> None:
    bench = VirtualBench(*[Offer(slug) for slug in "abcd"], play=lambda sent: GOOD if sent.at < 30 else BROKEN)
    await bench.run(bench.load(RATE, 90))
    during = [each for each in bench.telemetry.begun if each.at >= 30]
    requests = [request for request in bench.requests if request.began >= 30]
    assert len(requests) == 3_000
    assert all(request.refusal is not None for request in requests)
    # A failover to an endpoint that has just served moves load and is no retry; its first failure ends that.
    for each in during:
        assert each.retries_in_flight <= SHARE * each.in_flight + LEAST
    assert len(during) <= 1.2 * len(requests)
    # Once the bucket is used, the only attempt of a request is the first, and nobody waits for a second.
    later = [request for request in requests if request.began >= 40]
    assert len([each for each in during if each.number > 1 and each.at >= 40]) == 0
    assert all(request.ended == pytest.approx(request.began + BROKEN.seconds) for request in later)


async def test_r4_the_failover_of_everybody_to_one_that_serves_is_not_held_up() -> None:
    bench = VirtualBench(
        Offer("a"), Offer("b", prompt="0.00001"), play=played_by(a=BROKEN, b=GOOD)
    )  # fmt: skip

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(500):
                tasks.create_task(bench.request())

    await bench.run(all_at_once())
    assert len(bench.requests) == 500
    assert all(request.is_answered for request in bench.requests)
    assert len(bench.providers.sent) <= 1_000


async def test_r5_a_key_that_says_37_seconds_gets_no_call_for_so_long_and_the_other_key_is_used() -> None:
    limited = Play(seconds=0.1, failure=AttemptFailure(FailureKind.RATE_LIMITED, 429, retry_after=37.0))

    def play(sent: Sent) -> Play:
        return limited if sent.key == 0 and 5 <= sent.at < 20 else GOOD

    bench = VirtualBench(Offer("a"), play=play, keys=2)
    await bench.run(bench.load(10, 80))
    assert all(request.is_answered for request in bench.requests)
    first = [sent for sent in bench.providers.sent if sent.key == 0]
    refused = [sent for sent in first if 5 <= sent.at < 20]
    assert refused
    # Those that were under way when it said so are all in the first tenth of a second.
    said_at = refused[0].at + 0.1
    assert refused[-1].at <= said_at
    assert not [sent for sent in first if said_at < sent.at < said_at + 37.0]
    assert [sent for sent in first if said_at + 37.0 <= sent.at]
    other = [sent for sent in bench.providers.sent if sent.key == 1 and said_at < sent.at < said_at + 37.0]
    assert len(other) >= 360


async def test_r5_an_endpoint_whose_only_key_must_wait_is_left_alone_and_others_serve() -> None:
    limited = Play(seconds=0.1, failure=AttemptFailure(FailureKind.RATE_LIMITED, 429, retry_after=37.0))
    bench = VirtualBench(
        Offer("a"), Offer("b", prompt="0.00001"), play=played_by(a=lambda at: limited if at < 5 else GOOD, b=GOOD)
    )
    await bench.run(bench.load(10, 60))
    assert all(request.is_answered for request in bench.requests)
    said_at = bench.calls_of("a")[0].at + 0.1
    assert not bench.calls_of("a", said_at + 0.01, said_at + 37.0)
    assert bench.calls_of("a", said_at + 37.0)


@pytest.mark.parametrize("seed", range(10))
async def test_r7_no_attempt_starts_after_the_deadline(seed: int) -> None:
    random = Random(seed)
    kinds = [FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.CONNECT, FailureKind.TIMEOUT]

    def play(sent: Sent) -> Play:
        return Play(seconds=random.uniform(0.0, 1.5), failure=AttemptFailure(random.choice(kinds)))

    bench = VirtualBench(*[Offer(slug) for slug in "abc"], play=play, seed=seed)

    async def load() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(300):
                await bench.clock.sleep(random.expovariate(100))
                tasks.create_task(bench.request(seconds=random.uniform(0.05, 3.0)))

    await bench.run(load())
    assert all(sent.within > 0 for sent in bench.providers.sent), "an attempt has started that had no time left"
    for request in bench.requests:
        assert request.refusal is not None
        assert request.ended is not None
        assert request.ended <= request.deadline + 0.01
    assert any(each.number > 1 for each in bench.telemetry.begun)


async def test_r7_a_place_in_the_retry_budget_that_comes_free_too_late_is_not_taken() -> None:
    """Three calls hold all places until the very moment at which the fourth caller gives up."""

    def play(sent: Sent) -> Play:
        first = len(bench.providers.sent) <= 4
        return BROKEN if first else Play(seconds=1.0, failure=AttemptFailure(FailureKind.TIMEOUT))

    bench = VirtualBench(Offer("a"), Offer("b"), play=play)

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(bench.request(provider={"sort": "price"}))
            tasks.create_task(bench.request(seconds=1.2, provider={"sort": "price"}))

    await bench.run(scene())
    (hurried,) = (request for request in bench.requests if request.deadline == 1.2)
    assert hurried.refusal is not None
    assert all(sent.within > 0 and sent.at < 1.2 for sent in bench.providers.sent[:7])
    assert not [sent for sent in bench.providers.sent if sent.within <= 0]


async def test_r6_many_that_fail_together_follow_the_first_that_is_served_elsewhere_however_slow_that_is() -> None:
    bench = VirtualBench(Offer("a"), Offer("b"), play=played_by(a=BROKEN, b=Play(seconds=6.0)))

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(bench.request(provider={"order": ["a", "b"]}))

    await bench.run(scene())
    assert not [request for request in bench.requests if request.refusal is not None]


def chat(number: int, turns: int) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"Question {number}"}]
    for turn in range(1, turns):
        messages += [{"role": "assistant", "content": f"Answer {turn}"}, {"role": "user", "content": f"More {turn}"}]
    return messages


async def have_chats(cached: str) -> tuple[float, VirtualBench]:
    """Have 40 chats of 20 turns.

    Returns:
        The share of turns, the first of each chat left out, that went where the turn before went; and the router.
    """
    offers = [
        Offer(slug, prompt=f"0.00000{price}", cached=cached) for slug, price in zip("abcde", "11112", strict=True)
    ]
    bench = VirtualBench(*offers, play=lambda sent: Play(seconds=0.1, usage=Usage(100, 3, cached=80)))
    places: dict[int, list[str]] = {}

    async def talk(number: int) -> None:
        for turn in range(1, 21):
            request = await bench.request(messages=chat(number, turn))
            places.setdefault(number, []).append(request.outcome.provider)
            await bench.clock.sleep(5.0)

    await bench.run(*[talk(number) for number in range(40)])
    turns = [(before, after) for each in places.values() for before, after in pairwise(each)]
    assert len(turns) == 40 * 19
    assert len({each[0] for each in places.values()}) >= 4, "chats are spread over endpoints"
    return sum(before == after for before, after in turns) / len(turns), bench


async def test_r9_a_chat_of_20_turns_stays_where_its_prompt_is_cached() -> None:
    hits, bench = await have_chats(cached="0.0000001")
    assert hits >= 0.95
    assert len(bench.places._places) == 40


async def test_r9_a_chat_stays_nowhere_where_the_cache_is_not_cheaper() -> None:
    hits, bench = await have_chats(cached="")
    assert not bench.places._places
    # By chance alone: four of the five endpoints are alike.
    assert hits <= 0.4
