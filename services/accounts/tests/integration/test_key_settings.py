"""What a key may do and what it spent by period, on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from accounts.domain.accounts import KeyChanges, KeyFilter, KeyKind
from accounts.domain.errors import InvalidFieldError
from accounts.domain.key_settings import KeySettingChanges, KeySettings
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import Drain, NewCustomer
from accounts.testing.people import new_member
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from contracts.spend import SpendInterval
from contracts.topics import KEYS, USAGE
from servicekit.kafka import TopicPartition
from turnpike.accounts.v1.records_pb2 import KeyRecord

SETTINGS = KeySettings(
    limit_reset=SpendInterval.DAILY,
    include_byok_in_limit=True,
    allowed_models=("acme/one", "acme/two:free"),
    allowed_providers=("acme", "deepinfra/turbo"),
    ip_ranges=("203.0.113.0/24", "2001:db8::1"),
    rate_limits=(RateLimit(LimitedQuantity.SPEND, RateInterval.DAY, 5, "acme/one"),),
)


async def test_s06_what_a_key_may_do_is_stored_published_and_changed_field_by_field(
    identity: Identity, sql: asyncpg.Connection, drain: Drain
) -> None:
    org_id = str((await identity.create_org("Test")).org_id)
    creator = await new_member(sql, org_id)
    settings = replace(SETTINGS, creator_user_id=creator)
    made, _ = await identity.create_key(org_id, "key", KeyKind.INFERENCE, 7, None, "", settings)
    assert made.settings.ip_ranges == ("203.0.113.0/24", "2001:db8::1/128")
    found, _ = await identity.resolve_key(made.digest)
    assert found == made == await identity.get_key(org_id, made.digest)
    changes = KeyChanges(settings=KeySettingChanges(allowed_models=(), limit_reset=SpendInterval.NEVER))
    changed = await identity.update_key(org_id, made.digest, changes)
    assert (changed.settings.allowed_models, changed.settings.limit_reset) == ((), SpendInterval.NEVER)
    assert changed.settings.allowed_providers == SETTINGS.allowed_providers
    (published,) = [KeyRecord.FromString(each.value or b"") for each in await drain() if each.topic == KEYS.name]
    assert (list(published.allowed_models), list(published.allowed_providers)) == ([], ["acme", "deepinfra/turbo"])
    assert (published.creator_user_id, published.rate_limits[0].amount) == (creator, 5)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (KeySettings(allowed_models=("one",)), "allowed_models[0]"),
        (KeySettings(allowed_models=("a/b",) * 101), "allowed_models"),
        (KeySettings(allowed_providers=("a", "B")), "allowed_providers[1]"),
        (KeySettings(ip_ranges=("10.0.0.1/8",)), "ip_ranges[0]"),
        (KeySettings(ip_ranges=("everywhere",)), "ip_ranges[0]"),
        (KeySettings(creator_user_id="x" * 101), "creator_user_id"),
        (KeySettings(creator_user_id="nobody"), "creator_user_id"),
        (KeySettings(creator_user_id=str(uuid4())), "creator_user_id"),
        (
            KeySettings(rate_limits=(RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 10**16),)),
            "rate_limits[0].amount",
        ),
        (KeySettings(rate_limits=(RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 1),) * 2), "rate_limits[1]"),
    ],
)
async def test_a_field_that_breaks_its_rule_is_named(identity: Identity, settings: KeySettings, field: str) -> None:
    org_id = str((await identity.create_org("Test")).org_id)
    with pytest.raises(InvalidFieldError) as raised:
        await identity.create_key(org_id, "key", KeyKind.INFERENCE, None, None, "", settings)
    assert raised.value.field == field


async def test_what_a_key_spent_comes_by_period_with_every_reading(
    identity: Identity, settlement: Settlement, new_customer: NewCustomer, usage_event: UsageEvents, drain: Drain
) -> None:
    org_id, key_id = await new_customer(limit=10**9)
    await drain()
    now = datetime.now(UTC)
    # Last month, and today.
    old = usage_event(org_id, key_id, ended_at=now - timedelta(days=40))
    new = usage_event(org_id, key_id, ended_at=now)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([old, new]))
    (listed,), total = await identity.list_keys(str(org_id), 0, 0, KeyFilter())
    spent = listed.spend.credit
    assert total == 1
    assert spent.total == listed.spent == old.cost_nano_usd + new.cost_nano_usd
    assert (spent.daily, spent.weekly, spent.monthly) == (new.cost_nano_usd,) * 3
    assert listed.last_used_at == new.ended_at.ToDatetime(UTC)
    (published,) = [KeyRecord.FromString(each.value or b"") for each in await drain() if each.topic == KEYS.name]
    assert published.spend.daily_nano_usd == new.cost_nano_usd
    assert published.spend.total_nano_usd == published.spent_nano_usd == spent.total
