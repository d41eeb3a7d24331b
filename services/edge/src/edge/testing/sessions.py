"""Sessions and codes in memory, behind gRPC."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final
from uuid import uuid4

import grpc

from contracts import api_keys
from contracts.errors import ErrorReason
from edge.domain.errors import NotFoundError, RefusedError
from edge.testing.accounts import PEPPER
from edge.testing.organizations import CREATED_S, MemoryOrganizations, checked_id, wrong
from edge.testing.refusals import aborting
from turnpike.accounts.v1 import member_service_pb2
from turnpike.accounts.v1 import session_service_pb2 as messages
from turnpike.accounts.v1 import session_service_pb2_grpc as stubs

Context = grpc.aio.ServicerContext[Any, Any]
PASSWORD: Final = "correct horse battery"  # noqa: S105 - of tests only
_CHALLENGE_LENGTHS: Final = range(43, 129)


class SessionServicer(stubs.SessionServiceServicer):
    """Sessions that nothing but their users end. Everybody's password is the same until they change it.

    Attributes:
        organizations: whose members have sessions.
        made: codes that were asked for, in order.
        pepper: that tokens and codes are made with.
    """

    def __init__(self, organizations: MemoryOrganizations) -> None:
        self.organizations = organizations
        self.made: list[messages.CreateAuthCodeRequest] = []
        self.pepper = PEPPER
        self._sessions: dict[str, messages.Session] = {}
        self._codes: dict[str, messages.CreateAuthCodeRequest] = {}
        self._passwords: dict[str, str] = {}

    def open(self, org_id: str, email: str = "ada@example.com") -> str:
        """Open a session of a new owner of an organisation. Returns its token."""
        member = self.organizations.join(org_id, email)
        session = messages.Session(
            session_id=str(uuid4()),
            user=member.user,
            org=self.organizations.accounts.orgs[org_id],
            role=member.role,
            memberships=[messages.Membership(org_id=org_id, org_name="Example", role=member.role)],
        )
        session.expires_at.FromSeconds(CREATED_S + 30 * 86_400)
        self._passwords[member.user.user_id] = PASSWORD
        return self._opened(session).token

    def set_role(self, user_id: str, role: member_service_pb2.Role.ValueType) -> None:
        """Give a user another role in the organisation of each of their sessions."""
        for session in self._sessions.values():
            if session.user.user_id == user_id:
                session.role = role

    async def SignIn(self, request: Any, context: Context) -> messages.SignInResponse:  # noqa: N802 - named by the wire
        """Sign in an account that there is."""
        async with aborting(context):
            for session in list(self._sessions.values()):
                known = self._passwords[session.user.user_id]
                if session.user.email == request.email and request.password == known:
                    return messages.SignInResponse(opened=self._opened(session))
            raise RefusedError(ErrorReason.UNAUTHENTICATED, "The email address or the password is wrong")

    async def SignUp(self, request: Any, context: Context) -> messages.SignUpResponse:  # noqa: N802 - named by the wire
        """Refuse: nobody has the token of an invitation."""
        async with aborting(context):
            raise NotFoundError("no such invitation")

    async def BeginOidc(self, request: Any, context: Context) -> messages.BeginOidcResponse:  # noqa: N802 - named by the wire
        """Refuse: there is no provider."""
        async with aborting(context):
            raise NotFoundError("there is no OpenID provider")

    async def FinishOidc(self, request: Any, context: Context) -> messages.FinishOidcResponse:  # noqa: N802 - named by the wire
        """Refuse: there is no provider."""
        async with aborting(context):
            raise NotFoundError("there is no OpenID provider")

    async def ResolveSession(self, request: Any, context: Context) -> messages.ResolveSessionResponse:  # noqa: N802 - named by the wire
        """Find a session."""
        async with aborting(context):
            return messages.ResolveSessionResponse(session=self._session(request.token_digest))

    async def SwitchOrg(self, request: Any, context: Context) -> messages.SwitchOrgResponse:  # noqa: N802 - named by the wire
        """Stay in the one organisation that there is."""
        async with aborting(context):
            session = self._session(request.token_digest)
            if checked_id("organization_id", request.org_id) != session.org.org_id:
                raise NotFoundError("no such organization")
            del self._sessions[request.token_digest]
            return messages.SwitchOrgResponse(opened=self._opened(session))

    async def EndSession(self, request: Any, context: Context) -> messages.EndSessionResponse:  # noqa: N802 - named by the wire
        """End it, or all of its user's."""
        async with aborting(context):
            session = self._session(request.token_digest)
            self._end(session.user.user_id, "" if request.everywhere else request.token_digest)
            return messages.EndSessionResponse()

    async def ChangePassword(self, request: Any, context: Context) -> messages.ChangePasswordResponse:  # noqa: N802 - named by the wire
        """Take the right old password only."""
        async with aborting(context):
            session = self._session(request.token_digest)
            user_id = session.user.user_id
            if request.old_password != self._passwords[user_id]:
                raise RefusedError(ErrorReason.UNAUTHENTICATED, "The email address or the password is wrong")
            self._passwords[user_id] = request.new_password
            self._end(user_id, "")
            return messages.ChangePasswordResponse(opened=self._opened(session))

    async def CreateAuthCode(self, request: Any, context: Context) -> messages.CreateAuthCodeResponse:  # noqa: N802 - named by the wire
        """Make a code."""
        async with aborting(context):
            if request.workspace_id not in ("", request.org_id):
                raise wrong("workspace_id", "names no workspace of the organisation")
            challenge = request.code_challenge
            if challenge and (len(challenge) not in _CHALLENGE_LENGTHS or not challenge.isascii()):
                raise wrong("code_challenge", "must be 43 to 128 unreserved characters")
            if request.code_challenge_method and not challenge:
                raise wrong("code_challenge", "required with code_challenge_method")
            if not request.key_label.isprintable():
                raise wrong("key_label", "must not have control characters")
            code = f"auth_code_{uuid4().hex}"
            self.made.append(request)
            self._codes[api_keys.digest(code, self.pepper)] = request
            response = messages.CreateAuthCodeResponse(code=code)
            response.created_at.FromSeconds(CREATED_S)
            return response

    async def ExchangeAuthCode(self, request: Any, context: Context) -> messages.ExchangeAuthCodeResponse:  # noqa: N802 - named by the wire
        """Exchange a code, once, for whoever has the verifier."""
        async with aborting(context):
            code = self._codes.pop(request.code_digest, None)
            if code is None or not _fits(code, request.code_verifier):
                raise RefusedError(ErrorReason.PERMISSION_DENIED, "invalid code or code_verifier")
            secret, _ = self.organizations.accounts.add_key(code.org_id, name=code.key_label)
            return messages.ExchangeAuthCodeResponse(secret=secret, user_id=code.user_id)

    def _opened(self, session: messages.Session) -> messages.OpenedSession:
        token = f"tp_sess_{uuid4().hex}"
        self._sessions[api_keys.digest(token, self.pepper)] = session
        return messages.OpenedSession(session=session, token=token)

    def _end(self, user_id: str, digest: str) -> None:
        """End a session of a user; with "" all of them."""
        for known in [each for each, session in self._sessions.items() if session.user.user_id == user_id]:
            if digest in ("", known):
                del self._sessions[known]

    def _session(self, digest: str) -> messages.Session:
        session = self._sessions.get(digest)
        if session is None:
            raise NotFoundError("no such session")
        return session


def _fits(code: messages.CreateAuthCodeRequest, verifier: str) -> bool:
    if code.code_challenge_method == "S256":
        digest = hashlib.sha256(verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == code.code_challenge
    return code.code_challenge == verifier
