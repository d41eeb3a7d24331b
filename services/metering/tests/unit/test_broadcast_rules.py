"""The pure part of the sender: rules, shares, pauses, spans, names."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from contracts.broadcast import DestinationType, FilterGroup, FilterLogic, FilterRule, FilterRules
from metering.broadcast.adapters.expressions import found_in
from metering.broadcast.adapters.object_store import object_name, object_url, signed_headers
from metering.broadcast.adapters.senders import traces_url
from metering.broadcast.domain.backoff import pause_s
from metering.broadcast.domain.deliveries import Batch, Verdict, WaitingEvent, outcome_of
from metering.broadcast.domain.filters import asks_for_content, lets_through
from metering.broadcast.domain.spans import span_of
from metering.broadcast.domain.targets import Target, TargetConfig
from metering.convert import usage_row_from_proto
from metering.testing.usage_events import EventFactory

FACTS: dict[str, str | Decimal] = {
    "model": "acme/one",
    "finish_reason": "stop",
    "total_cost": Decimal("0.1"),
    "total_tokens": Decimal(100),
}
TARGET = Target(
    destination_id="d-1", org_id="o-1", workspace_id="w-1", type=DestinationType.S3, version=1, revision=1, created_ms=0,
    active=True, privacy_mode=True, sampling_rate=1.0, allowed_digests=None, rules=None, sends_cost=False,
    sends_identity=False, sends_request_context=False,
)  # fmt: skip


def rules(*groups: tuple[FilterLogic, list[tuple[str, str, Any]]], enabled: bool = True) -> FilterRules:
    return FilterRules(
        enabled, tuple(FilterGroup(logic, tuple(FilterRule(*each) for each in some)) for logic, some in groups)
    )


@pytest.mark.parametrize(
    ("field", "operator", "value", "holds"),
    [
        ("model", "equals", "acme/one", True),
        ("model", "equals", "acme/on", False),
        ("model", "not_equals", "acme/on", True),
        ("model", "contains", "e/o", True),
        ("model", "not_contains", "e/o", False),
        ("model", "starts_with", "acme", True),
        ("model", "ends_with", "acme", False),
        ("model", "regex", "^acme/(one|two)$", True),
        ("model", "regex", "(", False),
        ("session_id", "equals", "s", False),
        ("session_id", "not_equals", "s", True),
        ("session_id", "exists", None, False),
        ("session_id", "not_exists", None, True),
        ("total_cost", "equals", 0.1, True),
        ("total_cost", "gt", 0.1, False),
        ("total_cost", "gte", 0.1, True),
        ("total_tokens", "lt", 100, False),
        ("total_tokens", "lte", 100, True),
        ("output", "contains", "x", False),
    ],
)
def test_a_rule_says_what_its_operator_says(field: str, operator: str, value: Any, holds: bool) -> None:
    assert lets_through(rules((FilterLogic.AND, [(field, operator, value)])), FACTS, found_in) is holds


def test_groups_must_all_let_a_generation_through() -> None:
    true, false = ("model", "exists", None), ("model", "not_exists", None)
    both, one = FilterLogic.AND, FilterLogic.OR
    assert lets_through(rules((one, [true, false]), (both, [true])), FACTS, found_in)
    assert not lets_through(rules((both, [true, false])), FACTS, found_in)
    assert not lets_through(rules((one, [true]), (one, [false])), FACTS, found_in)
    assert lets_through(rules((both, [false]), enabled=False), FACTS, found_in)
    assert lets_through(None, FACTS, found_in)
    assert asks_for_content(rules((both, [("input", "contains", "x")])))
    assert not asks_for_content(rules((both, [("input", "contains", "x")]), enabled=False))


@pytest.mark.parametrize("rate", [0.0001, 0.1, 0.5, 0.9])
def test_a_share_is_sampled_by_session_and_always_the_same(rate: float) -> None:
    target = replace(TARGET, sampling_rate=rate)
    chosen = [target.samples(f"s-{number}", "") for number in range(20_000)]
    assert sum(chosen) / 20_000 == pytest.approx(rate, abs=0.02)
    assert chosen == [target.samples(f"s-{number}", f"gen-{number}") for number in range(20_000)]
    more = replace(TARGET, sampling_rate=min(1.0, rate * 2))
    assert all(more.samples(f"s-{number}", "") for number in range(20_000) if chosen[number])


def test_pauses_grow_to_their_longest_and_honour_what_is_asked_for() -> None:
    random = Random(1)

    def pause(failures: int, asked: float | None = None) -> float:
        return pause_s(failures, random, first_s=1, longest_s=600, asked_s=asked)

    for failures in range(1, 200):
        ceiling = min(600, 2.0 ** (failures - 1))
        assert ceiling / 2 <= pause(failures) <= ceiling
    assert pause(1, 30) == 30
    assert pause(1, 10**9) == 3_600


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, Verdict.TAKEN), (204, Verdict.TAKEN), (302, Verdict.FAILED), (400, Verdict.REFUSED), (401, Verdict.FAILED),
     (404, Verdict.FAILED), (408, Verdict.FAILED), (413, Verdict.REFUSED), (429, Verdict.FAILED), (500, Verdict.FAILED)],
)  # fmt: skip
def test_an_answer_is_judged_by_its_status(status: int, verdict: Verdict) -> None:
    assert outcome_of(status, None).verdict is verdict


def waiting(name: str, ended_ms: int = 0) -> WaitingEvent:
    return WaitingEvent(name, 3, ended_ms, 0, "", b"")


def test_a_batch_has_the_id_of_its_content() -> None:
    batch = Batch("d-1", [waiting("a"), waiting("b")])
    assert batch.batch_id == Batch("d-1", [waiting("a", 7), waiting("b")]).batch_id
    others = [Batch("d-2", batch.events), Batch("d-1", [waiting("b"), waiting("a")]), Batch("d-1", [waiting("a")])]
    assert batch.batch_id not in {each.batch_id for each in others}


def test_an_object_is_named_by_its_hour_and_its_content() -> None:
    batch = Batch("d-1", [waiting("a", 1_790_000_000_000)])
    name = object_name(TARGET, TargetConfig({}, {}), batch)
    assert name == f"openrouter-traces/2026-09-21/14-{batch.batch_id}.jsonl.gz"
    config = TargetConfig({"prefix": "p", "pathTemplate": "{workspace_id}/{prefix}/{year}/{month}/{day}/{hour}"}, {})
    assert object_name(TARGET, config, batch).startswith("w-1/p/2026/09/21/14/14-")


@pytest.mark.parametrize(
    ("endpoint", "bucket", "url"),
    [
        ("", "usage", "https://usage.s3.eu-west-1.amazonaws.com/a%20b/c"),
        ("", "my.usage", "https://s3.eu-west-1.amazonaws.com/my.usage/a%20b/c"),
        ("https://store.example/base/", "usage", "https://store.example/base/usage/a%20b/c"),
    ],
)
def test_an_object_is_at_amazon_or_where_the_endpoint_says(endpoint: str, bucket: str, url: str) -> None:
    assert object_url(endpoint, bucket, "eu-west-1", "a b/c") == url


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://c.example", "https://c.example/v1/traces"),
        ("https://c.example:4318/", "https://c.example:4318/v1/traces"),
        ("https://c.example/otel/v1/traces", "https://c.example/otel/v1/traces"),
        ("https://c.example/otel?token=1", "https://c.example/otel/v1/traces?token=1"),
    ],
)
def test_traces_go_to_the_standard_path(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


@pytest.mark.parametrize("token", [None, "session-token-0123456789"])
def test_s23_an_object_is_signed_as_botocore_does_and_nothing_is_logged(
    token: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    credentials = Credentials("AKIA0123456789", "canary-secret", token)
    url, body = "https://usage.s3.eu-west-1.amazonaws.com/a%20b/c", b"lines"
    headers = {"Content-Type": "application/x-ndjson", "x-amz-meta-team": "a"}
    theirs = AWSRequest("PUT", url, data=body, headers=headers)
    S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(theirs)
    now = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    ours = signed_headers(credentials, "eu-west-1", url, body, headers, now)
    assert ours["Authorization"] == theirs.headers["Authorization"]
    assert caplog.text == ""


def test_a_failed_generation_is_an_error_and_amounts_are_exact(new_event: EventFactory) -> None:
    row = usage_row_from_proto(new_event(cost_nano_usd=1, error_type="provider_overloaded"))
    span = span_of(row, "", replace(TARGET, sends_cost=True), None)
    assert (span.error, span.attributes["error.type"]) == ("provider_overloaded", "provider_overloaded")
    assert span.attributes["turnpike.cost.usd"] == "0.000000001"
    assert (len(span.trace_id), len(span.span_id)) == (32, 16)
    assert span == span_of(row, "", replace(TARGET, sends_cost=True), None)
