"""Types of the answers about members, invitations and the audit log."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from edge.api.http.answer import Answer
from edge.api.http.timestamps import timestamp_json
from edge.domain.principal import Role
from turnpike.accounts.v1 import audit_service_pb2, member_service_pb2

WireRole = Literal["org:admin", "org:member"]
RoleName = Literal["owner", "admin", "billing", "developer", "viewer"]
ROLES: Final[dict[str, Role]] = {role.name.lower(): role for role in Role}


class OrganizationMember(Answer, frozen=True, kw_only=True):
    """A member. `role` is OpenRouter's; `organization_role` is ours, which says more."""

    id: str
    email: str
    first_name: str | None
    last_name: str | None
    role: WireRole
    organization_role: RoleName


class Invitation(Answer, frozen=True, kw_only=True):
    """An invitation that is open."""

    id: str
    email: str
    organization_role: RoleName
    created_at: str
    expires_at: str


class NewInvitation(Answer, frozen=True, kw_only=True):
    """An invitation that was made. `token` is nowhere else: whoever has it, and the address, can accept."""

    data: Invitation
    token: str


class AuditEntry(Answer, frozen=True, kw_only=True):
    """A change."""

    sequence: int
    occurred_at: str
    actor_kind: Literal["operator", "key", "user", "system"]
    actor_id: str | None
    action: str
    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    ip: str | None
    request_id: str | None
    previous_digest: str
    digest: str


class AuditFinding(Answer, frozen=True, kw_only=True):
    """Whether the audit log is intact."""

    intact: bool
    entries: int
    broken_at: int | None
    reason: str | None
    head_digest: str


def role_name(number: int) -> RoleName:
    """The word for a role."""
    name: RoleName = Role(number).name.lower()  # type: ignore[assignment]  # the names of Role are those of RoleName
    return name


def member_of(member: member_service_pb2.Member) -> OrganizationMember:
    """Describe a member."""
    role = Role(member.role)
    return OrganizationMember(
        id=member.user.user_id,
        email=member.user.email,
        first_name=member.user.first_name or None,
        last_name=member.user.last_name or None,
        role="org:admin" if role <= Role.ADMIN else "org:member",
        organization_role=role_name(role),
    )


def invitation_of(invitation: member_service_pb2.Invitation) -> Invitation:
    """Describe an invitation."""
    return Invitation(
        id=invitation.invitation_id,
        email=invitation.email,
        organization_role=role_name(invitation.role),
        created_at=timestamp_json(invitation.created_at),
        expires_at=timestamp_json(invitation.expires_at),
    )


def entry_of(entry: audit_service_pb2.AuditEntry) -> AuditEntry:
    """Describe an entry of the audit log."""
    return AuditEntry(
        sequence=entry.sequence,
        occurred_at=timestamp_json(entry.occurred_at),
        actor_kind=entry.actor_kind,  # type: ignore[arg-type]  # the words of the contract are those of the type
        actor_id=entry.actor_id or None,
        action=entry.action,
        target=entry.target,
        before=msgspec.json.decode(entry.before_json),
        after=msgspec.json.decode(entry.after_json),
        ip=entry.ip or None,
        request_id=entry.request_id or None,
        previous_digest=entry.previous_digest,
        digest=entry.digest,
    )
