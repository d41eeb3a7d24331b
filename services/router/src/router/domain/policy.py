"""Where a caller's requests may go, whatever they ask for themselves: what keys and guardrails allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from contracts.catalog import Endpoint, Model

# Authors whose models are ruled on their own, by the slugs that they go by; all others are one group.
_GROUPS: Final = {
    "anthropic": "anthropic",
    "openai": "openai",
    "google": "google",
    "x-ai": "xai",
    "xai": "xai",
}
_OTHERS: Final = "other"


@dataclass(frozen=True, slots=True)
class RoutingPolicy:
    """A policy. Empty collections restrict nothing.

    Attributes:
        allowed_models: a model must be in each of the lists, by any of its names.
        ignored_models: names of models that may not be used.
        allowed_providers: an endpoint must be in each of the lists, by its provider's slug or its tag.
        ignored_providers: slugs and tags that may not be used.
        zero_retention: groups of authors whose models are only used where nothing is kept.
        deny_paid_training, deny_free_training: rule out endpoints that train on requests, with and without a price.
        deny_free_publication: rules out endpoints without a price that may publish requests: those that keep them.
    """

    allowed_models: tuple[frozenset[str], ...] = ()
    ignored_models: frozenset[str] = frozenset()
    allowed_providers: tuple[frozenset[str], ...] = ()
    ignored_providers: frozenset[str] = frozenset()
    zero_retention: frozenset[str] = frozenset()
    deny_paid_training: bool = False
    deny_free_training: bool = False
    deny_free_publication: bool = False

    def allows_model(self, model: Model) -> bool:
        """Whether a model may be used. A variant (`:free`) is a model of its own."""
        if not self.allowed_models and not self.ignored_models:
            return True
        names = {model.id, model.canonical_slug, *model.aliases}
        return not names & self.ignored_models and all(names & allowed for allowed in self.allowed_models)

    def allows_provider(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint's provider may be used."""
        names = {endpoint.provider.slug, endpoint.tag}
        return not names & self.ignored_providers and all(names & allowed for allowed in self.allowed_providers)

    def requires_zero_retention(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint may only be used if it keeps nothing."""
        if not self.zero_retention:
            return False
        author = endpoint.model_id.partition("/")[0]
        return _GROUPS.get(author, _OTHERS) in self.zero_retention

    def denies_training(self, endpoint: Endpoint) -> bool:
        """Whether an endpoint may only be used if it does not train on requests, and publishes none."""
        if not is_free(endpoint):
            return self.deny_paid_training and endpoint.data_policy.trains_on_prompts
        if self.deny_free_training and endpoint.data_policy.trains_on_prompts:
            return True
        return self.deny_free_publication and endpoint.data_policy.retains_prompts


def is_free(endpoint: Endpoint) -> bool:
    """Whether nothing at all is charged at an endpoint."""
    price = endpoint.price
    return not (price.prompt or price.completion or price.reasoning or price.request)


ANYWHERE: Final = RoutingPolicy()
