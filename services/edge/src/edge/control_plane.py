"""What the edge needs of who manages organisations. Adapters implement it."""

from __future__ import annotations

from typing import Protocol, TypeVar

from google.protobuf.message import Message

from edge.domain.actor import Actor
from edge.domain.principal import Principal

M = TypeVar("M", bound=Message)


class SessionLookup(Protocol):
    """Knows the sessions of people who are signed in."""

    async def resolve_session(self, digest: str) -> Principal:
        """Find whom a session stands for.

        Raises:
            NotFoundError: there is no such session, or it is over.
            DependencyError: nobody could say.
        """
        ...


class ControlPlane(Protocol):
    """What members, workspaces, sessions and the audit log are asked of, in the words of its contract."""

    async def ask(self, rpc: str, request: Message, answer: type[M], actor: Actor) -> M:
        """Make a call, such as `MemberService/ListMembers`, in somebody's name.

        Raises:
            NotFoundError: there is no such thing, or it belongs to another organisation.
            RefusedError: it is refused.
            DependencyError: nobody answered.
        """
        ...
