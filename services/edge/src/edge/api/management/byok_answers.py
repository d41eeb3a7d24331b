"""Types of the answers about customers' own provider keys."""

from __future__ import annotations

from edge.api.http.answer import Answer, Data, Page


class ByokKeyRow(Answer, frozen=True, kw_only=True):
    """A provider key, without the key. `label` is what people may see of it; what is null restricts nothing.

    `is_byok_only`, `declared_zdr` and `declared_region` are OpenRouter's and always the same here: nothing is declared.
    """

    id: str
    provider: str
    name: str | None
    label: str
    workspace_id: str | None
    disabled: bool
    is_fallback: bool
    is_required: bool
    is_byok_only: bool
    sort_order: int
    allowed_models: list[str] | None
    allowed_api_key_hashes: list[str] | None
    allowed_user_ids: list[str] | None
    declared_zdr: bool | None
    declared_region: str | None
    created_at: str


ByokKeyAnswer = Data[ByokKeyRow]
ByokKeyPage = Page[ByokKeyRow]
