"""What accounts publishes is what the published examples show."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from accounts.domain.accounts import ApiKey, KeyKind, Org, OrgStatus
from accounts.domain.budgets import BudgetInterval, BudgetState
from accounts.domain.key_settings import KeySettings
from accounts.records import key_message, key_to_proto, key_tombstone, org_message, org_to_proto
from contracts.rate_limits import rate_limits_from_proto
from contracts.spend import SpendInterval, spend_from_proto
from contracts.testing.examples import iter_examples
from contracts.topics import KEYS, ORGS
from turnpike.accounts.v1.records_pb2 import KeyRecord, OrgRecord

EXAMPLES = Path(__file__).parents[4] / "protos" / "examples"
KEY_EXAMPLES = dict(iter_examples(KeyRecord, EXAMPLES))
ORG_EXAMPLES = dict(iter_examples(OrgRecord, EXAMPLES))
NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def moment(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)


def example_key(name: str) -> ApiKey:
    record = KEY_EXAMPLES[name]
    return ApiKey(
        key_id=UUID(record.key_id),
        org_id=UUID(record.org_id),
        digest=record.digest,
        name=record.name,
        label=record.label,
        kind=KeyKind(record.kind),
        disabled=record.disabled,
        limit=record.limit_nano_usd if record.HasField("limit_nano_usd") else None,
        spent=record.spent_nano_usd,
        created_at=moment(record.created_at),
        updated_at=moment(record.updated_at),
        expires_at=moment(record.expires_at) if record.HasField("expires_at") else None,
        revision=record.revision,
        settings=KeySettings(
            limit_reset=SpendInterval(record.limit_reset),
            include_byok_in_limit=record.include_byok_in_limit,
            creator_user_id=record.creator_user_id,
            allowed_models=tuple(record.allowed_models),
            allowed_providers=tuple(record.allowed_providers),
            ip_ranges=tuple(record.ip_ranges),
            rate_limits=rate_limits_from_proto(record.rate_limits),
        ),
        last_used_at=moment(record.last_used_at) if record.HasField("last_used_at") else None,
        spend=spend_from_proto(record.spend),
        workspace_id=UUID(record.workspace_id),
    )


def example_org(name: str) -> Org:
    record = ORG_EXAMPLES[name]
    return Org(
        org_id=UUID(record.org_id),
        name=record.name,
        status=OrgStatus(record.status),
        balance=record.balance_nano_usd,
        credits=10**10,
        usage=10**10 - record.balance_nano_usd,
        budgets=tuple(
            BudgetState(
                UUID(budget.workspace_id),
                BudgetInterval(budget.interval or BudgetInterval.LIFETIME),
                budget.limit_nano_usd,
                budget.spent_nano_usd,
                date(1970, 1, 1) + timedelta(days=budget.day),
            )
            for budget in record.workspace_budgets
        ),
        settled_until=moment(record.settled_until) if record.HasField("settled_until") else None,
        revision=record.revision,
    )


@pytest.mark.parametrize("name", KEY_EXAMPLES)
def test_published_example_of_a_key_is_produced_equal(name: str) -> None:
    message = key_message(example_key(name), NOW)
    assert KeyRecord.FromString(message.value or b"") == KEY_EXAMPLES[name] == key_to_proto(example_key(name))
    assert (message.topic, message.key) == (KEYS.name, KEY_EXAMPLES[name].digest)


@pytest.mark.parametrize("name", ORG_EXAMPLES)
def test_published_example_of_an_organisation_is_produced_equal(name: str) -> None:
    message = org_message(example_org(name), NOW)
    assert OrgRecord.FromString(message.value or b"") == ORG_EXAMPLES[name] == org_to_proto(example_org(name))
    assert (message.topic, message.key) == (ORGS.name, ORG_EXAMPLES[name].org_id)


def test_headers_name_the_change_so_that_publishing_it_again_repeats_its_id() -> None:
    key = example_key("limited")
    first, again = key_message(key, NOW), key_message(key, NOW.replace(hour=11))
    gone = key_tombstone(key.digest, key.key_id, key.revision + 1, NOW)
    assert first.headers["ce_id"] == again.headers["ce_id"] != gone.headers["ce_id"]
    assert (first.headers["ce_type"], first.headers["ce_subject"]) == (KEYS.event_type, str(key.key_id))
    assert (gone.key, gone.value) == (key.digest, None)
