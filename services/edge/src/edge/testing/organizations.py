"""The owner of members, workspaces and sessions, in memory and behind gRPC: what an edge needs to be tried out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID, uuid4

import grpc

from contracts.errors import ErrorReason
from edge.domain.errors import NotFoundError, RefusedError
from edge.testing.accounts import MemoryAccounts
from edge.testing.refusals import aborting
from turnpike.accounts.v1 import audit_service_pb2, audit_service_pb2_grpc, member_service_pb2, member_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

_OWNER: Final = member_service_pb2.ROLE_OWNER
CREATED_S: Final = 1_790_000_000
TOKEN: Final = "tp_invite_made-up"  # noqa: S105 - it opens nothing


class MemoryOrganizations:
    """Members and invitations by organisation; everybody is an owner at first.

    Attributes:
        members: by organisation.
        invitations: by organisation.
    """

    def __init__(self, accounts: MemoryAccounts) -> None:
        self.accounts = accounts
        self.members: dict[str, list[member_service_pb2.Member]] = {}
        self.invitations: dict[str, list[member_service_pb2.Invitation]] = {}

    def join(self, org_id: str, email: str = "ada@example.com") -> member_service_pb2.Member:
        """Make somebody an owner."""
        user = member_service_pb2.User(user_id=str(uuid4()), email=email)
        member = member_service_pb2.Member(org_id=org_id, user=user, role=_OWNER)
        member.created_at.FromSeconds(CREATED_S)
        self.members.setdefault(org_id, []).append(member)
        return member

    def member(self, org_id: str, user_id: str) -> member_service_pb2.Member:
        """A member, whose id must be one."""
        checked_id("user_id", user_id)
        found = [each for each in self.members.get(org_id, []) if each.user.user_id == user_id]
        if not found:
            raise NotFoundError("no such member")
        return found[0]

    def check_not_last(self, member: member_service_pb2.Member) -> None:
        """Refuse to lose the last owner."""
        owners = [each for each in self.members[member.org_id] if each.role == _OWNER]
        if owners == [member]:
            raise RefusedError(ErrorReason.PERMISSION_DENIED, "the last owner of an organisation stays one")


class MemberServicer(member_service_pb2_grpc.MemberServiceServicer):
    """Members and invitations."""

    def __init__(self, organizations: MemoryOrganizations) -> None:
        self._organizations = organizations

    async def ListMembers(self, request: Any, context: Context) -> member_service_pb2.ListMembersResponse:  # noqa: N802 - named by the wire
        """List members."""
        members = self._organizations.members.get(request.org_id, [])
        shown = members[request.offset : request.offset + request.limit]
        return member_service_pb2.ListMembersResponse(members=shown, total_count=len(members))

    async def UpdateMember(self, request: Any, context: Context) -> member_service_pb2.UpdateMemberResponse:  # noqa: N802 - named by the wire
        """Change a role."""
        async with aborting(context):
            member = self._organizations.member(request.org_id, request.user_id)
            if request.role != _OWNER:
                self._organizations.check_not_last(member)
            member.role = request.role
            return member_service_pb2.UpdateMemberResponse(member=member)

    async def RemoveMember(self, request: Any, context: Context) -> member_service_pb2.RemoveMemberResponse:  # noqa: N802 - named by the wire
        """Remove a member."""
        async with aborting(context):
            member = self._organizations.member(request.org_id, request.user_id)
            self._organizations.check_not_last(member)
            self._organizations.members[request.org_id].remove(member)
            return member_service_pb2.RemoveMemberResponse()

    async def CreateInvitation(self, request: Any, context: Context) -> member_service_pb2.CreateInvitationResponse:  # noqa: N802 - named by the wire
        """Invite somebody."""
        async with aborting(context):
            name, at, host = request.email.partition("@")
            if not (name and at and "." in host):
                raise wrong("email", "must be an email address")
            invitation = member_service_pb2.Invitation(
                invitation_id=str(uuid4()), org_id=request.org_id, email=request.email, role=request.role
            )
            invitation.created_at.FromSeconds(CREATED_S)
            invitation.expires_at.FromSeconds(CREATED_S + 7 * 86_400)
            self._organizations.invitations.setdefault(request.org_id, []).append(invitation)
            return member_service_pb2.CreateInvitationResponse(invitation=invitation, token=TOKEN)

    async def ListInvitations(self, request: Any, context: Context) -> member_service_pb2.ListInvitationsResponse:  # noqa: N802 - named by the wire
        """List the open invitations."""
        found = self._organizations.invitations.get(request.org_id, [])
        return member_service_pb2.ListInvitationsResponse(invitations=reversed(found))

    async def RevokeInvitation(self, request: Any, context: Context) -> member_service_pb2.RevokeInvitationResponse:  # noqa: N802 - named by the wire
        """Withdraw an invitation."""
        async with aborting(context):
            checked_id("invitation_id", request.invitation_id)
            open_ones = self._organizations.invitations.get(request.org_id, [])
            for each in open_ones:
                if each.invitation_id == request.invitation_id:
                    open_ones.remove(each)
                    return member_service_pb2.RevokeInvitationResponse()
            raise NotFoundError("no such invitation")

    async def AcceptInvitation(self, request: Any, context: Context) -> member_service_pb2.AcceptInvitationResponse:  # noqa: N802 - named by the wire
        """Refuse: nobody has the token of an invitation."""
        async with aborting(context):
            raise NotFoundError("no such invitation")

    async def FoundOrg(self, request: Any, context: Context) -> member_service_pb2.FoundOrgResponse:  # noqa: N802 - named by the wire
        """Make an organisation."""
        async with aborting(context):
            checked_name(request.name)
            return member_service_pb2.FoundOrgResponse(org=self._organizations.accounts.add_org())


class AuditServicer(audit_service_pb2_grpc.AuditServiceServicer):
    """An audit log with one entry."""

    async def ListAuditEntries(self, request: Any, context: Context) -> audit_service_pb2.ListAuditEntriesResponse:  # noqa: N802 - named by the wire
        """List it."""
        entry = audit_service_pb2.AuditEntry(
            sequence=1, actor_kind="operator", action="organization.created", target=f"organization/{request.org_id}",
            before_json="{}", after_json='{"name":"Example"}', digest="0" * 64,
        )  # fmt: skip
        entry.occurred_at.FromSeconds(CREATED_S)
        found: Iterable[audit_service_pb2.AuditEntry] = [entry] if request.after_sequence < 1 else []
        return audit_service_pb2.ListAuditEntriesResponse(entries=found)

    async def VerifyAudit(self, request: Any, context: Context) -> audit_service_pb2.VerifyAuditResponse:  # noqa: N802 - named by the wire
        """Find it intact."""
        return audit_service_pb2.VerifyAuditResponse(intact=True, entries=1, head_digest="0" * 64)


def wrong(field: str, rule: str) -> RefusedError:
    """The refusal of a field."""
    return RefusedError(ErrorReason.INVALID_REQUEST, f"{field} {rule}", {"param": field})


def checked_id(field: str, text: str) -> str:
    """Refuse what is no UUID."""
    try:
        return str(UUID(text))
    except ValueError:
        raise wrong(field, "must be a UUID") from None


def checked_name(name: str, field: str = "name") -> str:
    """Refuse what is no name."""
    if not name.strip().isprintable() or not 1 <= len(name.strip()) <= 100:
        raise wrong(field, "must have 1 to 100 characters")
    return name.strip()
