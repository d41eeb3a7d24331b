"""`/organization/members`, and what Turnpike has besides: roles, invitations, the audit log, new organisations."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from edge.api.http.answer import Answer, Data, Page
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.management.members import JsonMembers, read_body
from edge.api.organization.calls import DEFAULT_PAGE, Calls, PageQuery, org_id
from edge.api.organization.member_answers import (
    ROLES,
    AuditEntry,
    AuditFinding,
    Invitation,
    NewInvitation,
    OrganizationMember,
    entry_of,
    invitation_of,
    member_of,
)
from edge.api.organization.requests import InvitationBody, RoleBody
from turnpike.accounts.v1 import audit_service_pb2 as audit
from turnpike.accounts.v1 import member_service_pb2 as messages

_encode = msgspec.json.Encoder().encode


class Removed(Answer, frozen=True, kw_only=True):
    """It is gone."""

    deleted: bool


class AuditQuery(Struct, frozen=True, kw_only=True):
    """Which entries."""

    after: Annotated[int, Meta(ge=0, le=999_999_999, description="entries after this sequence")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100, description="entries to return, 50 when it is absent")] | None = None


class AnchorQuery(Struct, frozen=True, kw_only=True):
    """An entry that was noted elsewhere and must still be there."""

    sequence: Annotated[int, Meta(ge=1, le=999_999_999)] | None = None
    digest: Annotated[str, Meta(max_length=64)] | None = None


_LIST: Final = Operation(
    id="listOrganizationMembers",
    tag="Organization",
    summary="List the members of the organization",
    query=PageQuery,
    answer=Page[OrganizationMember],
)
_UPDATE: Final = Operation(
    id="updateOrganizationMember",
    tag="Organization",
    summary="Change a member's role",
    body=RoleBody,
    answer=Data[OrganizationMember],
)
_REMOVE: Final = Operation(id="removeOrganizationMember", tag="Organization", summary="Remove a member", answer=Removed)
_INVITE: Final = Operation(
    id="createInvitation",
    tag="Organization",
    summary="Invite somebody",
    body=InvitationBody,
    answer=NewInvitation,
    status=201,
    errors=(409,),
)
_INVITATIONS: Final = Operation(
    id="listInvitations", tag="Organization", summary="List the open invitations", answer=Data[list[Invitation]]
)
_REVOKE: Final = Operation(id="revokeInvitation", tag="Organization", summary="Withdraw an invitation", answer=Removed)
_AUDIT: Final = Operation(
    id="listAuditEntries",
    tag="Organization",
    summary="List entries of the audit log",
    query=AuditQuery,
    answer=Data[list[AuditEntry]],
)
_VERIFY: Final = Operation(
    id="verifyAudit",
    tag="Organization",
    summary="Check that the audit log is intact",
    query=AnchorQuery,
    answer=Data[AuditFinding],
)


class Members:
    """Serves members, invitations and the audit log of the caller's organisation."""

    def __init__(self, calls: Calls, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            calls: asks accounts.
            bodies: reads requests.
        """
        self._calls = calls
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        manage = Access.MANAGEMENT_KEY
        return (
            Route("GET", "/organization/members", Access.ORGANIZATION, self.list, _LIST),
            Route("PATCH", "/organization/members/{user_id}", manage, self.update, _UPDATE),
            Route("DELETE", "/organization/members/{user_id}", manage, self.remove, _REMOVE),
            Route("GET", "/organization/invitations", manage, self.invitations, _INVITATIONS),
            Route("POST", "/organization/invitations", manage, self.invite, _INVITE),
            Route("DELETE", "/organization/invitations/{invitation_id}", manage, self.revoke, _REVOKE),
            Route("GET", "/organization/audit", manage, self.audit, _AUDIT),
            Route("GET", "/organization/audit/verify", manage, self.verify, _VERIFY),
        )

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List members, the longest-standing first."""
        query = read_query(exchange.request, PageQuery)
        request = messages.ListMembersRequest(
            org_id=org_id(exchange), offset=query.offset or 0, limit=query.limit or DEFAULT_PAGE
        )
        listed = await self._calls(exchange, "MemberService/ListMembers", request, messages.ListMembersResponse)
        page = Page(data=[member_of(each) for each in listed.members], total_count=listed.total_count)
        return exchange.json(_encode(page))

    async def update(self, exchange: Exchange) -> web.StreamResponse:
        """Change a member's role."""
        body = read_body(await self._bodies.read(exchange.request), RoleBody)
        request = messages.UpdateMemberRequest(
            org_id=org_id(exchange), user_id=exchange.params["user_id"], role=_role(body)
        )
        changed = await self._calls(exchange, "MemberService/UpdateMember", request, messages.UpdateMemberResponse)
        return exchange.json(_encode(Data(data=member_of(changed.member))))

    async def remove(self, exchange: Exchange) -> web.StreamResponse:
        """Remove a member."""
        request = messages.RemoveMemberRequest(org_id=org_id(exchange), user_id=exchange.params["user_id"])
        await self._calls(exchange, "MemberService/RemoveMember", request, messages.RemoveMemberResponse)
        return exchange.json(_encode(Removed(deleted=True)))

    async def invite(self, exchange: Exchange) -> web.StreamResponse:
        """Invite somebody."""
        body = read_body(await self._bodies.read(exchange.request), InvitationBody)
        request = messages.CreateInvitationRequest(
            org_id=org_id(exchange), email=body.required_text("email", most=254), role=_role(body)
        )
        made = await self._calls(exchange, "MemberService/CreateInvitation", request, messages.CreateInvitationResponse)
        answer = NewInvitation(data=invitation_of(made.invitation), token=made.token)
        return exchange.json(_encode(answer), HTTPStatus.CREATED)

    async def invitations(self, exchange: Exchange) -> web.StreamResponse:
        """List the open invitations."""
        request = messages.ListInvitationsRequest(org_id=org_id(exchange))
        listed = await self._calls(exchange, "MemberService/ListInvitations", request, messages.ListInvitationsResponse)
        return exchange.json(_encode(Data(data=[invitation_of(each) for each in listed.invitations])))

    async def revoke(self, exchange: Exchange) -> web.StreamResponse:
        """Withdraw an invitation."""
        request = messages.RevokeInvitationRequest(
            org_id=org_id(exchange), invitation_id=exchange.params["invitation_id"]
        )
        await self._calls(exchange, "MemberService/RevokeInvitation", request, messages.RevokeInvitationResponse)
        return exchange.json(_encode(Removed(deleted=True)))

    async def audit(self, exchange: Exchange) -> web.StreamResponse:
        """List entries of the audit log in order."""
        query = read_query(exchange.request, AuditQuery)
        request = audit.ListAuditEntriesRequest(
            org_id=org_id(exchange), after_sequence=query.after or 0, limit=query.limit or DEFAULT_PAGE
        )
        listed = await self._calls(exchange, "AuditService/ListAuditEntries", request, audit.ListAuditEntriesResponse)
        return exchange.json(_encode(Data(data=[entry_of(each) for each in listed.entries])))

    async def verify(self, exchange: Exchange) -> web.StreamResponse:
        """Check that the audit log is intact."""
        query = read_query(exchange.request, AnchorQuery)
        request = audit.VerifyAuditRequest(
            org_id=org_id(exchange), anchor_sequence=query.sequence or 0, anchor_digest=query.digest or ""
        )
        found = await self._calls(exchange, "AuditService/VerifyAudit", request, audit.VerifyAuditResponse)
        finding = AuditFinding(
            intact=found.intact,
            entries=found.entries,
            broken_at=found.broken_at or None,
            reason=found.reason or None,
            head_digest=found.head_digest,
        )
        return exchange.json(_encode(Data(data=finding)))


def _role(body: JsonMembers) -> messages.Role.ValueType:
    role = body.choice("role", ROLES)
    if role is None:
        raise body.wrong("role", "required")
    return messages.Role.ValueType(role)
