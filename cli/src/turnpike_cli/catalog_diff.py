"""What is different between two catalogues. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from contracts.catalog import Catalog, DataPolicy, Endpoint, Model
from contracts.catalog.price_schedule import KINDS
from contracts.money import pico_from_decimal, pico_to_decimal_text

_MILLION = 1_000_000
_TOKEN_KINDS = frozenset({"prompt", "completion", "reasoning", "cached", "cache_write"})
_PLAIN_KINDS = {"reasoning": "completion", "cached": "prompt", "cache_write": "prompt"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different at a model, an endpoint or a provider that both catalogues have.

    Attributes:
        subject: id of the model or the endpoint.
        field: what changed; of a price its kind, with the conditions of the override after a space.
        old, new: before and after, empty for nothing. Prices are decimal strings in dollars per token.
        percent: by how much a number changed, None where that says nothing.
        is_price: whether it is a price per token.
    """

    subject: str
    field: str
    old: str
    new: str
    percent: Decimal | None = None
    is_price: bool = False


@dataclass(frozen=True, slots=True)
class CatalogDiff:
    """The differences, in the order of the catalogues' files. Endpoints are those of models that both have."""

    added_providers: tuple[str, ...]
    removed_providers: tuple[str, ...]
    added_models: tuple[str, ...]
    removed_models: tuple[str, ...]
    added_endpoints: tuple[str, ...]
    removed_endpoints: tuple[str, ...]
    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        """Whether anything is different."""
        return any((self.added_providers, self.removed_providers, self.added_models, self.removed_models,
                    self.added_endpoints, self.removed_endpoints, self.changes))  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "providers": {"added": list(self.added_providers), "removed": list(self.removed_providers)},
            "models": {"added": list(self.added_models), "removed": list(self.removed_models)},
            "endpoints": {"added": list(self.added_endpoints), "removed": list(self.removed_endpoints)},
            "changes": [
                {
                    "subject": each.subject,
                    "field": each.field,
                    "old": each.old,
                    "new": each.new,
                    "percent": each.percent,
                }
                for each in self.changes
            ],
        }

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """The same for people: what, which, from, to, by how much. Prices are in dollars per million tokens."""
        for names, word in (
            (self.added_providers, "provider added"),
            (self.removed_providers, "provider removed"),
            (self.added_models, "model added"),
            (self.removed_models, "model removed"),
            (self.added_endpoints, "endpoint added"),
            (self.removed_endpoints, "endpoint removed"),
        ):
            yield from ((word, name, "", "", "") for name in names)
        for each in self.changes:
            old, new = (_per_million(text) if each.is_price else text for text in (each.old, each.new))
            percent = "" if each.percent is None else f"{each.percent:+f} %"
            yield each.field, each.subject, old or "-", new or "-", percent


def compare(old: Catalog, new: Catalog) -> CatalogDiff:
    """Compare two catalogues."""
    both = [model_id for model_id in old.models if model_id in new.models]
    before = {endpoint.id: endpoint for model_id in both for endpoint in old.models[model_id].endpoints}
    after = {endpoint.id: endpoint for model_id in both for endpoint in new.models[model_id].endpoints}
    changes: list[Change] = []
    for model_id in both:
        changes += _changes(model_id, _model_facts(old.models[model_id]), _model_facts(new.models[model_id]))
        for endpoint in old.models[model_id].endpoints:
            if (other := after.get(endpoint.id)) is not None:
                changes += _prices(endpoint, other)
                changes += _changes(endpoint.id, _endpoint_facts(endpoint), _endpoint_facts(other))
    return CatalogDiff(
        added_providers=tuple(slug for slug in new.providers if slug not in old.providers),
        removed_providers=tuple(slug for slug in old.providers if slug not in new.providers),
        added_models=tuple(model_id for model_id in new.models if model_id not in old.models),
        removed_models=tuple(model_id for model_id in old.models if model_id not in new.models),
        added_endpoints=tuple(each for each in after if each not in before),
        removed_endpoints=tuple(each for each in before if each not in after),
        changes=tuple(changes),
    )


def _prices(old: Endpoint, new: Endpoint) -> Iterator[Change]:
    before, after = _amounts(old), _amounts(new)
    for field in [*before, *(field for field in after if field not in before)]:
        was, now = before.get(field), after.get(field)
        if was != now:
            yield Change(
                subject=old.id,
                field=field,
                old="" if was is None else pico_to_decimal_text(was),
                new="" if now is None else pico_to_decimal_text(now),
                percent=_percent(was, now),
                is_price=field.partition(" ")[0] in _TOKEN_KINDS,
            )


def _amounts(endpoint: Endpoint) -> dict[str, int]:
    """Every amount in pico-dollars, by its kind and the conditions under which it holds; not what its plain kind costs."""
    price = endpoint.price
    amounts: dict[str, int] = {
        kind: getattr(price, kind)
        for kind in KINDS
        if kind not in _PLAIN_KINDS or getattr(price, kind) != getattr(price, _PLAIN_KINDS[kind])
    }
    for override in endpoint.price_schedule.overrides if endpoint.price_schedule else ():
        amounts.update((f"{kind} {override.label}", amount) for kind, amount in override.amounts)
    return amounts


def _endpoint_facts(endpoint: Endpoint) -> dict[str, str]:
    return {
        "upstream_model": endpoint.upstream_model,
        "context_length": str(endpoint.context_length),
        "max_completion_tokens": str(endpoint.max_completion_tokens or ""),
        "supported_parameters": " ".join(sorted(endpoint.supported_parameters)),
        "quantization": endpoint.quantization,
        "service_tier": endpoint.service_tier,
        "region": endpoint.region,
        "datacenters": " ".join(endpoint.datacenters),
        "data_policy": _policy(endpoint.data_policy),
        "quirks": " ".join(sorted(endpoint.quirks)),
        "base_url": endpoint.provider.base_url,
        "dialect": endpoint.provider.dialect,
        "expiration_date": str(endpoint.expiration_date or ""),
    }


def _model_facts(model: Model) -> dict[str, str]:
    return {
        "canonical_slug": model.canonical_slug,
        "aliases": " ".join(model.aliases),
        "input_modalities": " ".join(model.input_modalities),
        "output_modalities": " ".join(model.output_modalities),
    }


def _policy(policy: DataPolicy) -> str:
    days = "" if policy.retention_days is None else f" for {policy.retention_days} days"
    kept = f"kept{days}" if policy.retains_prompts else "not kept"
    return f"{kept}, {'trained on' if policy.trains_on_prompts else 'not trained on'}"


def _changes(subject: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[Change]:
    for field, was in old.items():
        now = new[field]
        if was != now:
            percent = _percent(int(was), int(now)) if was.isdecimal() and now.isdecimal() else None
            yield Change(subject, field, was, now, percent)


def _percent(old: int | None, new: int | None) -> Decimal | None:
    """To a tenth of a percent; None from or to nothing."""
    if not old or new is None:
        return None
    return (Decimal(new - old) * 100 / Decimal(old)).quantize(Decimal("0.1"))


def _per_million(text: str) -> str:
    return f"${pico_to_decimal_text(pico_from_decimal(text) * _MILLION)}" if text else ""
