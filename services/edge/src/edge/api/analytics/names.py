"""The names that people gave to what usage is counted by. What has none any more is shown by its id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge.api.http.exchange import Exchange
from edge.api.organization.calls import Calls
from edge.ports import KeyFilter, KeyRegistry
from turnpike.accounts.v1 import workspace_service_pb2 as messages

# Names are looked up in so many pages of a hundred; of more some are shown by their ids.
_MAX_PAGES: Final = 10
_PAGE: Final = 100


class UsageNames:
    """Looks names up, by dimension and id, of the caller's organisation."""

    def __init__(self, registry: KeyRegistry, calls: Calls) -> None:
        """Make the use case.

        Args:
            registry: knows the names of keys.
            calls: asks accounts for those of workspaces.
        """
        self._registry = registry
        self._calls = calls

    async def of(self, exchange: Exchange, columns: frozenset[str]) -> Mapping[str, Mapping[str, str]]:
        """The names that these columns need.

        Raises:
            DependencyError: nobody could say.
        """
        names: dict[str, Mapping[str, str]] = {}
        if "api_key_id" in columns:
            names["api_key_id"] = await self._keys(exchange)
        if "workspace" in columns:
            names["workspace"] = await self._workspaces(exchange)
        return names

    async def _keys(self, exchange: Exchange) -> Mapping[str, str]:
        names: dict[str, str] = {}
        for page in range(_MAX_PAGES):
            listed = await self._registry.list(
                exchange.principal.org.org_id, len(names), KeyFilter(include_disabled=True)
            )
            names.update((key.key_id, key.name) for key in listed.keys)
            if not listed.keys or len(names) >= listed.total_count or page == _MAX_PAGES - 1:
                break
        return names

    async def _workspaces(self, exchange: Exchange) -> Mapping[str, str]:
        names: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            request = messages.ListWorkspacesRequest(
                org_id=exchange.principal.org.org_id, offset=len(names), limit=_PAGE
            )
            listed = await self._calls(
                exchange, "WorkspaceService/ListWorkspaces", request, messages.ListWorkspacesResponse
            )
            names.update((each.workspace_id, each.fields.name) for each in listed.workspaces)
            if not listed.workspaces or len(names) >= listed.total_count:
                break
        return names
