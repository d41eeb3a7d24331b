"""Keys, credit and records through the public port, from scripted services over real gRPC."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts.ids import new_generation_id
from contracts.spend import PeriodSpend, Spend, spend_to_proto
from contracts.testing.examples import iter_examples
from edge.settings import MeteringSettings
from edge.testing.accounts import USD
from edge.testing.stack import EdgeStack, OpenEdge
from turnpike.accounts.v1 import records_pb2
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2


def new_id() -> str:
    return new_generation_id(int(datetime.now(UTC).timestamp()), Random())


def spend_today(total: int, daily: int, weekly: int, monthly: int) -> records_pb2.Spend:
    return spend_to_proto(Spend(datetime.now(UTC).date(), PeriodSpend(total, daily, weekly, monthly)))


def event_for(edge: EdgeStack, examples: Path, example: str = "completed") -> usage_event_pb2.UsageEvent:
    event = dict(iter_examples(usage_event_pb2.UsageEvent, examples))[example]
    event.generation_id, event.org_id = new_id(), edge.org.org_id
    return event


@pytest.mark.parametrize("example", ["completed", "completed_after_failover", "cancelled", "failed"])
async def test_a_generation_has_openrouters_members(example: str, edge: EdgeStack, examples: Path) -> None:
    event = event_for(edge, examples, example)
    edge.around.records.events[event.generation_id] = event
    answer = await edge.call("GET", f"/generation?id={event.generation_id}")
    assert answer.status == 200, answer.body
    data = json.loads(answer.body, parse_float=Decimal)["data"]
    assert data["id"] == event.generation_id
    assert data["total_cost"] == data["usage"] == Decimal(event.cost_nano_usd) / USD
    assert (data["tokens_prompt"], data["tokens_completion"]) == (
        event.usage.prompt_tokens,
        event.usage.completion_tokens,
    )
    source = token_usage_pb2.TokenCountSource.Name(event.usage.source).removeprefix("TOKEN_COUNT_SOURCE_").lower()
    assert data["token_count_source"] == (None if source == "unspecified" else source)
    assert data["cancelled"] == (example == "cancelled")
    assert datetime.fromisoformat(data["created_at"]) == event.started_at.ToDatetime(UTC)
    assert len(data["provider_responses"]) == len(event.attempts)
    # Members that strict clients require, whatever they hold.
    for name in ("upstream_id", "cache_discount", "upstream_inference_cost", "origin", "is_byok", "router", "latency"):
        assert name in data


async def test_a_generations_provider_has_its_display_name(edge: EdgeStack, examples: Path) -> None:
    event = event_for(edge, examples)
    event.endpoint_id, event.provider = "acme/one@acme", "acme"
    edge.around.records.events[event.generation_id] = event
    # Names come with the catalogue, which an edge that has just started may not have yet.
    assert (await edge.call("GET", "/models")).status == 200
    data = (await edge.call("GET", f"/generation?id={event.generation_id}")).document["data"]
    assert data["provider_name"] == "Acme"
    event.endpoint_id, event.provider = "gone/gone@gone", "gone"
    data = (await edge.call("GET", f"/generation?id={event.generation_id}")).document["data"]
    assert data["provider_name"] == "gone"


async def test_a_record_that_is_a_moment_late_is_waited_for(open_edge: OpenEdge, examples: Path) -> None:
    edge = await open_edge()
    event = event_for(edge, examples)
    records = edge.around.records

    class Late(dict[str, usage_event_pb2.UsageEvent]):
        def get(self, key: str, default: Any = None) -> Any:
            return event if records.asked >= 3 else None

    records.events = Late()
    answer = await edge.call("GET", f"/generation?id={event.generation_id}")
    assert answer.status == 200
    assert records.asked == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?id=", 400),
        ("?id=../etc/passwd", 400),
        ("?id=gen-1-short", 400),
        ("?id=gen-1-aaaaaaaaaaaaaaaaaaaa&id=gen-2-aaaaaaaaaaaaaaaaaaaa", 400),
        ("?id=gen-1-aaaaaaaaaaaaaaaaaaaa", 404),
    ],
)
async def test_a_generation_that_cannot_be_found_is_said_so(query: str, status: int, edge: EdgeStack) -> None:
    answer = await edge.call("GET", f"/generation{query}")
    assert answer.status == status
    if status == 400:
        assert answer.error["metadata"]["param"] == "id"


async def test_a_generation_of_another_organisation_does_not_exist(edge: EdgeStack, examples: Path) -> None:
    event = event_for(edge, examples)
    event.org_id = edge.around.accounts.add_org().org_id
    edge.around.records.events[event.generation_id] = event
    answer = await edge.call("GET", f"/generation?id={event.generation_id}")
    assert answer.status == 404


async def test_a_dependency_that_is_down_is_503(edge: EdgeStack) -> None:
    edge.around.records.down = edge.around.accounts.down = True
    answers = [
        await edge.call("GET", f"/generation?id={new_id()}"),
        await edge.call("GET", "/key"),
        await edge.call("GET", "/credits", key=edge.management_key),
        await edge.call("GET", "/keys", key=edge.management_key),
        await edge.call("POST", "/keys", {"name": "x"}, key=edge.management_key),
    ]
    for answer in answers:
        assert answer.status == 503
        assert answer.error["metadata"]["error_type"] == "provider_overloaded"
        assert answer.headers["Retry-After"] == "2"


async def test_a_service_that_is_gone_is_503(open_edge: OpenEdge) -> None:
    edge = await open_edge(metering=MeteringSettings(target="127.0.0.1:1"))
    assert (await edge.call("GET", f"/generation?id={new_id()}")).status == 503


@pytest.mark.parametrize("path", ["/key", "/auth/key"])
async def test_a_key_describes_itself(path: str, edge: EdgeStack) -> None:
    accounts = edge.around.accounts
    secret, record = accounts.add_key(edge.org.org_id, limit=5 * USD, spent=USD // 4, expires_s=4_000_000_000)
    record.spend.CopyFrom(spend_today(USD // 4, 100, 2_000, 30_000))
    await edge.publisher.publish(record)
    answer = await edge.call("GET", path, key=secret)
    assert answer.status == 200, answer.body
    data = json.loads(answer.body, parse_float=Decimal)["data"]
    assert data["label"] == record.label
    assert (data["limit"], data["limit_remaining"], data["usage"]) == (5, Decimal("4.75"), Decimal("0.25"))
    assert [data[f"usage_{period}"] for period in ("daily", "weekly", "monthly")] == [
        Decimal("0.0000001"),
        Decimal("0.000002"),
        Decimal("0.00003"),
    ]
    assert data["expires_at"] == "2096-10-02T07:06:40.000000+00:00"
    assert data["is_management_key"] is data["is_provisioning_key"] is data["is_free_tier"] is False
    assert data["rate_limit"]["requests"] == -1
    assert "hash" not in data


async def test_a_management_key_describes_itself(edge: EdgeStack) -> None:
    data = (await edge.call("GET", "/key", key=edge.management_key)).document["data"]
    assert data["is_management_key"] is data["is_provisioning_key"] is True
    assert data["limit"] is data["limit_remaining"] is None


async def test_credit_is_exact(edge: EdgeStack) -> None:
    edge.around.accounts.credit[edge.org.org_id] = (100_000_000_000_000_001, 123_456_789)
    answer = await edge.call("GET", "/credits", key=edge.management_key)
    data = json.loads(answer.body, parse_float=Decimal)["data"]
    assert data == {"total_credits": Decimal("100000000.000000001"), "total_usage": Decimal("0.123456789")}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/credits"),
        ("GET", "/keys"),
        ("POST", "/keys"),
        ("GET", "/keys/" + "0" * 64),
        ("PATCH", "/keys/" + "0" * 64),
        ("DELETE", "/keys/" + "0" * 64),
    ],
)
async def test_an_inference_key_manages_nothing(method: str, path: str, edge: EdgeStack) -> None:
    answer = await edge.call(method, path, {"name": "x"} if method in {"POST", "PATCH"} else None)
    assert answer.status == 403
    assert answer.error["metadata"]["error_type"] == "permission_denied"


async def test_a_management_key_gets_no_completion(edge: EdgeStack) -> None:
    answer = await edge.chat(key=edge.management_key)
    assert answer.status == 403
    assert not edge.around.router.requests


async def test_a_key_is_made_used_changed_and_deleted(edge: EdgeStack) -> None:
    body = {"name": "production", "limit": 0.1, "expires_at": "2096-10-02T07:06:40Z", "include_byok_in_limit": False}
    created = await edge.call("POST", "/keys", body, key=edge.management_key)
    assert created.status == 201, created.body
    secret, row = created.document["key"], created.document["data"]
    assert (row["name"], row["limit"], row["limit_remaining"], row["usage"]) == ("production", 0.1, 0.1, 0)
    assert row["expires_at"] == "2096-10-02T07:06:40.000000+00:00"
    assert row["workspace_id"] == edge.org.org_id
    # Not published yet: the owner of the keys is asked.
    assert (await edge.chat(key=secret, max_tokens=16)).status == 200
    path = f"/keys/{row['hash']}"
    assert (await edge.call("GET", path, key=edge.management_key)).document["data"] == row
    changed = await edge.call("PATCH", path, {"name": "new", "limit": None}, key=edge.management_key)
    assert changed.status == 200
    assert (changed.document["data"]["name"], changed.document["data"]["limit"]) == ("new", None)
    disabled = await edge.call("PATCH", path, {"disabled": True}, key=edge.management_key)
    assert disabled.document["data"]["disabled"] is True
    assert disabled.document["data"]["name"] == "new"
    deleted = await edge.call("DELETE", path, key=edge.management_key)
    assert (deleted.status, deleted.document) == (200, {"deleted": True})
    assert (await edge.call("GET", path, key=edge.management_key)).status == 404
    assert secret.encode() not in json.dumps([str(span.attributes) for span in edge.telemetry.spans]).encode()


async def test_keys_are_listed_newest_first_with_what_they_spent(edge: EdgeStack) -> None:
    accounts = edge.around.accounts
    digests = [accounts.add_key(edge.org.org_id, name=f"key {number}")[1].digest for number in range(3)]
    accounts.keys[digests[1]].disabled = True
    accounts.keys[digests[2]].spend.CopyFrom(spend_today(6 * USD, USD, 2 * USD, 3 * USD))
    accounts.add_key(accounts.add_org().org_id, name="of somebody else")
    listed = (await edge.call("GET", "/keys", key=edge.management_key)).document
    names = [row["name"] for row in listed["data"]]
    assert names[:2] == ["key 2", "key 0"]
    assert "of somebody else" not in names
    assert "key" not in listed["data"][0]
    assert [listed["data"][0][f"usage_{period}"] for period in ("daily", "weekly", "monthly")] == [1, 2, 3]
    everything = (await edge.call("GET", "/keys?include_disabled=true", key=edge.management_key)).document
    assert [row["name"] for row in everything["data"]][:3] == ["key 2", "key 1", "key 0"]
    rest = (await edge.call("GET", "/keys?include_disabled=true&offset=2", key=edge.management_key)).document
    assert rest["data"] == everything["data"][2:]
    own = await edge.call("GET", f"/keys?workspace_id={edge.org.org_id}", key=edge.management_key)
    assert own.document == listed


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"[]", None),
        (b"{", None),
        (b'{"name": "\xff"}', None),
        (b"[" * 100_000, None),
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": "x", "limit": -1}, "limit"),
        ({"name": "x", "limit": True}, "limit"),
        ({"name": "x", "limit": "5"}, "limit"),
        ({"name": "x", "limit": 1e-10}, "limit"),
        ({"name": "x", "limit": 1e11}, "limit"),
        ({"name": "x", "limit": 1e300}, "limit"),
        ({"name": "x", "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "expires_at": "2096-10-02T07:06:40"}, "expires_at"),
        ({"name": "x", "expires_at": "0001-01-01T00:00:00+14:00"}, "expires_at"),
        ({"name": "x", "expires_at": 7}, "expires_at"),
        ({"name": "x", "limit_reset": "yearly"}, "limit_reset"),
        ({"name": "x", "include_byok_in_limit": "yes"}, "include_byok_in_limit"),
        ({"name": "x", "creator_user_id": 7}, "creator_user_id"),
        ({"name": "x", "allowed_models": []}, "allowed_models"),
        ({"name": "x", "allowed_models": ["acme/one", 7]}, "allowed_models[1]"),
        ({"name": "x", "allowed_providers": "acme"}, "allowed_providers"),
        ({"name": "x", "ip_ranges": {}}, "ip_ranges"),
        ({"name": "x", "rate_limits": [{"interval": "day", "amount": 1}]}, "rate_limits[0].quantity"),
        ({"name": "x", "rate_limits": [{"quantity": "requests", "amount": 1}]}, "rate_limits[0].interval"),
        ({"name": "x", "rate_limits": [{"quantity": "concurrency", "amount": 2**63}]}, "rate_limits[0].amount"),
        (
            {"name": "x", "rate_limits": [{"quantity": "tokens", "interval": "day", "amount": 0}]},
            "rate_limits[0].amount",
        ),
        (
            {"name": "x", "rate_limits": [{"quantity": "concurrency", "interval": "day", "amount": 1}]},
            "rate_limits[0].interval",
        ),
        (b'{"name": "x", "limit": 1e99999999999999999999}', None),
        (b'{"name": "x", "rate_limits": [{"amount": 1e999999999, "quantity": "tokens", "interval": "day"}]}', None),
        ({"name": "x", "rate_limits": [{"per": "day"}]}, "rate_limits[0].per"),
        ({"name": "x", "workspace_id": "4b2a1d63-904f-4c1b-8b66-301a7a1d0e21"}, "workspace_id"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_bad_request_for_a_key_names_the_field(body: Any, param: str | None, edge: EdgeStack) -> None:
    answer = await edge.call("POST", "/keys", body, key=edge.management_key)
    assert answer.status == 400, answer.body
    assert answer.error["metadata"].get("param") == param
    changed = await edge.call("PATCH", f"/keys/{edge.key_record.digest}", body, key=edge.management_key)
    if param not in {"name", "expires_at", "creator_user_id", "workspace_id"}:
        assert changed.status == 400, changed.body


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("offset=99999999999999999999", "offset"),
        ("include_disabled=maybe", "include_disabled"),
        ("workspace_id=another", "workspace_id"),
    ],
)
async def test_a_bad_parameter_is_named(query: str, param: str, edge: EdgeStack) -> None:
    answer = await edge.call("GET", f"/keys?{query}", key=edge.management_key)
    assert answer.status == 400
    assert answer.error["metadata"]["param"] == param


@pytest.mark.parametrize("name", ["0" * 64, "short", "G" * 64, "0" * 63 + "%0A", "..%2f..%2fkeys"])
async def test_a_key_that_is_not_there_is_404(name: str, edge: EdgeStack) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "x"} if method == "PATCH" else None
        answer = await edge.call(method, f"/keys/{name}", body, key=edge.management_key)
        assert answer.status == 404


async def test_a_key_of_another_organisation_does_not_exist(edge: EdgeStack) -> None:
    accounts = edge.around.accounts
    _, foreign = accounts.add_key(accounts.add_org().org_id)
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "x"} if method == "PATCH" else None
        answer = await edge.call(method, f"/keys/{foreign.digest}", body, key=edge.management_key)
        assert answer.status == 404
    assert foreign.digest in accounts.keys


async def test_the_same_request_for_a_key_twice_makes_one(edge: EdgeStack) -> None:
    headers = {"Idempotency-Key": "a7"}
    first = await edge.call("POST", "/keys", {"name": "x"}, key=edge.management_key, headers=headers)
    second = await edge.call("POST", "/keys", {"name": "x"}, key=edge.management_key, headers=headers)
    assert (first.status, second.status) == (201, 409)
    long = await edge.call(
        "POST", "/keys", {"name": "x"}, key=edge.management_key, headers={"Idempotency-Key": "a" * 101}
    )
    assert long.status == 400


@pytest.mark.parametrize("member", ["org_id", "kind", "hash", "usage", "spent_nano", "is_management_key", "limit "])
async def test_s12_a_member_that_is_not_known_is_refused_and_changes_nothing(member: str, edge: EdgeStack) -> None:
    before = len(edge.around.accounts.keys)
    made = await edge.call("POST", "/keys", {"name": "x", member: 1}, key=edge.management_key)
    path = f"/keys/{edge.key_record.digest}"
    changed = await edge.call("PATCH", path, {"name": "taken over", member: 1}, key=edge.management_key)
    for answer in (made, changed):
        assert answer.status == 400
        assert answer.error["metadata"]["param"] == member
    assert len(edge.around.accounts.keys) == before
    assert edge.around.accounts.keys[edge.key_record.digest].name == edge.key_record.name


async def test_a_keys_restrictions_are_shown_and_cleared_by_null(edge: EdgeStack) -> None:
    restrictions: dict[str, Any] = {
        "limit_reset": "weekly",
        "include_byok_in_limit": True,
        "allowed_models": ["acme/one"],
        "allowed_providers": ["acme"],
        "ip_ranges": ["10.0.0.0/8"],
        "rate_limits": [
            {"quantity": "spend", "interval": "day", "amount": 0.25, "model": None},
            {"quantity": "concurrency", "interval": None, "amount": 4, "model": "acme/one"},
        ],
    }
    made = await edge.call("POST", "/keys", {"name": "x", "limit": 1, **restrictions}, key=edge.management_key)
    assert made.status == 201, made.body
    row = made.document["data"]
    assert {name: row[name] for name in restrictions} == restrictions
    path = f"/keys/{row['hash']}"
    nothing = dict.fromkeys(restrictions, None) | {"include_byok_in_limit": False}
    cleared = (await edge.call("PATCH", path, nothing, key=edge.management_key)).document["data"]
    assert {name: cleared[name] for name in restrictions} == nothing | {"rate_limits": []}
    assert cleared["limit"] == 1


async def test_a_limit_that_resets_counts_the_period_only(edge: EdgeStack) -> None:
    secret, record = edge.around.accounts.add_key(edge.org.org_id, limit=USD, spent=5 * USD)
    record.limit_reset = records_pb2.SPEND_INTERVAL_MONTHLY
    record.spend.CopyFrom(spend_today(5 * USD, 0, 0, USD // 4))
    await edge.publisher.publish(record)
    row = json.loads((await edge.call("GET", "/key", key=secret)).body, parse_float=Decimal)["data"]
    assert (row["limit"], row["limit_remaining"], row["usage"]) == (1, Decimal("0.75"), 5)
    assert (await edge.chat(key=secret, max_tokens=16)).status == 200


async def test_a_form_instead_of_json_is_415(edge: EdgeStack) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, key in (("/chat/completions", edge.key), ("/keys", edge.management_key)):
        assert (await edge.call("POST", path, b"name=x", key=key, headers=headers)).status == 415


async def test_a_record_without_an_end_of_the_key_is_shown_as_such(edge: EdgeStack) -> None:
    row = (await edge.call("GET", f"/keys/{edge.key_record.digest}", key=edge.management_key)).document["data"]
    assert row["expires_at"] is row["limit"] is row["limit_reset"] is row["creator_user_id"] is None
    assert row["label"] == edge.key_record.label
    assert edge.key_record.kind == records_pb2.KEY_KIND_INFERENCE
