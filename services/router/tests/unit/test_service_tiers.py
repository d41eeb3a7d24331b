"""Endpoints of service tiers serve only who asks for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from dialects.chat import decode_chat_request
from router.domain.demand import demand_of
from router.domain.health_view import EndpointState
from router.domain.selection import Choice, choose
from router.testing.catalogs import Offer, catalog_of
from router.testing.speeds import steady

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
TIERED = catalog_of(
    Offer("a", prompt="0.000002", completion="0.000004"),
    Offer("a", prompt="0.000004", completion="0.000008", tag="a/priority", service_tier="priority"),
    Offer("a", prompt="0.000001", completion="0.000002", tag="a/flex", service_tier="flex"),
    Offer("b", prompt="0.000003", completion="0.000006"),
)
PLAIN = catalog_of(Offer("a"), Offer("b"))
SPEEDS = {"a/priority": 200.0, "a": 80.0, "a/flex": 20.0, "b": 100.0}


def chosen(catalog: Any = TIERED, **members: Any) -> Choice:
    document = {"model": "acme/one", "messages": [{"role": "user", "content": "Hello"}], **members}
    demand = demand_of(decode_chat_request(json.dumps(document).encode()))
    return choose(
        catalog,
        demand,
        frozenset("ab"),
        lambda endpoint_id: EndpointState(throughput=steady(SPEEDS[endpoint_id.partition("@")[2]])),
        Random(1),
        at=NOW,
    )


def tags(choice: Choice) -> list[str]:
    return [candidate.endpoint.tag for candidate in choice.candidates]


def test_nobody_gets_a_tier_unasked() -> None:
    choice = chosen()
    assert set(tags(choice)) == {"a", "b"}
    assert {each.endpoint.tag: each.reason for each in choice.excluded} == {
        "a/priority": "service_tier",
        "a/flex": "service_tier",
    }
    assert set(tags(chosen(provider={"only": ["a"]}))) == {"a"}


@pytest.mark.parametrize("word", ["priority", "fast"])
def test_priority_goes_first_and_falls_back_to_the_ordinary(word: str) -> None:
    found = tags(chosen(service_tier=word))
    assert found[0] == "a/priority"
    assert set(found[1:]) == {"a", "b"}


def test_flex_does_not_fall_back_while_there_is_any() -> None:
    assert tags(chosen(service_tier="flex")) == ["a/flex"]
    assert set(tags(chosen(PLAIN, service_tier="flex"))) == {"a", "b"}


def test_a_whole_tag_asks_for_its_tier() -> None:
    assert tags(chosen(provider={"only": ["a/flex"]})) == ["a/flex"]
    assert tags(chosen(provider={"order": ["a/priority", "b"]}))[:2] == ["a/priority", "b"]


def test_suffixes_admit_a_tier_into_one_pool() -> None:
    assert tags(chosen(model="acme/one:nitro")) == ["a/priority", "b", "a"]
    assert tags(chosen(model="acme/one:floor")) == ["a/flex", "a", "b"]
    assert "a/flex" not in tags(chosen(model="acme/one:floor", service_tier="default"))
    assert "a/priority" not in tags(chosen(model="acme/one:nitro", provider={"order": ["b"]}))
