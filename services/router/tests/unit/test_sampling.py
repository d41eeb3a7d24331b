"""Models with very many endpoints: a request looks at a sample, and misses nothing that it needs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from contracts.ids import EndpointId
from dialects.chat import decode_chat_request
from router.domain.demand import Demand, demand_of
from router.domain.eligibility import ExcludedBy
from router.domain.health_view import EndpointState, Standing
from router.domain.ranking import Continuation
from router.domain.sampling import ENOUGH, MANY
from router.domain.selection import Choice, choose
from router.testing.catalogs import Offer, catalog_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
COUNT = 200
SLUGS = [f"p{number}" for number in range(COUNT)]
LARGE = catalog_of(*(Offer(slug) for slug in SLUGS))
SUSPECT = EndpointState(standing=Standing.SUSPECT, badness=3)


def demand(**members: Any) -> Demand:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}], **members}
    return demand_of(decode_chat_request(json.dumps(document).encode()))


def run(wanted: Demand, *, seed: int = 1, good: set[str] | None = None, **options: Any) -> Choice:
    asked: Counter[str] = options.pop("asked", Counter())

    def state_of(endpoint_id: EndpointId) -> EndpointState:
        slug = endpoint_id.partition("@")[2]
        asked[slug] += 1
        return EndpointState() if good is None or slug in good else SUSPECT

    catalog = options.pop("catalog", LARGE)
    return choose(catalog, wanted, frozenset(SLUGS), state_of, Random(seed), at=NOW, **options)


def tags(choice: Choice) -> list[str]:
    return [candidate.endpoint.tag for candidate in choice.candidates]


def test_enough_are_looked_at_and_each_only_once() -> None:
    asked: Counter[str] = Counter()
    choice = run(demand(), asked=asked)
    assert len(choice.candidates) == len(asked) == ENOUGH
    assert set(asked.values()) == {1}


def test_a_model_with_few_endpoints_has_all_of_them_weighed() -> None:
    catalog = catalog_of(*(Offer(slug) for slug in SLUGS[:MANY]))
    assert len(run(demand(), catalog=catalog).candidates) == MANY


def test_every_endpoint_gets_its_turn() -> None:
    firsts = Counter(tags(run(demand(), seed=seed))[0] for seed in range(4_000))
    # 20 of each are expected; the odds of less than 4 or more than 45 anywhere are below one in ten thousand.
    assert set(firsts) == set(SLUGS)
    assert max(firsts.values()) <= 45
    assert min(firsts.values()) >= 4


def test_r12_the_same_seed_gives_the_same_choice() -> None:
    assert tags(run(demand(), seed=5)) == tags(run(demand(), seed=5)) != tags(run(demand(), seed=6))


def test_those_that_serve_are_found_among_many_that_do_not() -> None:
    choice = run(demand(), good={"p7", "p150", "p199"})
    assert set(tags(choice)[:3]) == {"p7", "p150", "p199"}
    assert len(choice.candidates) == COUNT


def test_a_request_that_nothing_can_serve_is_told_of_every_endpoint() -> None:
    choice = run(demand(max_tokens=9_000))
    assert not choice.candidates
    assert Counter(exclusion.reason for exclusion in choice.excluded) == {ExcludedBy.CONTEXT_LENGTH: COUNT}


def test_the_only_provider_that_is_allowed_is_found() -> None:
    choice = run(demand(provider={"only": ["p123"]}))
    assert tags(choice) == ["p123"]
    assert {exclusion.reason for exclusion in choice.excluded} == {ExcludedBy.ALLOWED_PROVIDERS}


def test_a_soft_parameter_is_looked_for_among_all() -> None:
    able = {"p3", "p77"}
    catalog = catalog_of(
        *(Offer(slug, parameters=("max_tokens", *(["response_format"] if slug in able else []))) for slug in SLUGS)
    )
    choice = run(demand(response_format={"type": "json_object"}), catalog=catalog)
    assert set(tags(choice)) == able


def test_an_order_or_a_sort_looks_at_all() -> None:
    catalog = catalog_of(*(Offer(slug, prompt=f"0.00000{900 - number}") for number, slug in enumerate(SLUGS)))
    assert tags(run(demand(provider={"sort": "price"}), catalog=catalog))[0] == "p199"
    assert tags(run(demand(provider={"order": ["p42"]})))[0] == "p42"
    assert len(run(demand(), complete=True).candidates) == COUNT


def test_a_conversation_draws_the_same_at_every_turn_and_router() -> None:
    continuation = Continuation(b"0123456789abcdef")
    drawn = {frozenset(tags(run(demand(), seed=seed, continuation=continuation))) for seed in range(10)}
    assert len(drawn) == 1
    assert drawn != {frozenset(tags(run(demand(), continuation=Continuation(b"another one 1234"))))}


def test_the_endpoint_that_answered_last_is_always_looked_at() -> None:
    catalog = catalog_of(*(Offer(slug, cached="0.0000001") for slug in SLUGS))
    for slug in SLUGS[::20]:
        last = next(each.id for each in catalog.endpoints.values() if each.tag == slug)
        continuation = Continuation(b"0123456789abcdef", last)
        assert tags(run(demand(), catalog=catalog, continuation=continuation))[0] == slug


def test_a_tier_is_looked_for_among_all() -> None:
    wanted = replace(demand(), tier="priority")
    assert len(run(wanted).candidates) == COUNT
