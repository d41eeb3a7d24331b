"""What every KeyLookup and every KeyRegistry does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from contracts import api_keys
from contracts.errors import ErrorReason
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit, rate_limits_from_proto
from contracts.spend import SpendInterval
from edge.domain.actor import Actor
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.domain.principal import KeyKind
from edge.ports import KeyChange, KeyFields, KeyFilter, KeyLookup, KeyRegistry, NewKey
from edge.testing.accounts import MANAGEMENT, PEPPER, USD, MemoryAccounts, known_key, known_org
from turnpike.accounts.v1 import records_pb2


class TestKeyLookup:
    """Finding of keys."""

    async def test_a_key_comes_with_its_organisation(self, lookup: KeyLookup, accounts: MemoryAccounts) -> None:
        org = accounts.add_org(5 * USD, active=False)
        _, record = accounts.add_key(org.org_id, MANAGEMENT, limit=0, spent=7, disabled=True, expires_s=1_900_000_000)
        key, owner = await lookup.resolve(record.digest)
        assert (key, owner) == (known_key(record), known_org(org))
        assert (key.kind, key.limit, key.expires_at_ms) == (KeyKind.MANAGEMENT, 0, 1_900_000_000_000)
        assert (owner.active, owner.balance) == (False, 5 * USD)

    async def test_no_limit_and_no_end_are_none(self, lookup: KeyLookup, accounts: MemoryAccounts) -> None:
        _, record = accounts.add_key(accounts.add_org().org_id)
        key, _ = await lookup.resolve(record.digest)
        assert (key.limit, key.expires_at_ms) == (None, None)

    async def test_an_unknown_key_is_not_found(self, lookup: KeyLookup, accounts: MemoryAccounts) -> None:
        with pytest.raises(NotFoundError):
            await lookup.resolve("0" * 64)

    async def test_an_outage_is_not_an_unknown_key(self, lookup: KeyLookup, accounts: MemoryAccounts) -> None:
        accounts.down = True
        with pytest.raises(DependencyError):
            await lookup.resolve("0" * 64)


class TestKeyRegistry:
    """Management of keys."""

    @pytest.fixture
    def org(self, accounts: MemoryAccounts) -> records_pb2.OrgRecord:
        return accounts.add_org()

    async def test_a_made_key_is_a_key(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        ends = datetime(2096, 10, 2, 7, 6, 40, tzinfo=UTC)
        created = await registry.create(NewKey(org.org_id, "production", 5 * USD, ends, ""))
        assert api_keys.digest(created.secret, PEPPER) == created.key.digest
        assert (created.key.name, created.key.limit_nano_usd) == ("production", 5 * USD)
        assert created.key.expires_at.ToDatetime(UTC) == ends
        assert created.key.kind == records_pb2.KEY_KIND_INFERENCE
        assert (await registry.get(org.org_id, created.key.digest)).key == created.key

    async def test_a_key_without_limit_and_end_has_none(
        self, registry: KeyRegistry, org: records_pb2.OrgRecord
    ) -> None:
        created = await registry.create(NewKey(org.org_id, "x", None, None, ""))
        assert not created.key.HasField("limit_nano_usd")
        assert not created.key.HasField("expires_at")

    async def test_the_same_idempotency_key_twice_is_refused(
        self, registry: KeyRegistry, org: records_pb2.OrgRecord
    ) -> None:
        await registry.create(NewKey(org.org_id, "x", None, None, "once"))
        with pytest.raises(RefusedError) as raised:
            await registry.create(NewKey(org.org_id, "x", None, None, "once"))
        assert raised.value.reason is ErrorReason.ALREADY_EXISTS

    async def test_a_bad_name_is_refused_with_its_field(
        self, registry: KeyRegistry, org: records_pb2.OrgRecord
    ) -> None:
        with pytest.raises(RefusedError) as raised:
            await registry.create(NewKey(org.org_id, "x" * 101, None, None, ""))
        assert raised.value.reason is ErrorReason.INVALID_REQUEST
        assert raised.value.metadata["param"] == "name"

    async def test_keys_are_listed_newest_first_in_pages(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        made = [accounts.add_key(org.org_id, disabled=number == 1)[1].digest for number in range(3)]
        accounts.add_key(accounts.add_org().org_id)
        listed = await registry.list(org.org_id, 0, KeyFilter())
        assert [key.digest for key in listed.keys] == [made[2], made[0]]
        assert listed.total_count == 2
        listed = await registry.list(org.org_id, 1, KeyFilter(include_disabled=True))
        assert [key.digest for key in listed.keys] == [made[1], made[0]]
        assert listed.total_count == 3

    async def test_what_a_key_spent_comes_with_it(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        _, record = accounts.add_key(org.org_id)
        record.spend.CopyFrom(records_pb2.Spend(day=20_000, daily_nano_usd=1, weekly_nano_usd=2, monthly_nano_usd=3))
        found = await registry.get(org.org_id, record.digest)
        assert found.key.spend == record.spend
        (listed,) = (await registry.list(org.org_id, 0, KeyFilter(include_disabled=True))).keys
        assert listed.spend == record.spend

    async def test_what_a_key_may_do_is_kept_and_changed_field_by_field(
        self, registry: KeyRegistry, org: records_pb2.OrgRecord
    ) -> None:
        limit = RateLimit(LimitedQuantity.TOKENS, RateInterval.DAY, 1_000, "acme/one")
        fields = KeyFields(SpendInterval.WEEKLY, True, ("acme/one",), ("acme",), ("10.0.0.0/8",), (limit,))
        made = (await registry.create(NewKey(org.org_id, "x", USD, None, "", fields, "user-1"))).key
        assert (made.limit_reset, made.include_byok_in_limit, made.creator_user_id) == (2, True, "user-1")
        assert (list(made.allowed_models), list(made.allowed_providers)) == (["acme/one"], ["acme"])
        assert list(made.ip_ranges) == ["10.0.0.0/8"]
        assert rate_limits_from_proto(made.rate_limits) == (limit,)
        changed = (
            await registry.update(
                KeyChange(org.org_id, made.digest, fields=KeyFields(SpendInterval.NEVER, allowed_models=()))
            )
        ).key
        assert (changed.limit_reset, list(changed.allowed_models)) == (0, [])
        assert (changed.include_byok_in_limit, list(changed.ip_ranges)) == (True, ["10.0.0.0/8"])
        assert rate_limits_from_proto(changed.rate_limits) == (limit,)
        cleared = KeyFields(include_byok_in_limit=False, allowed_providers=(), ip_ranges=(), rate_limits=())
        changed = (await registry.update(KeyChange(org.org_id, made.digest, fields=cleared))).key
        assert not changed.include_byok_in_limit
        assert not (changed.allowed_providers)
        assert not (changed.ip_ranges)
        assert not (changed.rate_limits)

    async def test_a_change_leaves_the_rest(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        _, record = accounts.add_key(org.org_id, name="old", limit=USD)
        digest = record.digest
        changed = (await registry.update(KeyChange(org.org_id, digest, name="new"))).key
        assert (changed.name, changed.disabled, changed.limit_nano_usd) == ("new", False, USD)
        changed = (await registry.update(KeyChange(org.org_id, digest, disabled=True, limit_nano=0))).key
        assert (changed.name, changed.disabled, changed.limit_nano_usd) == ("new", True, 0)
        assert changed.HasField("limit_nano_usd")
        changed = (await registry.update(KeyChange(org.org_id, digest, disabled=False, clear_limit=True))).key
        assert (changed.disabled, changed.HasField("limit_nano_usd")) == (False, False)

    async def test_a_deleted_key_is_gone(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        _, record = accounts.add_key(org.org_id)
        await registry.delete(org.org_id, record.digest, Actor())
        with pytest.raises(NotFoundError):
            await registry.get(org.org_id, record.digest)

    async def test_keys_of_others_are_not_found(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        _, foreign = accounts.add_key(accounts.add_org().org_id)
        with pytest.raises(NotFoundError):
            await registry.get(org.org_id, foreign.digest)
        with pytest.raises(NotFoundError):
            await registry.update(KeyChange(org.org_id, foreign.digest, name="mine"))
        with pytest.raises(NotFoundError):
            await registry.delete(org.org_id, foreign.digest, Actor())

    async def test_credit(self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord) -> None:
        accounts.credit[org.org_id] = (9 * USD, 2 * USD)
        found = await registry.credits(org.org_id)
        assert (found.total_credits_nano_usd, found.total_usage_nano_usd) == (9 * USD, 2 * USD)
        with pytest.raises(NotFoundError):
            await registry.credits("none")

    async def test_an_outage_is_said_so(
        self, registry: KeyRegistry, accounts: MemoryAccounts, org: records_pb2.OrgRecord
    ) -> None:
        accounts.down = True
        with pytest.raises(DependencyError):
            await registry.create(NewKey(org.org_id, "x", None, None, ""))
        with pytest.raises(DependencyError):
            await registry.list(org.org_id, 0, KeyFilter(include_disabled=True))
        with pytest.raises(DependencyError):
            await registry.credits(org.org_id)
