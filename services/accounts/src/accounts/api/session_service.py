"""The gRPC service of sign-in, sessions and codes: parse, call, convert."""

from __future__ import annotations

from typing import Any, Final

import grpc

from accounts.api.actors import actor_of
from accounts.api.errors import aborting
from accounts.api.moments import moment_from_proto
from accounts.api.people_messages import opened_to_proto, session_to_proto
from accounts.auth_codes import AuthCodes
from accounts.domain.people import Actor
from accounts.records import timestamp
from accounts.sessions import Sessions
from contracts.spend import SpendInterval
from turnpike.accounts.v1 import session_service_pb2 as messages
from turnpike.accounts.v1 import session_service_pb2_grpc as stubs

SERVICE_NAME: Final = messages.DESCRIPTOR.services_by_name["SessionService"].full_name

Context = grpc.aio.ServicerContext[Any, Any]


class SessionServicer(stubs.SessionServiceServicer):
    """Sign-in, sessions and codes. The names of the methods are those of the wire."""

    def __init__(self, sessions: Sessions, codes: AuthCodes) -> None:
        self._sessions = sessions
        self._codes = codes

    async def SignIn(self, request: messages.SignInRequest, context: Context) -> messages.SignInResponse:  # noqa: N802 - named by the wire
        """Sign in with a password."""
        async with aborting(context):
            opened = await self._sessions.sign_in(request.email, request.password, request.ip)
            return messages.SignInResponse(opened=opened_to_proto(opened))

    async def SignUp(self, request: messages.SignUpRequest, context: Context) -> messages.SignUpResponse:  # noqa: N802 - named by the wire
        """Sign up with an invitation."""
        async with aborting(context):
            opened = await self._sessions.sign_up(
                request.invitation_digest,
                request.password,
                request.first_name,
                request.last_name,
                Actor(ip=request.ip, request_id=actor_of(context).request_id),
            )
            return messages.SignUpResponse(opened=opened_to_proto(opened))

    async def BeginOidc(self, request: messages.BeginOidcRequest, context: Context) -> messages.BeginOidcResponse:  # noqa: N802 - named by the wire
        """Start a sign-in with the OpenID provider."""
        async with aborting(context):
            url, state = await self._sessions.begin_oidc()
            return messages.BeginOidcResponse(authorization_url=url, state=state)

    async def FinishOidc(self, request: messages.FinishOidcRequest, context: Context) -> messages.FinishOidcResponse:  # noqa: N802 - named by the wire
        """End a sign-in with the OpenID provider."""
        async with aborting(context):
            opened = await self._sessions.finish_oidc(request.state, request.code, request.ip)
            return messages.FinishOidcResponse(opened=opened_to_proto(opened))

    async def ResolveSession(  # noqa: N802 - named by the wire
        self, request: messages.ResolveSessionRequest, context: Context
    ) -> messages.ResolveSessionResponse:
        """Find a session."""
        async with aborting(context):
            session = await self._sessions.resolve(request.token_digest)
            return messages.ResolveSessionResponse(session=session_to_proto(session))

    async def SwitchOrg(self, request: messages.SwitchOrgRequest, context: Context) -> messages.SwitchOrgResponse:  # noqa: N802 - named by the wire
        """Change the organisation of a session."""
        async with aborting(context):
            opened = await self._sessions.switch_org(request.token_digest, request.org_id)
            return messages.SwitchOrgResponse(opened=opened_to_proto(opened))

    async def EndSession(self, request: messages.EndSessionRequest, context: Context) -> messages.EndSessionResponse:  # noqa: N802 - named by the wire
        """End sessions."""
        async with aborting(context):
            await self._sessions.end(request.token_digest, everywhere=request.everywhere)
            return messages.EndSessionResponse()

    async def ChangePassword(  # noqa: N802 - named by the wire
        self, request: messages.ChangePasswordRequest, context: Context
    ) -> messages.ChangePasswordResponse:
        """Change a password."""
        async with aborting(context):
            opened = await self._sessions.change_password(
                request.token_digest, request.old_password, request.new_password, request.ip
            )
            return messages.ChangePasswordResponse(opened=opened_to_proto(opened))

    async def CreateAuthCode(  # noqa: N802 - named by the wire
        self, request: messages.CreateAuthCodeRequest, context: Context
    ) -> messages.CreateAuthCodeResponse:
        """Make a code."""
        async with aborting(context):
            code, secret = await self._codes.create(
                request.org_id,
                request.workspace_id,
                request.user_id,
                (request.code_challenge, request.code_challenge_method),
                request.key_label,
                request.limit_nano_usd if request.HasField("limit_nano_usd") else None,
                SpendInterval(request.limit_reset),
                moment_from_proto("expires_at", request.key_expires_at) if request.HasField("key_expires_at") else None,
            )
            return messages.CreateAuthCodeResponse(code=secret, created_at=timestamp(code.created_at))

    async def ExchangeAuthCode(  # noqa: N802 - named by the wire
        self, request: messages.ExchangeAuthCodeRequest, context: Context
    ) -> messages.ExchangeAuthCodeResponse:
        """Exchange a code for a key."""
        async with aborting(context):
            secret, user_id = await self._codes.exchange(
                request.code_digest, request.code_verifier, request.code_challenge_method, actor_of(context)
            )
            return messages.ExchangeAuthCodeResponse(secret=secret, user_id=user_id)
