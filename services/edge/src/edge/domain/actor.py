"""In whose name a change is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge.domain.principal import Principal, Role


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks, for the audit log. `id` is the member's, or else the key's; empty while nobody is established."""

    is_user: bool = False
    id: str = ""
    role: Role | None = None
    ip: str = ""
    request_id: str = ""


NOBODY: Final = Actor()


def actor_of(principal: Principal | None, ip: str, request_id: str) -> Actor:
    """Say in whose name a request asks."""
    if principal is None:
        return Actor(ip=ip, request_id=request_id)
    if principal.member is not None:
        return Actor(True, principal.member.user_id, principal.member.role, ip, request_id)
    return Actor(False, principal.key.key_id, None, ip, request_id)
