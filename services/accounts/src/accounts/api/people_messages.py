"""People, members, invitations and sessions on the wire."""

from __future__ import annotations

from accounts.domain.people import Invitation, Member, Role, User
from accounts.domain.sessions import Session
from accounts.records import org_to_proto, timestamp
from accounts.sessions import OpenedSession
from turnpike.accounts.v1 import member_service_pb2, session_service_pb2


def role_to_proto(role: Role | None) -> member_service_pb2.Role.ValueType:
    """Put a role on the wire."""
    return member_service_pb2.Role.ValueType(role or 0)


def user_to_proto(user: User) -> member_service_pb2.User:
    """Put a person on the wire, without what is stored of the password."""
    return member_service_pb2.User(
        user_id=str(user.user_id), email=user.email, first_name=user.first_name or "", last_name=user.last_name or ""
    )


def member_to_proto(member: Member) -> member_service_pb2.Member:
    """Put a member on the wire."""
    return member_service_pb2.Member(
        org_id=str(member.org_id),
        user=user_to_proto(member.user),
        role=role_to_proto(member.role),
        created_at=timestamp(member.created_at),
    )


def invitation_to_proto(invitation: Invitation) -> member_service_pb2.Invitation:
    """Put an invitation on the wire, without its token."""
    return member_service_pb2.Invitation(
        invitation_id=str(invitation.invitation_id),
        org_id=str(invitation.org_id),
        email=invitation.email,
        role=role_to_proto(invitation.role),
        created_at=timestamp(invitation.created_at),
        expires_at=timestamp(invitation.expires_at),
    )


def session_to_proto(session: Session) -> session_service_pb2.Session:
    """Put a session on the wire, without its token."""
    return session_service_pb2.Session(
        session_id=str(session.session_id),
        user=user_to_proto(session.user),
        org=None if session.org is None else org_to_proto(session.org),
        role=role_to_proto(session.role),
        expires_at=timestamp(session.expires_at),
        memberships=[
            session_service_pb2.Membership(
                org_id=str(each.org_id), org_name=each.org_name, role=role_to_proto(each.role)
            )
            for each in session.memberships
        ],
    )


def opened_to_proto(opened: OpenedSession) -> session_service_pb2.OpenedSession:
    """Put a new session on the wire, with its token."""
    return session_service_pb2.OpenedSession(session=session_to_proto(opened.session), token=opened.token)
