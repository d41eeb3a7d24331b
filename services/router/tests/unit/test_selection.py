"""Who is asked first, who is not asked at all, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from contracts.catalog import Catalog
from contracts.errors import ErrorReason
from contracts.ids import EndpointId
from dialects.chat import decode_chat_request
from router.domain.demand import Demand, demand_of
from router.domain.eligibility import ExcludedBy
from router.domain.errors import RequestRefusedError
from router.domain.health_view import EndpointState, Standing
from router.domain.selection import Choice, choose
from router.domain.unroutable import no_endpoints
from router.testing.catalogs import Offer, catalog_of
from router.testing.speeds import steady

EVERYBODY = frozenset("abcdefgh")
# Prices 1, 2 and 3 with the same ratio of input to output price.
THREE = catalog_of(
    Offer("a", prompt="0.000001", completion="0.000001"),
    Offer("b", prompt="0.000002", completion="0.000002"),
    Offer("c", prompt="0.000003", completion="0.000003"),
)
StateOf = Callable[[EndpointId], EndpointState]

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def demand(**members: Any) -> Demand:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}], **members}
    return demand_of(decode_chat_request(json.dumps(document).encode()))


def healthy(endpoint_id: EndpointId) -> EndpointState:
    return EndpointState()


def standings(**by_provider: EndpointState) -> StateOf:
    return lambda endpoint_id: by_provider.get(endpoint_id.partition("@")[2], EndpointState())


def run(catalog: Catalog, wanted: Demand, *, state_of: StateOf = healthy, seed: int = 1) -> Choice:
    return choose(catalog, wanted, EVERYBODY, state_of, Random(seed), at=NOW, strategy="price2")


def order(choice: Choice) -> str:
    return "".join(candidate.endpoint.tag for candidate in choice.candidates)


def excluded(choice: Choice) -> dict[str, str]:
    return {each.endpoint.tag: each.reason.value for each in choice.excluded}


def first_draws(state_of: StateOf, draws: int = 20_000) -> Counter[str]:
    random = Random(20261124)
    wanted = demand()
    return Counter(
        order(choose(THREE, wanted, EVERYBODY, state_of, random, at=NOW, strategy="price2"))[0] for _ in range(draws)
    )


def chi_square(found: Counter[str], expected: dict[str, float]) -> float:
    total = sum(found.values())
    return sum((found[name] - share * total) ** 2 / (share * total) for name, share in expected.items())


# Upper 0.1 % points of the chi-square distribution with 2 and 1 degrees of freedom.
CHI2_2, CHI2_1 = 13.82, 10.83


def test_first_draws_follow_the_inverse_square_of_the_price() -> None:
    shares = {"a": 0.7347, "b": 0.1837, "c": 0.0816}
    choice = run(THREE, demand())
    assert {each.endpoint.tag: round(each.share, 4) for each in choice.candidates} == shares
    assert chi_square(first_draws(healthy), shares) < CHI2_2


def test_an_endpoint_in_trouble_goes_last_and_the_others_share() -> None:
    troubled = standings(b=EndpointState(standing=Standing.SUSPECT))
    found = first_draws(troubled)
    assert found["b"] == 0
    assert chi_square(found, {"a": 0.9, "c": 0.1}) < CHI2_1
    assert all(order(run(THREE, demand(), state_of=troubled, seed=seed))[-1] == "b" for seed in range(50))


def test_the_rest_is_drawn_without_replacement() -> None:
    random = Random(7)
    orders = Counter(
        order(choose(THREE, demand(), EVERYBODY, healthy, random, at=NOW, strategy="price2")) for _ in range(20_000)
    )
    seconds_after_a = {second: sum(n for text, n in orders.items() if text[:2] == f"a{second}") for second in "bc"}
    # 1/4 against 1/9.
    assert chi_square(Counter(seconds_after_a), {"b": 9 / 13, "c": 4 / 13}) < CHI2_1


def test_a_recovering_endpoint_gets_a_part_of_its_share() -> None:
    choice = run(THREE, demand(), state_of=standings(a=EndpointState(factor=0.1)))
    shares = {each.endpoint.tag: each.share for each in choice.candidates}
    assert shares["a"] == pytest.approx(0.1 / (0.1 + 1 / 4 + 1 / 9))


def test_r12_the_same_seed_gives_the_same_choice() -> None:
    assert [order(run(THREE, demand(), seed=seed)) for seed in range(30)] == [
        order(run(THREE, demand(), seed=seed)) for seed in range(30)
    ]
    assert len({order(run(THREE, demand(), seed=seed)) for seed in range(30)}) > 1


def test_r03_when_all_are_in_trouble_the_least_bad_is_tried_first() -> None:
    all_down = standings(
        a=EndpointState(standing=Standing.SUSPECT, badness=9),
        b=EndpointState(standing=Standing.SUSPECT, badness=3),
        c=EndpointState(standing=Standing.SUSPECT, badness=5),
    )
    assert order(run(THREE, demand(), state_of=all_down)) == "bca"


def test_a_rate_limit_without_a_time_goes_before_an_outage() -> None:
    state_of = standings(a=EndpointState(standing=Standing.SUSPECT), b=EndpointState(standing=Standing.COOLING))
    assert order(run(THREE, demand(), state_of=state_of)) == "cba"


def test_r05_a_named_wait_keeps_the_endpoint_out() -> None:
    limited = EndpointState(standing=Standing.FORBIDDEN, cooling_for=37.0)
    choice = run(THREE, demand(), state_of=standings(a=limited))
    assert "a" not in order(choice)
    assert excluded(choice) == {"a": "rate_limited"}
    none_left = run(THREE, demand(), state_of=standings(a=limited, b=limited, c=limited))
    refusal = no_endpoints(none_left, demand())
    assert (refusal.reason, refusal.retry_after) == (ErrorReason.RATE_LIMITED, 37.0)
    assert refusal.availability is not None
    assert refusal.availability["code"] == "capacity_exhausted"


def test_order_comes_first_then_the_rest() -> None:
    assert order(run(THREE, demand(provider={"order": ["c", "b"]}))) == "cba"
    only_ordered = run(THREE, demand(provider={"order": ["c", "b"], "allow_fallbacks": False}))
    assert order(only_ordered) == "cb"
    assert only_ordered.strategy == "order"
    assert order(run(THREE, demand(provider={"sort": "price", "allow_fallbacks": False}))) == "a"


def test_sorts() -> None:
    measured = standings(
        a=EndpointState(throughput=steady(10), first_token=steady(3.0)),
        b=EndpointState(throughput=steady(90), first_token=steady(2.0)),
        c=EndpointState(),
    )
    assert order(run(THREE, demand(provider={"sort": "price"}), state_of=measured)) == "abc"
    assert order(run(THREE, demand(provider={"sort": "throughput"}), state_of=measured)) == "bac"
    assert order(run(THREE, demand(provider={"sort": {"by": "latency"}}), state_of=measured)) == "bac"
    assert order(run(THREE, demand(model="acme/one:nitro"), state_of=measured)) == "bac"
    assert order(run(THREE, demand(model="acme/one:floor"), state_of=measured)) == "abc"


def test_wishes_deprioritise_and_do_not_exclude() -> None:
    slow = standings(a=EndpointState(throughput=steady(5)), b=EndpointState(first_token=steady(9.0)))
    assert order(run(THREE, demand(provider={"preferred_min_throughput": 50}), state_of=slow))[-1] == "a"
    assert order(run(THREE, demand(provider={"preferred_max_latency": {"p50": 2}}), state_of=slow))[-1] == "b"


def test_only_and_ignore() -> None:
    assert set(order(run(THREE, demand(provider={"only": ["a", "B"]})))) == {"a", "b"}
    assert set(order(run(THREE, demand(provider={"ignore": ["a"]})))) == {"b", "c"}
    nobody = run(THREE, demand(provider={"only": ["x"]}))
    refusal = no_endpoints(nobody, demand())
    assert refusal.http_status == 404
    assert "Providers serving acme/one: a, b, c" in refusal.message
    assert refusal.availability is not None
    assert refusal.availability["excluded_by"] == ["allowed_providers"]


def test_a_slug_names_all_endpoints_of_a_provider_and_a_tag_one() -> None:
    catalog = catalog_of(Offer("a"), Offer("a", tag="a/turbo"), Offer("b"))
    assert {each.endpoint.tag for each in run(catalog, demand(provider={"only": ["a"]})).candidates} == {"a/turbo", "a"}
    assert order(run(catalog, demand(provider={"only": ["a/turbo"]}))) == "a/turbo"


@pytest.mark.parametrize(
    ("offer", "members", "reason"),
    [
        (Offer("b", trains=True), {"provider": {"data_collection": "deny"}}, ExcludedBy.TRAINING),
        (Offer("b", retains=True), {"provider": {"zdr": True}}, ExcludedBy.ZDR),
        (Offer("b", quantization="int4"), {"provider": {"quantizations": ["unknown"]}}, ExcludedBy.QUANTIZATION),
        (Offer("b", prompt="0.000009"), {"provider": {"max_price": {"prompt": 5}}}, ExcludedBy.MAX_PRICE),
        (Offer("b", completion="0.000009"), {"provider": {"max_price": {"completion": "5"}}}, ExcludedBy.MAX_PRICE),
        (
            Offer("b", parameters=["max_tokens"]),
            {"seed": 1, "provider": {"require_parameters": True}},
            ExcludedBy.REQUIRE_PARAMETERS,
        ),
        (Offer("b", parameters=[]), {"response_format": {"type": "json_object"}}, ExcludedBy.REQUIRE_PARAMETERS),
        (
            Offer("b", parameters=[]),
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            ExcludedBy.TOOLS,
        ),
        (Offer("b", context_length=100), {"max_tokens": 200}, ExcludedBy.CONTEXT_LENGTH),
        (Offer("b", max_completion_tokens=100), {"max_tokens": 200}, ExcludedBy.CONTEXT_LENGTH),
        (Offer("z"), {}, ExcludedBy.CREDENTIALS),
    ],
)
def test_what_cannot_serve_is_excluded_by_name(offer: Offer, members: dict[str, Any], reason: ExcludedBy) -> None:
    choice = run(catalog_of(Offer("a"), offer), demand(**members))
    assert order(choice) == "a"
    assert excluded(choice) == {offer.provider: reason.value}


def test_a_price_at_the_ceiling_is_allowed() -> None:
    catalog = catalog_of(Offer("a", prompt="0.0000015", completion="0"))
    assert order(run(catalog, demand(provider={"max_price": {"prompt": 1.5, "completion": 0}}))) == "a"


def test_a_soft_parameter_that_nobody_supports_is_ignored() -> None:
    catalog = catalog_of(Offer("a", parameters=[]), Offer("b", parameters=[]))
    assert len(run(catalog, demand(response_format={"type": "json_object"})).candidates) == 2


def test_tools_that_nobody_supports_are_refused_with_their_name() -> None:
    wanted = demand(tools=[{"type": "function", "function": {"name": "look_up"}}])
    refusal = no_endpoints(run(catalog_of(Offer("a", parameters=[])), wanted), wanted)
    assert refusal.http_status == 404
    assert refusal.message == 'No endpoints found that support tool use. Try disabling "look_up".'


def test_modalities_must_be_read_by_the_model() -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]
    wanted = demand(messages=image)
    assert no_endpoints(run(THREE, wanted), wanted).message == "No endpoints found that support image input"
    assert order(run(catalog_of(Offer("a"), modalities=("text", "image")), wanted)) == "a"
    wanted = demand(modalities=["text", "audio"])
    assert no_endpoints(run(THREE, wanted), wanted).message == "No endpoints found that support audio output"


def test_what_fits_nowhere_is_too_long() -> None:
    wanted = demand(max_tokens=100_000)
    refusal = no_endpoints(run(THREE, wanted), wanted)
    assert (refusal.reason, refusal.param) == (ErrorReason.CONTEXT_LENGTH_EXCEEDED, "max_tokens")


def test_models_are_tried_in_order_three_endpoints_each() -> None:
    catalog = catalog_of(
        *(Offer(slug, model="acme/one") for slug in "abcd"), *(Offer(slug, model="acme/two") for slug in "efgh")
    )
    choice = run(catalog, demand(models=["acme/two", "acme/one"]))
    assert [each.endpoint.model_id for each in choice.attempts] == ["acme/one"] * 3 + ["acme/two"] * 3
    assert len(choice.candidates) == 8


def test_partition_none_sorts_all_models_in_one_pool() -> None:
    catalog = catalog_of(
        Offer("a", model="acme/one", prompt="0.00001"), Offer("b", model="acme/two"), Offer("c", model="acme/one")
    )
    wanted = demand(models=["acme/two"], provider={"sort": {"by": "price", "partition": "none"}})
    assert order(run(catalog, wanted))[-1] == "a"
    assert order(run(catalog, demand(models=["acme/two"], route="sort")))[-1] == "a"


@pytest.mark.parametrize(
    ("members", "reason", "param"),
    [
        ({"model": None}, ErrorReason.INVALID_REQUEST, "model"),
        ({"model": "acme/none"}, ErrorReason.MODEL_NOT_FOUND, "model"),
        ({"model": "ACME/ONE"}, ErrorReason.MODEL_NOT_FOUND, "model"),
        ({"models": ["acme/none"]}, ErrorReason.MODEL_NOT_FOUND, "models"),
        ({"models": ["m/1", "m/2", "m/3", "m/4"]}, ErrorReason.INVALID_REQUEST, "models"),
    ],
)
def test_models_that_are_not_on_offer_are_refused(members: dict[str, Any], reason: ErrorReason, param: str) -> None:
    with pytest.raises(RequestRefusedError) as caught:
        run(THREE, demand(**members))
    assert (caught.value.reason, caught.value.param, caught.value.http_status) == (reason, param, 400)


def test_a_permaslug_names_its_model() -> None:
    assert run(THREE, demand(model="acme/one-20260101")).models[0].id == "acme/one"


def test_s11_no_member_of_a_request_chooses_an_address_or_a_key() -> None:
    hostile = {"base_url": "http://evil", "api_base": "http://evil", "api_key": "k", "endpoint_id": "x", "org": "y"}
    plain, attacked = run(THREE, demand()), run(THREE, demand(**hostile))
    assert [each.endpoint for each in plain.candidates] == [each.endpoint for each in attacked.candidates]
