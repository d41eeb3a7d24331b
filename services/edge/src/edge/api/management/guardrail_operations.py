"""What the routes of guardrails say about themselves."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from edge.api.http.operations import Operation
from edge.api.management.guardrail_answers import (
    AssignedCount,
    GuardrailAnswer,
    GuardrailPage,
    KeyAssignmentPage,
    MemberAssignmentPage,
    UnassignedCount,
)
from edge.api.management.guardrail_bodies import GuardrailChangeBody, NewGuardrailBody
from edge.api.management.key_answers import Deleted


class PageQuery(Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="entries to pass over")] | None = None
    limit: Annotated[int, Meta(ge=1, le=100, description="entries at most, 50 by default")] | None = None


class GuardrailsQuery(PageQuery, frozen=True, kw_only=True):
    """Which guardrails."""

    workspace_id: Annotated[str, Meta(max_length=100)] | None = None


class KeyHashes(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys, by hash."""

    key_hashes: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=1_000)]


class MemberUserIds(Struct, frozen=True, forbid_unknown_fields=True):
    """Members."""

    member_user_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(max_length=1_000)]


def _operation(name: str, summary: str, **members: Any) -> Operation:
    return Operation(id=name, tag="Guardrails", summary=summary, **members)


LIST: Final = _operation("listGuardrails", "List guardrails", query=GuardrailsQuery, answer=GuardrailPage)
CREATE: Final = _operation(
    "createGuardrail", "Make a guardrail", body=NewGuardrailBody, answer=GuardrailAnswer, status=201
)
GET: Final = _operation("getGuardrail", "Get a guardrail", answer=GuardrailAnswer)
UPDATE: Final = _operation(
    "updateGuardrail", "Change a guardrail", body=GuardrailChangeBody, answer=GuardrailAnswer, errors=(409,)
)
DELETE: Final = _operation("deleteGuardrail", "Delete a guardrail", answer=Deleted)
LIST_KEYS: Final = _operation(
    "listKeyAssignments", "List what guardrails bind keys", query=PageQuery, answer=KeyAssignmentPage
)
LIST_MEMBERS: Final = _operation(
    "listMemberAssignments", "List what guardrails bind members", query=PageQuery, answer=MemberAssignmentPage
)
LIST_OWN_KEYS: Final = _operation(
    "listGuardrailKeyAssignments", "List the keys that a guardrail binds", query=PageQuery, answer=KeyAssignmentPage
)
LIST_OWN_MEMBERS: Final = _operation(
    "listGuardrailMemberAssignments",
    "List the members that a guardrail binds",
    query=PageQuery,
    answer=MemberAssignmentPage,
)
ASSIGN_KEYS: Final = _operation(
    "bulkAssignKeysToGuardrail", "Bind keys to a guardrail", body=KeyHashes, answer=AssignedCount
)
ASSIGN_MEMBERS: Final = _operation(
    "bulkAssignMembersToGuardrail", "Bind members to a guardrail", body=MemberUserIds, answer=AssignedCount
)
FREE_KEYS: Final = _operation(
    "bulkUnassignKeysFromGuardrail", "Free keys from a guardrail", body=KeyHashes, answer=UnassignedCount
)
FREE_MEMBERS: Final = _operation(
    "bulkUnassignMembersFromGuardrail", "Free members from a guardrail", body=MemberUserIds, answer=UnassignedCount
)
