"""Where keys and guardrails let a request go."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from contracts.catalog import Catalog
from contracts.errors import ErrorReason
from dialects.chat import decode_chat_request
from router.domain.demand import demand_of
from router.domain.health_view import EndpointState
from router.domain.policy import RoutingPolicy
from router.domain.selection import Choice, choose
from router.domain.unroutable import no_endpoints
from router.testing.catalogs import Offer, catalog_of

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CATALOG = catalog_of(
    Offer("a"),
    Offer("b", retains=True),
    Offer("c", trains=True),
    Offer("d", model="anthropic/two", retains=True),
    Offer("e", model="anthropic/two"),
    Offer("f", model="acme/free", trains=True, prompt="0", completion="0"),
    Offer("g", model="acme/free", retains=True, prompt="0", completion="0"),
)


def run(policy: RoutingPolicy, catalog: Catalog = CATALOG, **members: Any) -> Choice:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}], **members}
    wanted = replace(demand_of(decode_chat_request(json.dumps(document).encode())), policy=policy)
    return choose(catalog, wanted, frozenset("abcdefg"), lambda _: EndpointState(), Random(1), at=NOW)


def tags(choice: Choice) -> set[str]:
    return {candidate.endpoint.tag for candidate in choice.candidates}


def names(*each: str) -> frozenset[str]:
    return frozenset(each)


def test_without_a_policy_everything_is_allowed() -> None:
    assert tags(run(RoutingPolicy())) == {"a", "b", "c"}


def test_a_model_must_be_in_each_list_by_any_of_its_names() -> None:
    both = RoutingPolicy(allowed_models=(names("acme/one", "anthropic/two"), names("acme/one")))
    assert tags(run(both, models=["anthropic/two"])) == {"a", "b", "c"}
    canonical = CATALOG.models[next(iter(CATALOG.models))].canonical_slug
    assert tags(run(RoutingPolicy(allowed_models=(names(canonical),)))) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "policy",
    [
        RoutingPolicy(allowed_models=(names("anthropic/two"),)),
        RoutingPolicy(allowed_models=(names("acme/one"), names("anthropic/two"))),
        RoutingPolicy(ignored_models=names("acme/one")),
    ],
)
def test_s39_a_model_that_is_not_allowed_is_refused_as_forbidden(policy: RoutingPolicy) -> None:
    choice = run(policy)
    assert not choice.candidates
    refusal = no_endpoints(choice, demand_of(decode_chat_request(_BODY)))
    assert refusal.reason is ErrorReason.PERMISSION_DENIED
    assert (refusal.http_status, refusal.param) == (403, "model")


def test_providers_are_narrowed_by_every_list_and_by_the_request() -> None:
    policy = RoutingPolicy(allowed_providers=(names("a", "b"), names("b", "c")))
    assert tags(run(policy)) == {"b"}
    assert tags(run(RoutingPolicy(ignored_providers=names("b")))) == {"a", "c"}
    choice = run(policy, provider={"only": ["a", "c"]})
    refusal = no_endpoints(choice, demand_of(decode_chat_request(_BODY)))
    assert refusal.http_status == 404
    assert refusal.availability is not None
    assert refusal.availability["excluded_by"] == ["allowed_providers"]


def test_a_request_cannot_relax_what_must_not_be_kept() -> None:
    policy = RoutingPolicy(zero_retention=names("other"))
    assert tags(run(policy, provider={"zdr": False})) == {"a", "c"}
    assert tags(run(policy, model="anthropic/two")) == {"d", "e"}
    assert tags(run(RoutingPolicy(zero_retention=names("anthropic")), model="anthropic/two")) == {"e"}


def test_training_and_publication_are_ruled_by_whether_there_is_a_price() -> None:
    assert tags(run(RoutingPolicy(deny_paid_training=True), provider={"data_collection": "allow"})) == {"a", "b"}
    assert tags(run(RoutingPolicy(deny_free_training=True, deny_free_publication=True))) == {"a", "b", "c"}
    assert tags(run(RoutingPolicy(deny_free_training=True), model="acme/free")) == {"g"}
    assert tags(run(RoutingPolicy(deny_free_publication=True), model="acme/free")) == {"f"}
    everything = RoutingPolicy(deny_free_training=True, deny_free_publication=True)
    choice = run(everything, model="acme/free")
    refusal = no_endpoints(choice, replace(demand_of(decode_chat_request(_BODY)), policy=everything))
    assert refusal.availability is not None
    assert refusal.availability["code"] == "privacy_restricted"


_BODY = b'{"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}]}'
