"""What the handlers of this folder share: calls in the name of their caller, and paths that name workspaces."""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from google.protobuf.message import Message
from msgspec import Meta, Struct

from edge.api.http.exchange import Exchange
from edge.control_plane import ControlPlane
from edge.domain.actor import Actor

M = TypeVar("M", bound=Message)

DEFAULT_PAGE: Final = 50


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="records to pass over")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100, description="records to return, 50 when it is absent")] | None = None


def actor(exchange: Exchange) -> Actor:
    """In whose name a request asks."""
    return exchange.actor


def address(exchange: Exchange) -> str:
    """Where a request comes from; empty when that is not known."""
    return "" if exchange.address is None else str(exchange.address)


def org_id(exchange: Exchange) -> str:
    """The caller's organisation: of the key, or the one that the session is in. Nothing in a request selects it (S11)."""
    return exchange.principal.org.org_id


class Calls:
    """Asks accounts in the name of a request's caller."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    async def __call__(self, exchange: Exchange, rpc: str, request: Message, answer: type[M]) -> M:
        """Make a call, such as `MemberService/ListMembers`."""
        return await self._plane.ask(rpc, request, answer, actor(exchange))
