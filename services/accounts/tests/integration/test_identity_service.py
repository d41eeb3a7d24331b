"""Keys and organisations over gRPC, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import grpc
import pytest

from accounts.api import key_service, org_service
from accounts.domain.accounts import MAX_AMOUNT_NANO
from accounts.identity import Identity
from accounts.settlement import Settlement
from accounts.testing import NewCustomer
from accounts.testing.books import account_balances, check_books
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from contracts.topics import USAGE
from servicekit.grpc_errors import error_info
from servicekit.kafka import TopicPartition
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import key_service_pb2, org_service_pb2
from turnpike.accounts.v1.key_service_pb2_grpc import KeyServiceStub, add_KeyServiceServicer_to_server
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub, add_OrgServiceServicer_to_server
from turnpike.accounts.v1.records_pb2 import (
    KEY_KIND_INFERENCE,
    KEY_KIND_MANAGEMENT,
    ORG_STATUS_ACTIVE,
    KeyKind,
    OrgRecord,
)

PEPPER = b"a pepper of at least thirty-two bytes"
NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Api:
    keys: KeyServiceStub
    orgs: OrgServiceStub

    async def new_org(self, name: str = "Test") -> str:
        answer: org_service_pb2.CreateOrgResponse = await self.orgs.CreateOrg(
            org_service_pb2.CreateOrgRequest(name=name)
        )
        return answer.org.org_id

    async def new_key(
        self, org_id: str, name: str = "key", kind: KeyKind.ValueType = KEY_KIND_INFERENCE, **members: object
    ) -> key_service_pb2.CreateKeyResponse:
        request = key_service_pb2.CreateKeyRequest(org_id=org_id, name=name, kind=kind)
        for member, value in members.items():
            setattr(request, member, value)
        answer: key_service_pb2.CreateKeyResponse = await self.keys.CreateKey(request)
        return answer


@pytest.fixture
async def api(identity: Identity) -> AsyncIterator[Api]:
    def register(server: grpc.aio.Server) -> Sequence[str]:
        add_KeyServiceServicer_to_server(key_service.KeyServicer(identity), server)
        add_OrgServiceServicer_to_server(org_service.OrgServicer(identity), server)
        return [key_service.SERVICE_NAME, org_service.SERVICE_NAME]

    async with run_servicer(register) as channel:
        yield Api(KeyServiceStub(channel), OrgServiceStub(channel))


def change(own: Mapping[str, str], **members: object) -> key_service_pb2.UpdateKeyRequest:
    request = key_service_pb2.UpdateKeyRequest(org_id=own["org_id"], digest=own["digest"])
    for member, value in members.items():
        setattr(request, member, value)
    return request


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    """The status, the reason and the field that a call is refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    info = error_info(raised.value)
    assert info is not None
    return raised.value.code(), info.reason, info.metadata.get("param", "")


NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "")


def invalid(field: str) -> tuple[grpc.StatusCode, str, str]:
    return grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", field


async def test_organisation_starts_without_credit_and_is_found_again(api: Api) -> None:
    created = await api.orgs.CreateOrg(org_service_pb2.CreateOrgRequest(name="  Example  "))
    found = await api.orgs.GetOrg(org_service_pb2.GetOrgRequest(org_id=created.org.org_id))
    credit = await api.orgs.GetCredits(org_service_pb2.GetCreditsRequest(org_id=created.org.org_id))
    assert created.org == OrgRecord(
        org_id=created.org.org_id, name="Example", status=ORG_STATUS_ACTIVE, balance_nano_usd=0, revision=1
    )
    assert found.org == created.org
    assert (credit.total_credits_nano_usd, credit.total_usage_nano_usd) == (0, 0)


async def test_b13_credit_is_given_once_for_an_idempotency_key(api: Api, sql: asyncpg.Connection) -> None:
    org_id, another = await api.new_org(), await api.new_org()
    request = org_service_pb2.GrantCreditRequest(
        org_id=org_id, amount_nano_usd=5_000, idempotency_key="first", reason="welcome"
    )
    first = await api.orgs.GrantCredit(request)
    again = await api.orgs.GrantCredit(request)
    request.org_id = another
    await api.orgs.GrantCredit(request)
    assert first.org.balance_nano_usd == 5_000
    assert again == first
    assert await account_balances(sql) == {"promo": -10_000, f"customer:{org_id}": 5_000, f"customer:{another}": 5_000}
    assert await sql.fetchval("SELECT count(*) FROM ledger_entries WHERE reason = 'welcome'") == 2
    await check_books(sql)


