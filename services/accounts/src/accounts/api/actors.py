"""Who asks for a change, as the call says it: binary metadata with an `Actor`."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from accounts.domain.errors import InvalidFieldError
from accounts.domain.people import OPERATOR, Actor, ActorKind, Role
from turnpike.accounts.v1 import member_service_pb2

METADATA_KEY: Final = "turnpike-actor-bin"
_KINDS: Final = {
    member_service_pb2.ACTOR_KIND_KEY: ActorKind.KEY,
    member_service_pb2.ACTOR_KIND_USER: ActorKind.USER,
}


def actor_of(context: grpc.aio.ServicerContext[Any, Any]) -> Actor:
    """Read who asks. A call without it comes from inside: the operator of the installation.

    Raises:
        InvalidFieldError: it is there and cannot be read.
    """
    for name, value in context.invocation_metadata() or ():
        if name != METADATA_KEY:
            continue
        try:
            said = member_service_pb2.Actor.FromString(value if isinstance(value, bytes) else value.encode())
        except DecodeError:
            raise InvalidFieldError(METADATA_KEY, "cannot be read") from None
        kind = _KINDS.get(said.kind)
        if kind is None:
            raise InvalidFieldError(METADATA_KEY, "does not say who asks")
        role = Role(said.role) if said.role in {int(role) for role in Role} else None
        return Actor(kind, said.id, role, said.ip, said.request_id)
    return OPERATOR
