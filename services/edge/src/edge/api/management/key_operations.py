"""What the routes of API keys say about themselves."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct, field

from edge.api.http.operations import Operation
from edge.api.management.key_answers import ApiKeyAnswer, ApiKeyPage, Deleted, NewApiKey, OwnKeyAnswer
from edge.api.management.key_bodies import KeyChangeBody, NewKeyBody


class KeysQuery(Struct, frozen=True, kw_only=True):
    """Which keys."""

    offset: Annotated[int, Meta(ge=0, le=1_000_000, description="keys to pass over")] | None = None
    include_disabled: bool | None = None
    workspace_id: str | None = None


class IdempotencyHeaders(Struct, frozen=True, kw_only=True):
    """Headers of a call that may be repeated."""

    idempotency_key: (
        Annotated[str, Meta(max_length=100, description="makes a repeat fail rather than make a second key")] | None
    ) = field(name="Idempotency-Key", default=None)


OWN: Final = Operation(id="getCurrentKey", tag="API Keys", summary="Get the key in use", answer=OwnKeyAnswer)
OWN_OLDER: Final = Operation(
    id="getCurrentKeyByItsOlderName", tag="API Keys", summary="Get the key in use", answer=OwnKeyAnswer
)
LIST: Final = Operation(id="list", tag="API Keys", summary="List API keys", query=KeysQuery, answer=ApiKeyPage)
CREATE: Final = Operation(
    id="createKeys",
    tag="API Keys",
    summary="Make an API key",
    body=NewKeyBody,
    headers=IdempotencyHeaders,
    answer=NewApiKey,
    status=201,
    errors=(409,),
)
GET: Final = Operation(id="getKey", tag="API Keys", summary="Get an API key", answer=ApiKeyAnswer)
UPDATE: Final = Operation(
    id="updateKeys", tag="API Keys", summary="Change an API key", body=KeyChangeBody, answer=ApiKeyAnswer
)
DELETE: Final = Operation(id="deleteKeys", tag="API Keys", summary="Delete an API key", answer=Deleted)
