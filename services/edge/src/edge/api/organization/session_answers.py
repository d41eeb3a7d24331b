"""Types of the answers about sessions."""

from __future__ import annotations

from edge.api.http.answer import Answer
from edge.api.http.timestamps import timestamp_json
from edge.api.organization.member_answers import RoleName, role_name
from turnpike.accounts.v1 import session_service_pb2 as messages


class SignedInUser(Answer, frozen=True, kw_only=True):
    """Who is signed in."""

    id: str
    email: str
    first_name: str | None
    last_name: str | None


class SessionOrganization(Answer, frozen=True, kw_only=True):
    """An organisation that the user is a member of."""

    id: str
    name: str
    role: RoleName


class Session(Answer, frozen=True, kw_only=True):
    """A session. `organization` is the one that it is in; null while its user is in none."""

    user: SignedInUser
    organization: SessionOrganization | None
    organizations: list[SessionOrganization]
    expires_at: str


class SessionAnswer(Answer, frozen=True, kw_only=True):
    """A session, with what a page of ours sends as `X-CSRF-Token` when it changes something.

    `token` is what a program sends as a bearer: there where it was asked for instead of a cookie, and null otherwise.
    """

    data: Session
    csrf_token: str | None
    token: str | None = None


def session_of(session: messages.Session) -> Session:
    """Describe a session."""
    organizations = [
        SessionOrganization(id=each.org_id, name=each.org_name, role=role_name(each.role))
        for each in session.memberships
    ]
    current = session.org.org_id if session.HasField("org") else ""
    return Session(
        user=SignedInUser(
            id=session.user.user_id,
            email=session.user.email,
            first_name=session.user.first_name or None,
            last_name=session.user.last_name or None,
        ),
        organization=next((each for each in organizations if each.id == current), None),
        organizations=organizations,
        expires_at=timestamp_json(session.expires_at),
    )