async def test_credits_show_what_was_given_and_what_was_used(
    api: Api, settlement: Settlement, new_customer: NewCustomer, usage_event: UsageEvents
) -> None:
    org_id, key_id = await new_customer()
    event = usage_event(org_id, key_id)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    credit = await api.orgs.GetCredits(org_service_pb2.GetCreditsRequest(org_id=str(org_id)))
    assert (credit.total_credits_nano_usd, credit.total_usage_nano_usd) == (1_000_000_000, event.cost_nano_usd)


async def test_s01_key_has_the_form_of_its_kind_and_says_so(api: Api) -> None:
    org_id = await api.new_org()
    for kind, form in ((KEY_KIND_INFERENCE, ApiKeyKind.INFERENCE), (KEY_KIND_MANAGEMENT, ApiKeyKind.MANAGEMENT)):
        made = await api.new_key(org_id, kind=kind, limit_nano_usd=7)
        assert api_keys.parse(made.secret) is form
        assert made.key.kind == kind
        assert made.key.digest == api_keys.digest(made.secret, PEPPER)
        assert (made.key.org_id, made.key.limit_nano_usd, made.key.disabled) == (org_id, 7, False)


async def test_s03_the_key_is_in_no_table_and_its_digest_needs_the_pepper(api: Api, sql: asyncpg.Connection) -> None:
    made = await api.new_key(await api.new_org())
    tables = [
        row["tablename"] for row in await sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    ]
    assert {"api_keys", "outbox"} <= set(tables)
    stored = ""
    for table in tables:
        # Records are bytes, which PostgreSQL shows in hexadecimal.
        for row in await sql.fetch(f"SELECT * FROM {table}"):
            stored += "\n".join(str(value) for value in row.values())
    secret = made.secret.removeprefix("tp_live_")
    assert made.key.digest in stored
    for part in (made.secret, secret[:-4], secret[4:], api_keys.digest(made.secret, b"")):
        assert part not in stored
        assert part.encode().hex() not in stored


async def test_s05_the_key_is_shown_once_and_lists_show_its_prefix_and_last_four(api: Api) -> None:
    org_id = await api.new_org()
    made = await api.new_key(org_id)
    listed = await api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id))
    fetched = await api.keys.GetKey(key_service_pb2.GetKeyRequest(org_id=org_id, digest=made.key.digest))
    assert made.key.label == f"tp_live_...{made.secret[-4:]}"
    assert list(listed.keys) == [made.key] == [fetched.key]
    for answer in (listed, fetched, made.key):
        assert made.secret[8:-4].encode() not in answer.SerializeToString()


async def test_key_is_resolved_by_its_whole_digest_with_its_organisation(api: Api) -> None:
    org_id = await api.new_org("Owner")
    made = await api.new_key(org_id)
    found = await api.keys.ResolveKey(key_service_pb2.ResolveKeyRequest(digest=made.key.digest))
    assert found.key == made.key
    assert (found.org.org_id, found.org.name) == (org_id, "Owner")


@pytest.mark.parametrize("digest", [NO_DIGEST, "", "x", "\0", "A" * 64, "0" * 63 + "\n", "0" * 65])
async def test_s07_any_digest_that_no_key_has_is_not_found(api: Api, digest: str) -> None:
    org_id = await api.new_org()
    own = {"org_id": org_id, "digest": digest}
    calls: list[Awaitable[object]] = [
        api.keys.ResolveKey(key_service_pb2.ResolveKeyRequest(digest=digest)),
        api.keys.GetKey(key_service_pb2.GetKeyRequest(**own)),
        api.keys.UpdateKey(change(own, disabled=True)),
        api.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(**own)),
    ]
    assert [await refusal(call) for call in calls] == [NOT_FOUND] * 4


async def test_key_is_made_once_for_an_idempotency_key(api: Api) -> None:
    org_id = await api.new_org()
    await api.new_key(org_id, idempotency_key="once")
    assert await refusal(api.new_key(org_id, idempotency_key="once")) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "ALREADY_EXISTS",
        "",
    )
    await api.new_key(org_id)
    await api.new_key(org_id)
    await api.new_key(await api.new_org(), idempotency_key="once")
    listed = await api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id))
    assert listed.total_count == 3


