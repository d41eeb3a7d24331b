"""Rate limits that all of an organisation share, and those that all keys of one of its workspaces do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contracts.rate_limits import RateLimit
from edge.domain.rate_limits import LimitSet, Owned
from edge.domain.windows import LimitOwner


@dataclass(frozen=True, slots=True)
class OrgRateLimit:
    """A limit; `workspace_id` is empty where it is the whole organisation's."""

    workspace_id: str
    limit: RateLimit


def limit_sets_of(limits: Iterable[OrgRateLimit], org_id: str, workspace_id: str, key_id: str) -> Iterator[LimitSet]:
    """The limits that hold for a key of a workspace."""
    own = tuple(each.limit for each in limits if each.workspace_id == workspace_id)
    if own:
        yield LimitSet(f"workspace/{workspace_id}", "this workspace", own, Owned(LimitOwner.WORKSPACE, org_id, key_id))
    shared = tuple(each.limit for each in limits if not each.workspace_id)
    if shared:
        yield LimitSet(f"org/{org_id}", "this organization", shared, Owned(LimitOwner.ORG, org_id))
