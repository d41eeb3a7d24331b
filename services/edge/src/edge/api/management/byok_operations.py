"""What the routes of customers' own provider keys say about themselves."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from edge.api.http.operations import Operation
from edge.api.management.byok_answers import ByokKeyAnswer, ByokKeyPage
from edge.api.management.byok_bodies import ByokChangeBody, NewByokBody
from edge.api.management.guardrail_operations import PageQuery
from edge.api.management.key_answers import Deleted


class ByokQuery(PageQuery, frozen=True, kw_only=True):
    """Which provider keys."""

    workspace_id: Annotated[str, Meta(max_length=100)] | None = None
    provider: Annotated[str, Meta(max_length=100)] | None = None


LIST: Final = Operation(
    id="listBYOKKeys", tag="BYOK", summary="List provider keys", query=ByokQuery, answer=ByokKeyPage
)
CREATE: Final = Operation(
    id="createBYOKKey",
    tag="BYOK",
    summary="Store a provider key",
    body=NewByokBody,
    answer=ByokKeyAnswer,
    status=201,
)
GET: Final = Operation(id="getBYOKKey", tag="BYOK", summary="Get a provider key", answer=ByokKeyAnswer)
UPDATE: Final = Operation(
    id="updateBYOKKey",
    tag="BYOK",
    summary="Change a provider key",
    body=ByokChangeBody,
    answer=ByokKeyAnswer,
    errors=(409,),
)
DELETE: Final = Operation(id="deleteBYOKKey", tag="BYOK", summary="Delete a provider key", answer=Deleted)
