"""Members, invitations, workspaces, budgets and the audit log, on PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import asyncpg
import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.domain.accounts import KeyKind
from accounts.domain.audit import AuditEntry, AuditFinding, verify
from accounts.domain.budgets import BudgetInterval
from accounts.domain.errors import AlreadyExistsError, ForbiddenError, InvalidFieldError, NotFoundError
from accounts.domain.people import OPERATOR, Actor, ActorKind, Role, User
from accounts.identity import Identity
from accounts.members import Members
from accounts.settlement import Settlement
from accounts.testing import Drain
from accounts.testing.usage_events import UsageEvents, usage_records
from accounts.workspaces import Workspaces
from contracts import api_keys
from contracts.topics import ORGS, USAGE
from servicekit.clock import SystemClock
from servicekit.kafka import TopicPartition
from servicekit.testing import ManualClock
from turnpike.accounts.v1 import records_pb2

PEPPER = b"a pepper of at least thirty-two bytes"
USD = 10**9


@pytest.fixture
def member_store(database: Database, audit: PostgresAuditLog) -> PostgresMemberStore:
    return PostgresMemberStore(database, audit)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def members(member_store: PostgresMemberStore, clock: ManualClock) -> Members:
    return Members(member_store, clock, Random(), PEPPER)


@pytest.fixture
def workspaces(database: Database, audit: PostgresAuditLog) -> Workspaces:
    return Workspaces(
        PostgresWorkspaceStore(database, audit), PostgresWorkspaceMemberStore(database, audit), SystemClock(), Random()
    )


class People:
    """Makes organisations, and members of them by invitation."""

    def __init__(self, members: Members, store: PostgresMemberStore, identity: Identity) -> None:
        self._members = members
        self._store = store
        self._identity = identity

    async def org(self) -> str:
        return str((await self._identity.create_org("Example")).org_id)

    async def join(self, org_id: str, role: Role, email: str = "") -> str:
        email = email or f"{uuid4().hex}@example.com"
        _, token = await self._members.invite(org_id, email, int(role), OPERATOR)
        user = User(uuid4(), "", None, None, None, datetime.now(UTC))
        digest = api_keys.digest(token, PEPPER)
        member = await self._store.accept_as_new_user(digest, user, OPERATOR, datetime.now(UTC))
        assert (member.role, member.user.email) == (role, email)
        return str(member.user.user_id)


@pytest.fixture
def people(members: Members, member_store: PostgresMemberStore, identity: Identity) -> People:
    return People(members, member_store, identity)


def as_(user_id: str, role: Role) -> Actor:
    return Actor(ActorKind.USER, user_id, role, "192.0.2.1", "req-1")


async def intact(audit: PostgresAuditLog, org_id: str) -> AuditFinding:
    found = await audit.verify(UUID(org_id), None)
    assert (found.broken_at, found.reason) == (0, "")
    return found


async def test_an_invitation_makes_one_member_once(
    members: Members,
    member_store: PostgresMemberStore,
    people: People,
    audit: PostgresAuditLog,
    sql: asyncpg.Connection,
) -> None:
    org_id = await people.org()
    invitation, token = await members.invite(org_id, " Ada@Example.com ", int(Role.DEVELOPER), OPERATOR)
    assert invitation.email == "ada@example.com"
    assert [each.invitation_id for each in await members.invitations(org_id)] == [invitation.invitation_id]
    with pytest.raises(AlreadyExistsError):
        await members.invite(org_id, "ada@example.com", int(Role.VIEWER), OPERATOR)
    stored = await sql.fetch("SELECT * FROM invitations")
    assert token not in str(stored)

    user = User(uuid4(), "", "Ada", None, None, datetime.now(UTC))
    digest = api_keys.digest(token, PEPPER)
    joined = await member_store.accept_as_new_user(digest, user, OPERATOR, datetime.now(UTC))
    assert joined.role is Role.DEVELOPER
    assert await members.invitations(org_id) == []
    for again in (member_store.accept(digest, joined.user.user_id, OPERATOR, datetime.now(UTC)),):
        with pytest.raises(NotFoundError):
            await again
    with pytest.raises(AlreadyExistsError):
        await members.invite(org_id, "ada@example.com", int(Role.VIEWER), OPERATOR)
    (listed,), total = await members.page(org_id, 0, 0)
    assert (listed.user.first_name, total) == ("Ada", 1)
    await intact(audit, org_id)


async def test_invitations_end_and_can_be_withdrawn(
    members: Members, member_store: PostgresMemberStore, people: People, clock: ManualClock
) -> None:
    org_id = await people.org()
    user = User(uuid4(), "", None, None, None, datetime.now(UTC))
    invitation, token = await members.invite(org_id, "a@example.com", int(Role.VIEWER), OPERATOR)
    digest = api_keys.digest(token, PEPPER)
    with pytest.raises(NotFoundError):
        await member_store.accept_as_new_user(digest, user, OPERATOR, invitation.expires_at + timedelta(seconds=1))
    await members.revoke(org_id, str(invitation.invitation_id), OPERATOR)
    with pytest.raises(NotFoundError):
        await member_store.accept_as_new_user(digest, user, OPERATOR, clock.now())
    with pytest.raises(NotFoundError):
        await members.revoke(org_id, str(invitation.invitation_id), OPERATOR)
    # An address whose invitation is over can be invited again.
    await members.invite(org_id, "a@example.com", int(Role.VIEWER), OPERATOR)


async def test_an_invitation_is_for_its_address_and_users_may_be_in_many_organisations(
    members: Members, people: People
) -> None:
    first, second = await people.org(), await people.org()
    ada, bob = await people.join(first, Role.OWNER, "ada@example.com"), await people.join(first, Role.VIEWER)
    _, token = await members.invite(second, "ada@example.com", int(Role.BILLING), OPERATOR)
    digest = api_keys.digest(token, PEPPER)
    with pytest.raises(ForbiddenError):
        await members.accept(digest, bob, OPERATOR)
    assert (await members.accept(digest, ada, OPERATOR)).role is Role.BILLING
    assert [member.role for member in (await members.page(first, 0, 0))[0]] == [Role.OWNER, Role.VIEWER]


async def test_s13_the_last_owner_stays(members: Members, people: People, audit: PostgresAuditLog) -> None:
    org_id = await people.org()
    owner = await people.join(org_id, Role.OWNER)
    with pytest.raises(ForbiddenError, match="last owner"):
        await members.remove(org_id, owner, OPERATOR)
    with pytest.raises(ForbiddenError, match="last owner"):
        await members.change_role(org_id, owner, int(Role.ADMIN), as_(owner, Role.OWNER))
    other = await people.join(org_id, Role.ADMIN)
    await members.change_role(org_id, other, int(Role.OWNER), as_(owner, Role.OWNER))
    # Two owners who leave at the same time: one stays.
    results = await asyncio.gather(
        *(members.remove(org_id, user, OPERATOR) for user in (owner, other)), return_exceptions=True
    )
    assert [type(result) for result in results if result] == [ForbiddenError]
    assert len((await members.page(org_id, 0, 0))[0]) == 1
    await intact(audit, org_id)


async def test_s13_a_change_of_role_is_audited_with_who_and_from_where(
    members: Members, people: People, audit: PostgresAuditLog
) -> None:
    org_id = await people.org()
    owner, user = await people.join(org_id, Role.OWNER), await people.join(org_id, Role.VIEWER)
    await members.change_role(org_id, user, int(Role.BILLING), as_(owner, Role.OWNER))
    entry = (await audit.page(UUID(org_id), 0, 100))[-1]
    assert (entry.actor_kind, entry.actor_id, entry.ip, entry.request_id) == ("user", owner, "192.0.2.1", "req-1")
    assert (entry.action, entry.target) == ("member.role_changed", f"user/{user}")
    assert (json.loads(entry.before), json.loads(entry.after)) == ({"role": "VIEWER"}, {"role": "BILLING"})


async def test_only_owners_make_and_unmake_owners(members: Members, people: People) -> None:
    org_id = await people.org()
    await people.join(org_id, Role.OWNER)
    owner, admin = await people.join(org_id, Role.OWNER), await people.join(org_id, Role.ADMIN)
    key = Actor(ActorKind.KEY, str(uuid4()))
    for actor in (as_(admin, Role.ADMIN), key):
        for attempt in (
            members.change_role(org_id, admin, int(Role.OWNER), actor),
            members.change_role(org_id, owner, int(Role.VIEWER), actor),
            members.remove(org_id, owner, actor),
        ):
            with pytest.raises(ForbiddenError):
                await attempt
        with pytest.raises(ForbiddenError):
            await members.invite(org_id, "x@example.com", int(Role.OWNER), actor)


async def test_budgets_rise_with_the_interval_and_are_published_with_what_was_spent(
    workspaces: Workspaces,
    people: People,
    identity: Identity,
    settlement: Settlement,
    usage_event: UsageEvents,
    drain: Drain,
    audit: PostgresAuditLog,
) -> None:
    org_id = await people.org()
    workspace = await workspaces.create(org_id, {"name": "Research", "slug": "research"}, OPERATOR)
    budgets = {BudgetInterval.MONTHLY: 50 * USD, BudgetInterval.DAILY: 2 * USD, BudgetInterval.LIFETIME: 100 * USD}
    for interval, limit in budgets.items():
        await workspaces.put_budget(org_id, "research", int(interval), limit, None, OPERATOR)
    for interval, limit in (
        (BudgetInterval.WEEKLY, 50 * USD),
        (BudgetInterval.WEEKLY, 2 * USD),
        (BudgetInterval.DAILY, 0),
    ):
        with pytest.raises(InvalidFieldError) as refused:
            await workspaces.put_budget(org_id, "research", int(interval), limit, None, OPERATOR)
        assert refused.value.field == "limit_usd"
    await drain()

    key, _ = await identity.create_key(
        org_id, "key", KeyKind.INFERENCE, None, None, "", workspace_id=str(workspace.workspace_id)
    )
    other, _ = await identity.create_key(org_id, "key", KeyKind.INFERENCE, None, None, "")
    now = datetime.now(UTC)
    today = [usage_event(UUID(org_id), each.key_id, ended_at=now) for each in (key, other)]
    long_ago = usage_event(UUID(org_id), key.key_id, ended_at=now - timedelta(days=70))
    await settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([*today, long_ago]))
    (published,) = [
        records_pb2.OrgRecord.FromString(message.value)
        for message in await drain()
        if message.topic == ORGS.name and message.value
    ]
    cost = today[0].cost_nano_usd
    assert [(each.workspace_id, each.limit_nano_usd, each.spent_nano_usd) for each in published.workspace_budgets] == [
        (str(workspace.workspace_id), 2 * USD, cost),
        (str(workspace.workspace_id), 50 * USD, cost),
        (str(workspace.workspace_id), 100 * USD, cost + long_ago.cost_nano_usd),
    ]
    await workspaces.delete_budget(org_id, "research", int(BudgetInterval.DAILY), OPERATOR)
    await workspaces.delete_budget(org_id, "research", int(BudgetInterval.DAILY), OPERATOR)
    assert [each.interval for each in (await workspaces.get(org_id, "research")).budgets] == [
        BudgetInterval.MONTHLY, BudgetInterval.LIFETIME,
    ]  # fmt: skip
    await intact(audit, org_id)


async def test_workspaces_are_made_changed_and_deleted_without_keys_only(
    workspaces: Workspaces, people: People, identity: Identity
) -> None:
    org_id = await people.org()
    made = await workspaces.create(org_id, {"name": "One", "slug": "one"}, OPERATOR)
    with pytest.raises(AlreadyExistsError):
        await workspaces.create(org_id, {"name": "Two", "slug": "one"}, OPERATOR)
    changed = await workspaces.update(
        org_id, "one", {"slug": "two", "description": "", "default_provider_sort": "price"}, OPERATOR
    )
    assert (changed.fields.slug, changed.fields.description, changed.fields.default_provider_sort) == (
        "two",
        None,
        "price",
    )
    listed, total = await workspaces.page(org_id, 0, 0)
    assert [(each.fields.slug, each.is_default) for each in listed] == [("default", True), ("two", False)]
    assert total == 2
    key, _ = await identity.create_key(
        org_id, "key", KeyKind.INFERENCE, None, None, "", workspace_id=str(made.workspace_id)
    )
    for name in ("two", "default", org_id):
        with pytest.raises(ForbiddenError):
            await workspaces.delete(org_id, name, OPERATOR)
    await identity.delete_key(org_id, key.digest)
    await workspaces.delete(org_id, "two", OPERATOR)
    for call in (workspaces.get(org_id, "two"), workspaces.get(await people.org(), str(made.workspace_id))):
        with pytest.raises(NotFoundError):
            await call
    with pytest.raises(InvalidFieldError):
        await identity.create_key(org_id, "key", KeyKind.INFERENCE, None, None, "", workspace_id=str(made.workspace_id))
    # The slug is free again.
    await workspaces.create(org_id, {"name": "Two", "slug": "two"}, OPERATOR)


async def test_a_key_cannot_be_put_into_another_organisations_workspace(
    workspaces: Workspaces, people: People, identity: Identity
) -> None:
    ours, theirs = await people.org(), await people.org()
    foreign = await workspaces.create(theirs, {"name": "One", "slug": "one"}, OPERATOR)
    for workspace_id in (str(foreign.workspace_id), theirs):
        with pytest.raises(InvalidFieldError):
            await identity.create_key(ours, "key", KeyKind.INFERENCE, None, None, "", workspace_id=workspace_id)


async def test_members_of_workspaces(
    workspaces: Workspaces, people: People, members: Members, identity: Identity
) -> None:
    org_id = await people.org()
    ada, bob = await people.join(org_id, Role.OWNER), await people.join(org_id, Role.DEVELOPER)
    stranger = await people.join(await people.org(), Role.OWNER)
    made = await workspaces.create(org_id, {"name": "One", "slug": "one"}, OPERATOR)
    _, everybody, total = await workspaces.members(org_id, "default", 0, 0)
    assert ({str(each.user_id) for each in everybody}, total) == ({ada, bob}, 2)
    with pytest.raises(InvalidFieldError):
        await workspaces.add_members(org_id, "one", [bob, stranger], OPERATOR)
    _, added = await workspaces.add_members(org_id, "one", [bob, ada, bob], OPERATOR)
    assert {(str(each.user_id), each.is_admin) for each in added} == {(ada, True), (bob, False)}
    assert (await workspaces.add_members(org_id, "one", [bob], OPERATOR))[1] == []
    with pytest.raises(ForbiddenError):
        await workspaces.remove_members(org_id, "default", [bob], OPERATOR)
    assert await workspaces.remove_members(org_id, str(made.workspace_id), [ada], OPERATOR) == 1
    # Who leaves the organisation leaves its workspaces.
    await members.remove(org_id, bob, OPERATOR)
    assert (await workspaces.members(org_id, "one", 0, 0))[2] == 0


async def test_s45_every_kind_of_tampering_is_found(
    people: People, workspaces: Workspaces, identity: Identity, audit: PostgresAuditLog, sql: asyncpg.Connection
) -> None:
    org_id = await people.org()
    for number in range(3):
        await workspaces.create(org_id, {"name": "One", "slug": f"slug-{number}"}, OPERATOR)
    _, secret = await identity.create_key(org_id, "key", KeyKind.INFERENCE, None, None, "")
    whole = await intact(audit, org_id)
    entries = await audit.page(UUID(org_id), 0, 100)
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert secret not in str(entries)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await sql.execute("UPDATE audit_entries SET action = 'nothing'")
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await sql.execute("DELETE FROM audit_entries")

    # What somebody can do who owns the database, and has no secret of the installation.
    await sql.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_is_append_only")
    for tampering, broken_at in (
        ("UPDATE audit_entries SET after = '{}' WHERE sequence = 2", 2),
        ("UPDATE audit_entries SET ip = '203.0.113.9' WHERE sequence = 3", 3),
        ("UPDATE audit_entries SET occurred_at = occurred_at + interval '1 hour' WHERE sequence = 1", 1),
        ("DELETE FROM audit_entries WHERE sequence = 2", 2),
        ("DELETE FROM audit_entries WHERE sequence = 5", 5),
        ("DELETE FROM audit_entries", 1),
        ("UPDATE audit_entries SET sequence = sequence + 10 WHERE sequence > 3", 4),
    ):
        change = sql.transaction()
        await change.start()
        await sql.execute(tampering)
        rows = await sql.fetch("SELECT * FROM audit_entries WHERE org_id = $1 ORDER BY sequence", UUID(org_id))
        await change.rollback()
        copy = await verify_rows(rows, (5, whole.head_digest))
        assert copy.broken_at == broken_at, tampering
    # Cut off together with the head that is kept beside it: only what was noted elsewhere shows it.
    short = entries[3]
    rows = await sql.fetch(
        "SELECT * FROM audit_entries WHERE org_id = $1 AND sequence <= 4 ORDER BY sequence", UUID(org_id)
    )
    assert (await verify_rows(rows, (4, short.digest))).broken_at == 0
    assert (await verify_rows(rows, (4, short.digest), (5, whole.head_digest))).broken_at == 5


async def verify_rows(
    rows: list[asyncpg.Record], head: tuple[int, str], anchor: tuple[int, str] | None = None
) -> AuditFinding:
    names = AuditEntry.__slots__
    return verify((AuditEntry(*(row[name] for name in names)) for row in rows), head, anchor, PEPPER)
