"""The default way of sharing traffic out, and conversations that stay where their prompt is cached."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from contracts.ids import EndpointId
from dialects.chat import ChatRequest, decode_chat_request
from router.domain.demand import demand_of
from router.domain.health_view import EndpointState, Standing
from router.domain.ranking import Continuation
from router.domain.selection import Choice, choose
from router.domain.shares import EXPLORATION
from router.domain.stickiness import IDLE_SECONDS, MOST_CONVERSATIONS, StickyPlaces, conversation_of
from router.testing.catalogs import Offer, catalog_of
from router.testing.speeds import steady

EQUAL = catalog_of(Offer("a"), Offer("b"), Offer("c"))
CACHED = catalog_of(Offer("a", cached="0.0000001"), Offer("b", cached="0.0000001"), Offer("c", cached="0.0000001"))

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def request(**members: Any) -> ChatRequest:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}], **members}
    return decode_chat_request(json.dumps(document).encode())


def states(**by_tag: EndpointState) -> Callable[[EndpointId], EndpointState]:
    return lambda endpoint_id: by_tag.get(endpoint_id.partition("@")[2], EndpointState())


def shares(choice: Choice) -> dict[str, float]:
    return {each.endpoint.tag: each.share for each in choice.candidates}


def chosen(state_of: Callable[[EndpointId], EndpointState], **options: Any) -> Choice:
    catalog = options.pop("catalog", EQUAL)
    wanted = demand_of(options.pop("request", request()))
    return choose(catalog, wanted, frozenset("abc"), state_of, options.pop("random", Random(1)), at=NOW, **options)


def test_failures_cost_share_before_an_outage_is_declared() -> None:
    found = shares(chosen(states(a=EndpointState(success=0.9))))
    assert found["a"] / found["b"] == pytest.approx(0.81)


def test_slow_first_tokens_and_slow_writing_cost_share() -> None:
    slow = shares(chosen(states(a=EndpointState(recent_first_token=8.0))))
    assert slow["a"] / slow["b"] == pytest.approx(1 / 1.4**2)
    writing = shares(chosen(states(a=EndpointState(throughput=steady(20)), b=EndpointState(throughput=steady(80)))))
    assert writing["a"] / writing["b"] == pytest.approx(1 / 1.075**2)
    # Nothing known of c counts as good.
    assert writing["c"] == pytest.approx(writing["b"])


def test_beyond_the_competitive_edge_the_share_drops_fast() -> None:
    catalog = catalog_of(
        Offer("a"),
        Offer("b", prompt="0.000002", completion="0.000004"),
        Offer("c", prompt="0.000003", completion="0.000006"),
    )
    found = shares(chosen(states(), catalog=catalog))
    assert found["b"] / found["a"] == pytest.approx((1 / 4) * (1.5 / 2) ** 4)
    assert found["c"] / found["a"] == pytest.approx((1 / 9) * (1.5 / 3) ** 4)


@pytest.mark.parametrize(
    "bad", [EndpointState(recent_first_token=6.0), EndpointState(success=0.9, calls=50, recent_first_token=1.0)]
)
def test_an_endpoint_far_behind_is_only_explored(bad: EndpointState) -> None:
    others = EndpointState(recent_first_token=1.0, calls=50)
    found = shares(chosen(states(a=bad, b=others, c=others)))
    assert found["a"] == pytest.approx(EXPLORATION / 3)
    assert found["b"] == pytest.approx(found["c"])


def test_load_moves_away_steadily_as_an_endpoint_slows_down() -> None:
    others = EndpointState(recent_first_token=1.0)
    found = [
        shares(chosen(states(a=EndpointState(recent_first_token=seconds), b=others, c=others)))["a"]
        for seconds in (1.0, 2.0, 2.5, 3.0, 3.5, 3.9, 4.0)
    ]
    assert found == sorted(found, reverse=True)
    assert found[1] > 0.3
    assert found[3] == pytest.approx(0.18, abs=0.03)
    assert found[-1] == pytest.approx(EXPLORATION / 3)


def test_a_much_dearer_endpoint_is_no_rival_however_fast() -> None:
    catalog = catalog_of(Offer("a"), Offer("b"), Offer("c", prompt="0.000005", completion="0.00001"))
    fast = EndpointState(recent_first_token=0.1, calls=50)
    usual = EndpointState(recent_first_token=2.0, success=0.94, calls=50)
    found = shares(chosen(states(a=usual, b=usual, c=fast), catalog=catalog))
    assert found["a"] == pytest.approx(found["b"])
    assert found["c"] < 0.01
    # A dear one that is far behind a cheap one is.
    slow = EndpointState(recent_first_token=9.0)
    catalog = catalog_of(Offer("a"), Offer("c", prompt="0.0000014", completion="0.0000028"))
    steady_one = EndpointState(recent_first_token=2.0)
    assert shares(chosen(states(a=steady_one, c=slow), catalog=catalog))["c"] == pytest.approx(EXPLORATION / 2)


def test_when_all_are_behind_in_their_own_way_all_compete() -> None:
    slow = EndpointState(recent_first_token=9.0, calls=50)
    failing = EndpointState(recent_first_token=1.0, success=0.8, calls=50)
    found = shares(chosen(states(a=slow, b=failing, c=failing)))
    assert min(found.values()) > 0.1


def test_a_warm_cache_makes_an_endpoint_cheaper() -> None:
    long = request(messages=[{"role": "user", "content": "word " * 4000}], max_tokens=1)
    state_of = states(a=EndpointState(cache_hit_rate=0.9))
    found = shares(chosen(state_of, catalog=CACHED, request=long))
    assert found["a"] > 5 * found["b"]


def test_price2_looks_at_the_price_only() -> None:
    state_of = states(a=EndpointState(success=0.5, first_token=steady(30.0)))
    assert list(shares(chosen(state_of, strategy="price2")).values()) == [pytest.approx(1 / 3)] * 3
    by_caller = chosen(state_of, request=request(provider={"strategy": "price2"}))
    assert by_caller.strategy == "price2"


def test_an_uncompetitive_endpoint_keeps_an_exploration_share() -> None:
    catalog = catalog_of(Offer("a"), Offer("b", prompt="0.001", completion="0.002"))
    found = shares(chosen(states(), catalog=catalog))
    assert found["b"] == pytest.approx(EXPLORATION / 2)
    assert sum(found.values()) == pytest.approx(1.0)


def turns(number: int) -> ChatRequest:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"Question {number}"}]
    return request(messages=messages)


def test_r9_twenty_turns_stay_with_one_endpoint_at_every_router() -> None:
    hits = total = 0
    for number in range(50):
        routers = [StickyPlaces(), StickyPlaces()]
        at = []
        messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": f"Question {number}"}]
        for turn in range(20):
            asked = request(messages=messages)
            conversation = conversation_of(asked, "org")
            places = routers[turn % 2]
            now = float(turn)
            continuation = Continuation(conversation.key, places.find(conversation, now))
            jitter = EndpointState(success=0.99 + 0.0005 * (turn % 20))
            choice = chosen(
                states(a=jitter), catalog=CACHED, request=asked, continuation=continuation, random=Random(turn)
            )
            endpoint = choice.candidates[0].endpoint
            places.answered(conversation, endpoint.id, now, cached_tokens=100 if turn else 0)
            at.append(endpoint.tag)
            messages = [*messages, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": f"{turn}?"}]
        hits += sum(here == there for here, there in zip(at[1:], at, strict=False))
        total += len(at) - 1
    assert hits / total >= 0.95


def test_r9_nobody_stays_where_the_cache_is_not_cheaper() -> None:
    asked = turns(1)
    continuation = Continuation(conversation_of(asked, "org").key, EndpointId("acme/one@a"))
    random = Random(5)
    firsts = Counter(
        chosen(states(), request=asked, continuation=continuation, random=random).candidates[0].endpoint.tag
        for _ in range(3000)
    )
    assert all(800 < firsts[tag] < 1200 for tag in "abc"), firsts


def test_conversations_are_spread_by_share() -> None:
    firsts: Counter[str] = Counter()
    for number in range(3000):
        asked = turns(number)
        continuation = Continuation(conversation_of(asked, "org").key)
        firsts[
            chosen(states(), catalog=CACHED, request=asked, continuation=continuation).candidates[0].endpoint.tag
        ] += 1
    assert all(880 < firsts[tag] < 1120 for tag in "abc"), firsts


@pytest.mark.parametrize(
    "trouble",
    [
        EndpointState(standing=Standing.SUSPECT, badness=3),
        EndpointState(standing=Standing.COOLING),
        EndpointState(in_flight=200),
        EndpointState(recent_first_token=30.0),
        EndpointState(success=0.9, calls=50),
    ],
)
def test_a_conversation_leaves_an_endpoint_in_trouble(trouble: EndpointState) -> None:
    asked = turns(1)
    last = (
        chosen(states(), catalog=CACHED, request=asked, continuation=Continuation(conversation_of(asked, "org").key))
        .candidates[1]
        .endpoint
    )
    continuation = Continuation(conversation_of(asked, "org").key, last.id)
    stays = chosen(states(), catalog=CACHED, request=asked, continuation=continuation)
    assert stays.candidates[0].endpoint is last
    others = {tag: EndpointState(recent_first_token=0.5, calls=50) for tag in "abc"}
    leaves = chosen(states(**{**others, last.tag: trouble}), catalog=CACHED, request=asked, continuation=continuation)
    assert leaves.candidates[0].endpoint is not last


def test_conversations_are_told_apart_and_recognised() -> None:
    base = conversation_of(turns(1), "org")
    assert conversation_of(turns(1), "org") == base
    assert conversation_of(turns(2), "org").key != base.key
    assert conversation_of(turns(1), "other").key != base.key
    named = conversation_of(request(session_id="s"), "org")
    assert named.named
    again = conversation_of(request(session_id="s", messages=[{"role": "user", "content": "else"}]), "org")
    assert again.key == named.key
    assert conversation_of(request(prompt_cache_key="s"), "org").key != named.key


def test_a_conversation_stays_after_a_cache_hit_or_by_name_for_ten_idle_minutes() -> None:
    places = StickyPlaces()
    plain, named = conversation_of(turns(1), "org"), conversation_of(request(session_id="s"), "org")
    places.answered(plain, EndpointId("e"), 0.0, cached_tokens=0)
    assert places.find(plain, 1.0) is None
    places.answered(plain, EndpointId("e"), 1.0, cached_tokens=5)
    places.answered(named, EndpointId("f"), 1.0, cached_tokens=0)
    assert places.find(plain, IDLE_SECONDS) == "e"
    assert places.find(named, IDLE_SECONDS) == "f"
    places.answered(plain, EndpointId("e"), IDLE_SECONDS, cached_tokens=0)
    assert places.find(plain, IDLE_SECONDS * 1.5) == "e"
    assert places.find(named, IDLE_SECONDS * 1.5) is None


def test_memory_of_conversations_is_bounded() -> None:
    places = StickyPlaces()
    for number in range(MOST_CONVERSATIONS + 10):
        named = conversation_of(request(session_id=str(number)), "org")
        places.answered(named, EndpointId("e"), 0.0, cached_tokens=0)
    assert len(places._places) == MOST_CONVERSATIONS