async def test_list_is_newest_first_in_pages_and_leaves_out_disabled_keys(api: Api) -> None:
    org_id = await api.new_org()
    made = [(await api.new_key(org_id, f"key {number}")).key for number in range(5)]
    await api.keys.UpdateKey(key_service_pb2.UpdateKeyRequest(org_id=org_id, digest=made[2].digest, disabled=True))

    async def page(limit: int = 0, offset: int = 0, include_disabled: bool = False) -> tuple[list[str], int]:
        request = key_service_pb2.ListKeysRequest(
            org_id=org_id, limit=limit, offset=offset, include_disabled=include_disabled
        )
        answer = await api.keys.ListKeys(request)
        return [key.name for key in answer.keys], answer.total_count

    assert await page() == (["key 4", "key 3", "key 1", "key 0"], 4)
    assert await page(include_disabled=True, limit=2, offset=1) == (["key 3", "key 2"], 5)
    assert await page(offset=9) == ([], 4)


async def test_change_of_a_key_leaves_what_it_does_not_name(api: Api) -> None:
    org_id = await api.new_org()
    before = (await api.new_key(org_id, "before", limit_nano_usd=9)).key
    own = {"org_id": org_id, "digest": before.digest}
    renamed = (await api.keys.UpdateKey(change(own, name="after"))).key
    disabled = (await api.keys.UpdateKey(change(own, disabled=True, limit_nano_usd=0))).key
    free = (await api.keys.UpdateKey(change(own, clear_limit=True))).key
    assert (renamed.name, renamed.disabled, renamed.limit_nano_usd, renamed.revision) == ("after", False, 9, 2)
    assert (disabled.name, disabled.disabled, disabled.limit_nano_usd) == ("after", True, 0)
    assert disabled.HasField("limit_nano_usd")
    assert not free.HasField("limit_nano_usd")
    assert renamed.updated_at.ToDatetime() > before.updated_at.ToDatetime()
    assert renamed.created_at == before.created_at


async def test_deleted_key_is_not_found_and_its_usage_is_still_settled(
    api: Api, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    org_id = await api.new_org()
    key = (await api.new_key(org_id)).key
    own = {"org_id": org_id, "digest": key.digest}
    await api.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(**own))
    assert await refusal(api.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(**own))) == NOT_FOUND
    assert await refusal(api.keys.GetKey(key_service_pb2.GetKeyRequest(**own))) == NOT_FOUND
    assert await refusal(api.keys.ResolveKey(key_service_pb2.ResolveKeyRequest(digest=key.digest))) == NOT_FOUND
    assert (await api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id))).total_count == 0
    event = usage_event(org_id, key.key_id)
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    assert await sql.fetchval("SELECT spent_nano FROM api_keys") == event.cost_nano_usd
    await check_books(sql)


async def test_s09_another_organisations_ids_are_not_found(api: Api) -> None:
    owner, stranger = await api.new_org(), await api.new_org()
    key = (await api.new_key(owner)).key
    foreign = {"org_id": stranger, "digest": key.digest}
    assert await refusal(api.keys.GetKey(key_service_pb2.GetKeyRequest(**foreign))) == NOT_FOUND
    assert await refusal(api.keys.UpdateKey(change(foreign, name="mine"))) == NOT_FOUND
    assert await refusal(api.keys.DeleteKey(key_service_pb2.DeleteKeyRequest(**foreign))) == NOT_FOUND
    assert (await api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=stranger))).total_count == 0
    assert (await api.keys.GetKey(key_service_pb2.GetKeyRequest(org_id=owner, digest=key.digest))).key == key


async def test_unknown_organisation_is_not_found(api: Api) -> None:
    nobody = str(uuid4())
    grant = org_service_pb2.GrantCreditRequest(org_id=nobody, amount_nano_usd=1, idempotency_key="x")
    assert await refusal(api.new_key(nobody)) == NOT_FOUND
    assert await refusal(api.orgs.GetOrg(org_service_pb2.GetOrgRequest(org_id=nobody))) == NOT_FOUND
    assert await refusal(api.orgs.GetCredits(org_service_pb2.GetCreditsRequest(org_id=nobody))) == NOT_FOUND
    assert await refusal(api.orgs.GrantCredit(grant)) == NOT_FOUND


