"""What models.dev knows: its JSON, read into offers of models by providers. Prices become pico-dollars per token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

_KINDS: Final = {
    "prompt": ("input",),
    "completion": ("output",),
    "cached": ("cache_read", "cached_input", "cache_input"),
    "cache_write": ("cache_write", "cached_write"),
    "reasoning": ("reasoning",),
}
_MODALITIES: Final = {"text": "text", "image": "image", "pdf": "file", "audio": "audio", "video": "video"}
_PICO_PER_TOKEN: Final = Decimal(1_000_000)  # a dollar per million tokens is a million pico-dollars per token
_HOME: Final = "https://github.com/anomalyco/models.dev"
_COMMIT: Final = re.compile(r"commit ([0-9a-f]{40})")
_DAY: Final = re.compile(r"\b(20[0-9]{2}-[01][0-9]-[0-3][0-9])\b")


class FactsError(ValueError):
    """The file is not what models.dev publishes."""


@dataclass(frozen=True, slots=True)
class Tier:
    """A price for prompts that are longer than `over` tokens."""

    over: int
    amounts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model at a provider, as models.dev describes it."""

    key: str
    """What the provider calls the model."""
    base_model: str
    """What models.dev calls it, empty when it does not say."""
    name: str
    released: date | None
    amounts: Mapping[str, int]
    """Pico-dollars per token by kind; empty when no price is known."""
    tiers: tuple[Tier, ...]
    context: int
    """Prompt and answer together in tokens, 0 for what has none, such as speech."""
    output: int
    """Most tokens in one answer, 0 when only the context limits it."""
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    parameters: tuple[str, ...]
    open_weights: bool
    withdrawn: bool
    """Marked as deprecated, or not yet for everybody."""

    @property
    def free(self) -> bool:
        """Whether a price is known and is nothing."""
        return bool(self.amounts) and not any(self.amounts.values())


@dataclass(frozen=True, slots=True)
class Facts:
    """One state of models.dev. Offers are by provider and by key."""

    offers: Mapping[str, Mapping[str, Offer]]
    as_of: date | None
    commit: str

    def source(self, provider: str) -> str:
        """The address at which the facts on a provider can be looked up."""
        return f"{_HOME}/tree/{self.commit or 'dev'}/providers/{provider}"


def read_facts(text: str) -> Facts:
    """Read the JSON of models.dev: its `api.json`, or the same under `providers` beside a line on its `source`.

    Raises:
        FactsError: not JSON, or not of this form.
    """
    try:
        content = json.loads(text, parse_float=Decimal)
    except ValueError as error:
        raise FactsError(f"not JSON: {error}") from None
    if not isinstance(content, dict):
        raise FactsError("must be an object of providers")
    stated = content.get("source")
    source = stated if isinstance(stated, str) else ""
    rows = content["providers"] if isinstance(content.get("providers"), dict) and source else content
    offers: dict[str, dict[str, Offer]] = {}
    for provider, row in sorted(rows.items()):
        models = row.get("models") if isinstance(row, dict) else None
        if not isinstance(models, dict):
            raise FactsError(f"{provider}: must be a provider with `models`")
        offers[provider] = {key: _offer(provider, key, model) for key, model in sorted(models.items())}
    day, commit = _DAY.search(source), _COMMIT.search(source)
    return Facts(
        offers=offers,
        as_of=date.fromisoformat(day.group(1)) if day else None,
        commit=commit.group(1) if commit else "",
    )


def _offer(provider: str, key: str, row: Any) -> Offer:
    try:
        cost, limit, modalities = row.get("cost") or {}, row["limit"], row["modalities"]
        context, output = int(limit["context"]), int(limit["output"])
        return Offer(
            key=key,
            base_model=row.get("base_model") or "",
            name=row["name"],
            released=_day(row.get("release_date") or ""),
            amounts=_amounts(cost) if "input" in cost and "output" in cost else {},
            tiers=_tiers(cost),
            context=context,
            output=min(output, context),
            reads=_modalities(modalities["input"]),
            writes=_modalities(modalities["output"]),
            parameters=_parameters(row),
            open_weights=row.get("open_weights") is True,
            withdrawn=row.get("status") in ("deprecated", "alpha"),
        )
    except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise FactsError(f"{provider}: {key}: {type(error).__name__}: {error}") from None


def _amounts(cost: Mapping[str, Any]) -> dict[str, int]:
    """Prices finer than a pico-dollar per token are rounded: nothing finer can be charged."""
    amounts = {}
    for kind, names in _KINDS.items():
        stated = next((cost[name] for name in names if isinstance(cost.get(name), int | Decimal)), None)
        if stated is not None:
            amounts[kind] = int((Decimal(stated) * _PICO_PER_TOKEN).to_integral_value(ROUND_HALF_EVEN))
            if amounts[kind] < 0:
                raise ValueError(f"negative price {stated}")
    # Nothing for a cache beside a price for the prompt says that the cache has no price of its own.
    for kind in ("cached", "cache_write"):
        if amounts.get(kind) == 0 and amounts.get("prompt"):
            del amounts[kind]
    return amounts


def _tiers(cost: Mapping[str, Any]) -> tuple[Tier, ...]:
    rows = [(int(row["tier"]["size"]), row) for row in cost.get("tiers") or ()]
    if "context_over_200k" in cost:
        rows.append((200_000, cost["context_over_200k"]))
    return tuple(Tier(over, _amounts(row)) for over, row in sorted(rows, key=lambda each: each[0]))


def _modalities(names: list[str]) -> tuple[str, ...]:
    return tuple(_MODALITIES[name] for name in _MODALITIES if name in names)


def _parameters(row: Mapping[str, Any]) -> tuple[str, ...]:
    found = ["max_tokens", "stop"]
    if row.get("temperature", True):
        found += ["temperature", "top_p"]
    if row.get("tool_call"):
        found += ["tools", "tool_choice"]
    if row.get("structured_output"):
        found += ["response_format", "structured_outputs"]
    if row.get("reasoning"):
        found += ["reasoning", "include_reasoning"]
    return tuple(found)


def _day(text: str) -> date | None:
    """Read a date; of a month or a year, its first day."""
    parts = [*text.split("-"), "01", "01"][:3]
    try:
        return date.fromisoformat("-".join(parts))
    except ValueError:
        return None
