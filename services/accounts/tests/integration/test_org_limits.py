"""Rate limits of organisations and of their workspaces, on PostgreSQL."""

from __future__ import annotations

from random import Random
from uuid import UUID, uuid4

import pytest

from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.workspace_member_store import PostgresWorkspaceMemberStore
from accounts.adapters.postgres.workspace_store import PostgresWorkspaceStore
from accounts.domain.errors import InvalidFieldError, NotFoundError
from accounts.domain.org_limits import MAX_ORG_LIMITS, OrgLimit
from accounts.domain.people import OPERATOR
from accounts.identity import Identity
from accounts.testing import Drain
from accounts.workspaces import Workspaces
from contracts.rate_limits import LimitedQuantity, RateInterval, RateLimit
from contracts.topics import ORGS
from servicekit.clock import SystemClock
from turnpike.accounts.v1 import records_pb2

TOKENS = RateLimit(LimitedQuantity.TOKENS, RateInterval.MINUTE, 5_000, "acme/one")
AT_ONCE = RateLimit(LimitedQuantity.CONCURRENCY, RateInterval.NONE, 7)


@pytest.fixture
def workspaces(database: Database, audit: PostgresAuditLog) -> Workspaces:
    return Workspaces(
        PostgresWorkspaceStore(database, audit), PostgresWorkspaceMemberStore(database, audit), SystemClock(), Random()
    )


async def test_they_are_set_as_a_whole_published_and_gone_with_their_workspace(
    identity: Identity, workspaces: Workspaces, drain: Drain, audit: PostgresAuditLog
) -> None:
    org_id = str((await identity.create_org("Limited")).org_id)
    made = await workspaces.create(org_id, {"name": "Research", "slug": "research"}, OPERATOR)
    wanted = (OrgLimit(None, TOKENS), OrgLimit(made.workspace_id, TOKENS), OrgLimit(UUID(org_id), AT_ONCE))
    await drain()

    async def published() -> list[tuple[str, int, str]]:
        records = [
            records_pb2.OrgRecord.FromString(each.value or b"") for each in await drain() if each.topic == ORGS.name
        ]
        return [(each.workspace_id, each.limit.amount, each.limit.model) for each in records[-1].rate_limits]

    assert (await identity.set_rate_limits(org_id, wanted)).rate_limits == wanted
    assert (await identity.org(org_id)).rate_limits == wanted
    own = (str(made.workspace_id), 5_000, "acme/one")
    assert await published() == [("", 5_000, "acme/one"), own, (org_id, 7, "")]
    await workspaces.delete(org_id, "research", OPERATOR)
    assert await published() == [("", 5_000, "acme/one"), (org_id, 7, "")]
    assert (await identity.set_rate_limits(org_id, [])).rate_limits == ()
    assert await published() == []
    actions = [entry.action for entry in await audit.page(UUID(org_id), 0, 100)]
    assert actions.count("organization.limits_changed") == 2


async def test_what_makes_no_sense_is_refused_by_name(identity: Identity) -> None:
    org_id = str((await identity.create_org("Limited")).org_id)
    stranger = (await identity.create_org("Stranger")).org_id
    too_much = RateLimit(LimitedQuantity.CONCURRENCY, RateInterval.NONE, 10**9)
    for limits, field in (
        ([OrgLimit(None, AT_ONCE), OrgLimit(None, AT_ONCE)], "rate_limits[1]"),
        ([OrgLimit(None, too_much)], "rate_limits[0].amount"),
        ([OrgLimit(None, AT_ONCE), OrgLimit(stranger, AT_ONCE)], "rate_limits[1].workspace_id"),
        ([OrgLimit(uuid4(), AT_ONCE)] * (MAX_ORG_LIMITS + 1), "rate_limits"),
    ):
        with pytest.raises(InvalidFieldError) as refused:
            await identity.set_rate_limits(org_id, limits)
        assert refused.value.field == field
    with pytest.raises(NotFoundError):
        await identity.set_rate_limits(str(uuid4()), [])
    assert (await identity.org(org_id)).rate_limits == ()