async def test_spend_of_a_key_is_by_day_week_and_month_of_now(
    api: Api, settlement: Settlement, sql: asyncpg.Connection, usage_event: UsageEvents
) -> None:
    org_id = await api.new_org()
    key = (await api.new_key(org_id)).key
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    moments = {today, today - timedelta(days=1), monday, monday - timedelta(days=1), first, first - timedelta(days=1)}
    events = [usage_event(org_id, key.key_id, ended_at=moment + timedelta(minutes=1)) for moment in sorted(moments)]
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records(events))
    cost = events[0].cost_nano_usd
    answer = await api.keys.GetKey(key_service_pb2.GetKeyRequest(org_id=org_id, digest=key.digest))
    assert answer.key.spent_nano_usd == cost * len(events)
    assert answer.spent_daily_nano_usd == cost
    assert answer.spent_weekly_nano_usd == cost * sum(moment >= monday for moment in moments)
    assert answer.spent_monthly_nano_usd == cost * sum(moment >= first for moment in moments)


async def test_fields_that_break_a_rule_are_refused_by_name(api: Api) -> None:
    org_id = await api.new_org()
    digest = (await api.new_key(org_id)).key.digest
    own = {"org_id": org_id, "digest": digest}

    def grant(**members: object) -> Awaitable[object]:
        request = org_service_pb2.GrantCreditRequest(org_id=org_id, amount_nano_usd=1, idempotency_key="x")
        for member, value in members.items():
            setattr(request, member, value)
        return api.orgs.GrantCredit(request)

    def expiring(seconds: int) -> Awaitable[object]:
        request = key_service_pb2.CreateKeyRequest(org_id=org_id, name="key", kind=KEY_KIND_INFERENCE)
        request.expires_at.seconds = seconds
        return api.keys.CreateKey(request)

    refused: list[tuple[Awaitable[object], str]] = [
        (api.new_org(""), "name"),
        (api.new_org("nul\0"), "name"),
        (api.orgs.GetOrg(org_service_pb2.GetOrgRequest(org_id="1 OR 1=1")), "org_id"),
        (grant(amount_nano_usd=0), "amount_nano_usd"),
        (grant(amount_nano_usd=-1), "amount_nano_usd"),
        (grant(amount_nano_usd=MAX_AMOUNT_NANO + 1), "amount_nano_usd"),
        (grant(idempotency_key=""), "idempotency_key"),
        (grant(idempotency_key="\0"), "idempotency_key"),
        (grant(reason="\0"), "reason"),
        (grant(reason="x" * 201), "reason"),
        (api.new_key(org_id, kind=KeyKind.ValueType(0)), "kind"),
        (api.new_key(org_id, kind=KeyKind.ValueType(99)), "kind"),
        (api.new_key(org_id, "x" * 101), "name"),
        (api.new_key(org_id, limit_nano_usd=-1), "limit"),
        (api.new_key(org_id, idempotency_key="\0"), "idempotency_key"),
        (api.new_key("not-a-uuid"), "org_id"),
        (expiring(1), "expires_at"),
        (expiring(2**62), "expires_at"),
        (api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id, limit=101)), "limit"),
        (api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id, offset=-1)), "offset"),
        (api.keys.UpdateKey(change(own, name=" ")), "name"),
        (api.keys.UpdateKey(change(own, limit_nano_usd=1, clear_limit=True)), "limit"),
    ]
    for call, field in refused:
        assert await refusal(call) == invalid(field)
    assert (await api.keys.ListKeys(key_service_pb2.ListKeysRequest(org_id=org_id))).total_count == 1


async def test_database_that_is_away_is_unavailable_and_not_an_unknown_key(
    api: Api, sql: asyncpg.Connection, identity: Identity
) -> None:
    made = await api.new_key(await api.new_org())
    await sql.execute("ALTER TABLE api_keys RENAME TO api_keys_away")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await api.keys.ResolveKey(key_service_pb2.ResolveKeyRequest(digest=made.key.digest))
    info = error_info(raised.value)
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert info is not None
    assert (info.reason, info.retry_after) == ("DEPENDENCY_UNAVAILABLE", timedelta(seconds=1))
    assert "api_keys" not in (raised.value.details() or "")
