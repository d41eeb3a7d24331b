"""What members, workspaces, sessions and the audit log need from outside. Every method may raise StoreUnavailableError."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.audit import AuditEntry, AuditFinding
from accounts.domain.oidc import OidcFlow, OidcIdentity
from accounts.domain.people import Actor, Invitation, Member, Role, User
from accounts.domain.sessions import AuthCode, NewSession, Session
from accounts.domain.workspaces import Budget, Workspace, WorkspaceFields, WorkspaceMember


class MemberStore(Protocol):
    """Members and invitations. Every change is in the audit log."""

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Member], int]:
        """Return members, the longest-standing first, and how many there are in all."""
        ...

    async def change_role(self, org_id: UUID, user_id: UUID, role: Role, actor: Actor, now: datetime) -> Member:
        """Change a role. Raises NotFoundError, ForbiddenError."""
        ...

    async def remove(self, org_id: UUID, user_id: UUID, actor: Actor, now: datetime) -> None:
        """Remove a member. Raises NotFoundError, ForbiddenError."""
        ...

    async def invite(self, invitation: Invitation, actor: Actor) -> None:
        """Store an invitation. Raises AlreadyExistsError."""
        ...

    async def invitations(self, org_id: UUID, now: datetime) -> Sequence[Invitation]:
        """Return the open invitations, newest first."""
        ...

    async def revoke(self, org_id: UUID, invitation_id: UUID, actor: Actor, now: datetime) -> None:
        """Withdraw an invitation. Raises NotFoundError."""
        ...

    async def accept(self, token_digest: str, user_id: UUID, actor: Actor, now: datetime) -> Member:
        """Make a user a member, once. Raises NotFoundError, ForbiddenError."""
        ...

    async def accept_as_new_user(self, token_digest: str, user: User, actor: Actor, now: datetime) -> Member:
        """Store a person and make them a member, once. Raises NotFoundError, AlreadyExistsError."""
        ...


class WorkspaceStore(Protocol):
    """Workspaces and budgets. Every change is in the audit log."""

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Workspace], int]:
        """Return workspaces, the default one first, and how many there are in all."""
        ...

    async def get(self, org_id: UUID, name: str) -> Workspace:
        """Return a workspace by its id or slug. Raises NotFoundError."""
        ...

    async def add(self, workspace: Workspace, actor: Actor) -> Workspace:
        """Store a new workspace. Raises AlreadyExistsError, ForbiddenError."""
        ...

    async def update(self, workspace: Workspace, fields: WorkspaceFields, actor: Actor, now: datetime) -> Workspace:
        """Change a workspace. Raises AlreadyExistsError."""
        ...

    async def delete(self, org_id: UUID, name: str, actor: Actor, now: datetime) -> None:
        """Delete a workspace. Raises NotFoundError, ForbiddenError."""
        ...

    async def put_budget(
        self, org_id: UUID, name: str, budget: Budget, include_byok: bool | None, actor: Actor, now: datetime
    ) -> Workspace:
        """Set the budget of an interval. Raises NotFoundError, InvalidFieldError."""
        ...

    async def delete_budget(self, org_id: UUID, name: str, interval: int, actor: Actor, now: datetime) -> None:
        """Remove the budget of an interval, if there is one. Raises NotFoundError."""
        ...


class WorkspaceMemberStore(Protocol):
    """Members of workspaces. Every change is in the audit log."""

    async def page(self, workspace: Workspace, offset: int, limit: int) -> tuple[list[WorkspaceMember], int]:
        """Return members, the longest-standing first, and how many there are in all."""
        ...

    async def add(
        self, workspace: Workspace, user_ids: Sequence[UUID], actor: Actor, now: datetime
    ) -> list[WorkspaceMember]:
        """Add members of the organisation; returns those who are new. Raises InvalidFieldError."""
        ...

    async def remove(self, workspace: Workspace, user_ids: Sequence[UUID], actor: Actor, now: datetime) -> int:
        """Remove members; returns how many. Raises ForbiddenError, InvalidFieldError."""
        ...


class SessionStore(Protocol):
    """Sessions, by the digest of their token."""

    async def open(self, new: NewSession) -> Session:
        """Open a session, in the organisation that its user has been a member of for longest."""
        ...

    async def resolve(self, digest: str, now: datetime) -> Session:
        """Find a session that is alive. Raises NotFoundError."""
        ...

    async def rotate(self, digest: str, new_digest: str, org_id: UUID | None, now: datetime) -> Session:
        """Give a session a new token, and put it into an organisation of its user. Raises NotFoundError."""
        ...

    async def end(self, digest: str, now: datetime) -> None:
        """End a session, if it is alive."""
        ...

    async def end_all(self, user_id: UUID, now: datetime, *, but: str = "") -> None:
        """End a user's sessions, except for the one with a digest."""
        ...


class SignInStore(Protocol):
    """Accounts, failed attempts, and flows under way."""

    async def by_email(self, email: str) -> User | None:
        """Find an account by its address."""
        ...

    async def by_identity(self, identity: OidcIdentity, new: User) -> User:
        """Find the account of an identity, or of its verified address, or store a new one."""
        ...

    async def set_password(self, user_id: UUID, password_hash: str) -> None:
        """Change a password."""
        ...

    async def count_attempts(self, limits: Mapping[str, int], now: datetime) -> int:
        """Count an attempt for each subject; returns seconds to wait when one has had more than its limit."""
        ...

    async def forgive(self, account: str, address: str, now: datetime) -> None:
        """An attempt was right."""
        ...

    async def add_flow(self, flow: OidcFlow, now: datetime) -> None:
        """Remember a flow that begins."""
        ...

    async def take_flow(self, state_digest: str) -> OidcFlow | None:
        """Find a flow and forget it."""
        ...


class AuthCodeStore(Protocol):
    """Codes that are exchanged for keys."""

    async def add(self, code: AuthCode) -> None:
        """Store a code. Raises InvalidFieldError."""
        ...

    async def take(self, code_digest: str, now: datetime) -> AuthCode | None:
        """Find a code that is not over, and use it up."""
        ...


class AuditLog(Protocol):
    """What was changed, by whom."""

    async def page(self, org_id: UUID, after: int, limit: int) -> Sequence[AuditEntry]:
        """Return entries in order, those after a sequence."""
        ...

    async def verify(self, org_id: UUID, anchor: tuple[int, str] | None) -> AuditFinding:
        """Go through the whole chain."""
        ...


class Passwords(Protocol):
    """Makes and compares what is stored of passwords."""

    async def hash(self, password: str) -> str:
        """Make what is stored of a password."""
        ...

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether a password is the one that was stored; False, after as long, where nothing is."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Whether it was made with other parameters than today's."""
        ...


class OidcProvider(Protocol):
    """The installation's OpenID provider. Raises ProviderUnavailableError."""

    async def authorization_url(self, state: str, nonce: str, code_verifier: str) -> str:
        """Where to send the browser."""
        ...

    async def identify(self, code: str, nonce: str, code_verifier: str) -> OidcIdentity:
        """Exchange a code for whom the provider names. Raises NotSignedInError."""
        ...
