"""The gRPC service of members and invitations: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.api.people_messages import invitation_to_proto, member_to_proto
from accounts.identity import Identity
from accounts.members import Members
from accounts.records import org_to_proto
from turnpike.accounts.v1 import member_service_pb2 as messages
from turnpike.accounts.v1 import member_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["MemberService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class MemberServicer(stubs.MemberServiceServicer):
    """Members and invitations. The names of the methods are those of the wire."""

    def __init__(self, members: Members, identity: Identity) -> None:
        self._members = members
        self._identity = identity

    async def ListMembers(  # noqa: N802 - named by the wire
        self, request: messages.ListMembersRequest, context: Context
    ) -> messages.ListMembersResponse:
        """List members."""
        async with aborting(context):
            members, total = await self._members.page(request.org_id, request.offset, request.limit)
            return messages.ListMembersResponse(members=[member_to_proto(each) for each in members], total_count=total)

    async def UpdateMember(  # noqa: N802 - named by the wire
        self, request: messages.UpdateMemberRequest, context: Context
    ) -> messages.UpdateMemberResponse:
        """Change a member's role."""
        async with aborting(context):
            actor = actor_of(context)
            member = await self._members.change_role(request.org_id, request.user_id, request.role, actor)
            return messages.UpdateMemberResponse(member=member_to_proto(member))

    async def RemoveMember(  # noqa: N802 - named by the wire
        self, request: messages.RemoveMemberRequest, context: Context
    ) -> messages.RemoveMemberResponse:
        """Remove a member."""
        async with aborting(context):
            await self._members.remove(request.org_id, request.user_id, actor_of(context))
            return messages.RemoveMemberResponse()

    async def CreateInvitation(  # noqa: N802 - named by the wire
        self, request: messages.CreateInvitationRequest, context: Context
    ) -> messages.CreateInvitationResponse:
        """Invite somebody."""
        async with aborting(context):
            actor = actor_of(context)
            invitation, token = await self._members.invite(request.org_id, request.email, request.role, actor)
            return messages.CreateInvitationResponse(invitation=invitation_to_proto(invitation), token=token)

    async def ListInvitations(  # noqa: N802 - named by the wire
        self, request: messages.ListInvitationsRequest, context: Context
    ) -> messages.ListInvitationsResponse:
        """List the open invitations."""
        async with aborting(context):
            invitations = await self._members.invitations(request.org_id)
            return messages.ListInvitationsResponse(invitations=[invitation_to_proto(each) for each in invitations])

    async def RevokeInvitation(  # noqa: N802 - named by the wire
        self, request: messages.RevokeInvitationRequest, context: Context
    ) -> messages.RevokeInvitationResponse:
        """Withdraw an invitation."""
        async with aborting(context):
            await self._members.revoke(request.org_id, request.invitation_id, actor_of(context))
            return messages.RevokeInvitationResponse()

    async def AcceptInvitation(  # noqa: N802 - named by the wire
        self, request: messages.AcceptInvitationRequest, context: Context
    ) -> messages.AcceptInvitationResponse:
        """Accept an invitation."""
        async with aborting(context):
            member = await self._members.accept(request.token_digest, request.user_id, actor_of(context))
            return messages.AcceptInvitationResponse(member=member_to_proto(member))

    async def FoundOrg(self, request: messages.FoundOrgRequest, context: Context) -> messages.FoundOrgResponse:  # noqa: N802 - named by the wire
        """Make an organisation with an owner."""
        async with aborting(context):
            org = await self._identity.create_org(request.name, request.user_id, actor_of(context))
            return messages.FoundOrgResponse(org=org_to_proto(org))
