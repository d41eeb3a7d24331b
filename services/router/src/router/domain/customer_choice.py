"""Customers' own provider keys in the order of attempts, with the capacity that is shared.

Source of the order: OpenRouter's BYOK. For each model: the customer's keys, then shared capacity, then the customer's keys that are
fallbacks; whatever the request says of order. Where a key is required, shared capacity of its provider is not used. A key that the
provider has just refused comes last.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from contracts.catalog import Endpoint
from router.domain.customer_keys import CustomerKey
from router.domain.eligibility import ExcludedBy, Exclusion
from router.domain.health_view import EndpointState
from router.domain.ranking import Candidate
from router.domain.selection import Choice


def with_customer_keys(
    choice: Choice,
    keys: Sequence[CustomerKey],
    shared: Container[str],
    *,
    pooled: bool,
    rests: Callable[[CustomerKey, Endpoint], bool] = lambda key, endpoint: False,
) -> Choice:
    """Put a customer's keys into a choice that was made as if every provider of theirs could be called.

    Args:
        choice: where the request may go.
        keys: those that the caller may use, in the order in which they are tried.
        shared: slugs of the providers that can be called with the operator's keys.
        pooled: whether the endpoints of all models are in one order, rather than model by model.
        rests: whether a key was just refused at an endpoint.
    """
    if not keys:
        return choice
    models = {model.id: model for model in choice.models}

    def own(endpoint: Endpoint) -> list[CustomerKey]:
        model = models[endpoint.model_id]
        return [key for key in keys if key.provider == endpoint.provider.slug and key.may_serve(model)]

    # A limit that the operator's key has met says nothing of the customer's.
    limited = [
        Candidate(each.endpoint, EndpointState(), 0.0)
        for each in choice.excluded
        if each.reason is ExcludedBy.RATE_LIMITED and own(each.endpoint)
    ]
    ordered: list[Candidate] = []
    for name, group in _groups(choice.candidates, limited, pooled=pooled):
        ordered += _in_order(
            group, [each for each in limited if name in ("", each.endpoint.model_id)], own, shared, rests
        )
    reached = {each.endpoint.id for each in ordered}
    unreachable = tuple(
        Exclusion(each.endpoint, ExcludedBy.CREDENTIALS)
        for each in choice.candidates
        if each.endpoint.id not in reached
    )
    excluded = tuple(each for each in choice.excluded if each.endpoint.id not in reached) + unreachable
    return replace(choice, candidates=tuple(ordered), excluded=excluded)


def _groups(
    candidates: Sequence[Candidate], limited: Sequence[Candidate], *, pooled: bool
) -> Iterable[tuple[str, list[Candidate]]]:
    if pooled:
        return [("", list(candidates))]
    groups = [(name, list(group)) for name, group in groupby(candidates, key=lambda each: str(each.endpoint.model_id))]
    named = {name for name, _ in groups}
    missing = dict.fromkeys(str(each.endpoint.model_id) for each in limited if each.endpoint.model_id not in named)
    return groups + [(name, []) for name in missing]


def _in_order(
    group: Sequence[Candidate],
    limited: Sequence[Candidate],
    own: Callable[[Endpoint], list[CustomerKey]],
    shared: Container[str],
    rests: Callable[[CustomerKey, Endpoint], bool],
) -> list[Candidate]:
    before: list[Candidate] = []
    after: list[Candidate] = []
    last: list[Candidate] = []
    for candidate in (*group, *limited):
        for key in own(candidate.endpoint):
            place = last if rests(key, candidate.endpoint) else after if key.is_fallback else before
            place.append(replace(candidate, customer_key=key))
    between = [
        candidate
        for candidate in group
        if candidate.endpoint.provider.slug in shared and not any(key.is_required for key in own(candidate.endpoint))
    ]
    return [*before, *between, *after, *last]
