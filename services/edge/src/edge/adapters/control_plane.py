"""Calls to accounts in the name of a caller: members, workspaces, sessions, the audit log."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from contracts.errors import ErrorReason
from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from edge.adapters.convert import org_from_proto
from edge.adapters.grpc_status import error_from_status
from edge.domain.actor import Actor
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.domain.principal import Key, KeyKind, Member, Org, Principal, Role
from turnpike.accounts.v1 import member_service_pb2, session_service_pb2

M = TypeVar("M", bound=Message)

ACTOR_KEY: Final = "turnpike-actor-bin"
_PACKAGE: Final = "turnpike.accounts.v1"
_NAME: Final = "accounts"


def actor_metadata(actor: Actor) -> tuple[tuple[str, str | bytes], ...]:
    """The metadata that says who asks for a change."""
    return ((ACTOR_KEY, _actor_to_proto(actor).SerializeToString()),)


def _actor_to_proto(actor: Actor) -> member_service_pb2.Actor:
    kind = member_service_pb2.ACTOR_KIND_USER if actor.is_user else member_service_pb2.ACTOR_KIND_KEY
    return member_service_pb2.Actor(
        kind=kind,
        id=actor.id,
        role=member_service_pb2.Role.ValueType(actor.role or 0),
        ip=actor.ip,
        request_id=actor.request_id,
    )


class GrpcControlPlane:
    """The ControlPlane and SessionLookup over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._channel = channel
        self._timeout_s = timeout.total_seconds()

    async def ask(self, rpc: str, request: Message, answer: type[M], actor: Actor) -> M:
        """Make a call, such as `MemberService/ListMembers`."""
        call = self._channel.unary_unary(
            f"/{_PACKAGE}.{rpc}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            found: M = await call(request, timeout=self._timeout_s, metadata=actor_metadata(actor))
        except grpc.aio.AioRpcError as error:
            translated = error_from_status(error, _NAME)
            if isinstance(translated, RefusedError) and translated.reason is ErrorReason.NOT_FOUND:
                raise NotFoundError(_sentence(translated.message)) from None
            raise translated from None
        return found

    async def resolve_session(self, digest: str) -> Principal:
        """Find whom a session stands for."""
        answer = await self.ask(
            "SessionService/ResolveSession",
            session_service_pb2.ResolveSessionRequest(token_digest=digest),
            session_service_pb2.ResolveSessionResponse,
            Actor(),
        )
        return principal_from_session(answer.session, digest)


def principal_from_session(session: session_service_pb2.Session, digest: str) -> Principal:
    """Read whom a session stands for.

    Raises:
        DependencyError: it does not say.
    """
    in_org = session.HasField("org")
    if not session.session_id or not session.user.user_id or (in_org and not session.role):
        raise DependencyError(_NAME)
    try:
        role = Role(session.role) if in_org else None
        org = org_from_proto(session.org) if in_org else Org(OrgId(""), False, NanoUsd(0), 0)
    except ValueError:
        raise DependencyError(_NAME) from None
    key = Key(
        key_id=KeyId(session.session_id),
        digest="",
        org_id=org.org_id,
        kind=KeyKind.MANAGEMENT,
        disabled=False,
        limit=None,
        spent=NanoUsd(0),
        expires_at_ms=None,
        revision=0,
    )
    return Principal(key, org, Member(session.user.user_id, session.user.email, role, digest))


def _sentence(message: str) -> str:
    return message[:1].upper() + message[1:]
