"""Customers' own provider keys, and who may use them for what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contracts.catalog import Model
from router.domain.settlement import Caller


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A customer's own key at a provider.

    Attributes:
        byok_key_id: names it.
        provider: slug.
        reveal: opens it, for as long as the result is held. Raises SealError.
        version: counts the secrets that were stored in its place.
        is_fallback: whether it is used after shared capacity.
        is_required: whether shared capacity of the provider is not used where it may be.
        workspace_id: whose keys may use it; empty for all.
        allowed_models, allowed_key_ids, allowed_user_ids: None restricts nothing.
    """

    byok_key_id: str
    provider: str
    reveal: Callable[[], str] = field(repr=False, compare=False)
    version: int = 1
    is_fallback: bool = False
    is_required: bool = False
    workspace_id: str = ""
    allowed_models: frozenset[str] | None = None
    allowed_key_ids: frozenset[str] | None = None
    allowed_user_ids: frozenset[str] | None = None

    def is_for(self, caller: Caller) -> bool:
        """Whether a caller may use it."""
        if self.allowed_key_ids is not None and caller.key_id not in self.allowed_key_ids:
            return False
        if self.allowed_user_ids is not None and caller.member_id not in self.allowed_user_ids:
            return False
        return not self.workspace_id or self.workspace_id == (caller.workspace_id or caller.org_id)

    def may_serve(self, model: Model) -> bool:
        """Whether it may be used for a model, by any of its names."""
        if self.allowed_models is None:
            return True
        return bool(self.allowed_models & {model.id, model.canonical_slug, *model.aliases})
