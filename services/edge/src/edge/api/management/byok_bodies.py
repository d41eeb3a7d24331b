"""Types of the bodies that store and change customers' own provider keys."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from edge.api.management.key_bodies import Names, Text

# Nothing of it is ever said again.
Secret = Annotated[str, Meta(min_length=1, max_length=16_384, pattern=r"\S")]
Hashes = Annotated[list[Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]], Meta(min_length=1, max_length=10_000)]


class ByokFieldsBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set when a key is stored and later. Null restricts nothing."""

    name: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\S")] | None = None
    disabled: bool | None = None
    is_fallback: bool | None = None
    is_required: bool | None = None
    allowed_models: Names | None = None
    allowed_api_key_hashes: Hashes | None = None
    allowed_user_ids: Names | None = None


class NewByokBody(ByokFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to store."""

    provider: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"\S")]
    key: Secret
    workspace_id: Text | None = None


class ByokChangeBody(ByokFieldsBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes to a key. A member that is absent stays as it is."""

    key: Secret | None = None
