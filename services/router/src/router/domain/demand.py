"""What a request asks of an endpoint: the request as the choice sees it, without its text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypedDict

import msgspec

from contracts.money import PICO_PER_USD
from contracts.operations import Operation
from dialects.chat import (
    AudioPart,
    ChatBody,
    ChatRequest,
    FilePart,
    ImagePart,
    LegacyVideoPart,
    MaxPrice,
    Percentiles,
    ProviderPreferences,
    SortPreference,
    VideoPart,
)
from dialects.estimates import measure_prompt
from dialects.parameters import sent_parameters
from router.domain.policy import ANYWHERE, RoutingPolicy

Sort = Literal["price", "throughput", "latency", "exacto"]
Strategy = Literal["share", "price2"]
ServiceTier = Literal["priority", "flex"]

# What an answer is taken to be long when the caller does not limit it: only weighs input against output prices.
TYPICAL_COMPLETION_TOKENS = 400

_TIERS: dict[str, ServiceTier] = {"priority": "priority", "fast": "priority", "flex": "flex"}
_TIERS_OF_SORT: dict[str, frozenset[str]] = {"throughput": frozenset({"priority"}), "price": frozenset({"flex"})}
_COMPRESSION_PLUGIN = "context-compression"
_COMPRESSION_TRANSFORM = "middle-out"
# Without a word of the caller, prompts are compressed for contexts of at most so many tokens.
SMALL_CONTEXT_TOKENS = 8_192
_PICO_PER_MILLION = PICO_PER_USD // 1_000_000
# Suffixes of a model's name that choose a way of routing. `online` asked for a web search, which is a plugin now.
_ROUTING_SUFFIXES: dict[str, Sort | None] = {
    "nitro": "throughput",
    "floor": "price",
    "exacto": "exacto",
    "online": None,
}


@dataclass(frozen=True, slots=True)
class PriceCeiling:
    """Most that the caller will pay, in pico-dollars per token (`request`: per request); None: no limit."""

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Demand:
    """A request as the choice sees it.

    Attributes:
        models: names of models, in order of preference, without routing suffixes.
        operation: what is asked for.
        parameters: provider parameters that the request sets.
        needed: those of them without which the answer would be wrong.
        input_modalities, output_modalities: beyond text.
        tool_name: name of the first function tool, None when there are no function tools.
        prompt_tokens: estimate of the prompt's tokens.
        least_prompt_tokens: what the prompt has at least, however dense its tokens.
        output_limit: most tokens that the caller wants, None when it does not say.
        order, only, ignore: slugs of providers, or whole tags.
        allow_fallbacks: whether others may be tried than the first (or than those in `order`).
        sort: ordering that the caller chose, None for the default.
        pooled: whether the endpoints of all models are sorted in one pool.
        strategy: way of sharing traffic out that the caller chose, None for the router's own.
        tier: service tier that is asked for, None for the ordinary one.
        admitted_tiers: those whose endpoints may serve in one pool with the ordinary ones.
        data_region: where it must stay, empty for anywhere. Not in the request: the address it was sent to says it.
        hedge: whether a slow first token may be waited for at two endpoints; None: as the router is set up.
        compression: whether a prompt that is too long may lose its middle; None: only where the context is small.
        min_throughput: tokens per second; max_latency: seconds to the first token; by percentile, all of which should
            hold. Preferences, not demands.
        images, audio_ms, characters, search_units: most of what else is counted; sound in milliseconds.
        policy: where the caller may go, whatever the request says.
    """

    models: tuple[str, ...]
    operation: Operation = Operation.COMPLETION
    parameters: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    input_modalities: frozenset[str] = frozenset()
    output_modalities: frozenset[str] = frozenset()
    tool_name: str | None = None
    prompt_tokens: int = 0
    least_prompt_tokens: int = 0
    output_limit: int | None = None
    order: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    deny_training: bool = False
    zero_retention: bool = False
    quantizations: frozenset[str] = frozenset()
    ceiling: PriceCeiling = field(default=PriceCeiling())
    sort: Sort | None = None
    pooled: bool = False
    strategy: Strategy | None = None
    tier: ServiceTier | None = None
    admitted_tiers: frozenset[str] = frozenset()
    data_region: str = ""
    hedge: bool | None = None
    compression: bool | None = None
    min_throughput: Mapping[str, float] = field(default_factory=dict)
    max_latency: Mapping[str, float] = field(default_factory=dict)
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    search_units: int = 0
    policy: RoutingPolicy = ANYWHERE

    def compresses_for(self, context_length: int) -> bool:
        """Whether a prompt that is too long for a context of this size may be shortened."""
        return context_length <= SMALL_CONTEXT_TOKENS if self.compression is None else self.compression

    @property
    def expected_completion_tokens(self) -> int:
        """What the answer is taken to be long when prices are compared."""
        if self.output_limit is None:
            return TYPICAL_COMPLETION_TOKENS
        return min(self.output_limit, TYPICAL_COMPLETION_TOKENS)


def demand_of(request: ChatRequest, data_region: str = "") -> Demand:
    """Read off a request what it asks of an endpoint. No model is an empty `models`; `data_region` is where it must stay."""
    body = request.body
    names = [name for name in (body.model, *(body.models or ())) if name is not None]
    _, suffix_sort = _without_suffixes(names)
    preferences = body.provider or ProviderPreferences()
    size = measure_prompt(body)
    return Demand(
        **models_and_preferences(names, body.provider, body.route),
        parameters=tuple(sent_parameters(request)),
        input_modalities=_input_modalities(body),
        output_modalities=frozenset(body.modalities or ()) - {"text"},
        tool_name=next((tool.function.name for tool in body.tools or () if tool.function is not None), None),
        prompt_tokens=size.estimated_tokens,
        least_prompt_tokens=size.least_tokens,
        output_limit=body.output_limit,
        tier=_TIERS.get(body.service_tier or ""),
        admitted_tiers=_admitted_tiers(body, preferences, suffix_sort),
        data_region=data_region,
        compression=_compression(body),
    )


class _Preferred(TypedDict):
    """The part of a demand that does not depend on what is asked for."""

    models: tuple[str, ...]
    order: tuple[str, ...]
    only: tuple[str, ...] | None
    ignore: tuple[str, ...]
    allow_fallbacks: bool
    require_parameters: bool
    deny_training: bool
    zero_retention: bool
    quantizations: frozenset[str]
    ceiling: PriceCeiling
    sort: Sort | None
    pooled: bool
    strategy: Strategy | None
    hedge: bool | None
    min_throughput: Mapping[str, float]
    max_latency: Mapping[str, float]


def models_and_preferences(
    names: list[str], stated: ProviderPreferences | None, route: str | None = None
) -> _Preferred:
    """Read the models of a request, and how its caller wants it routed.

    Args:
        names: of models, with their routing suffixes.
        stated: the caller's preferences, None when it has none.
        route: the member of this name, which completions have.
    """
    models, suffix_sort = _without_suffixes(names)
    preferences = stated or ProviderPreferences()
    sort, pooled = _sort(preferences, route)
    return _Preferred(
        models=models,
        order=tuple(preferences.order or ()),
        only=tuple(preferences.only) if preferences.only is not None else None,
        ignore=tuple(preferences.ignore or ()),
        allow_fallbacks=preferences.allow_fallbacks is not False,
        require_parameters=preferences.require_parameters is True,
        deny_training=preferences.data_collection == "deny",
        zero_retention=preferences.zdr is True,
        quantizations=frozenset(preferences.quantizations or ()),
        ceiling=_ceiling(preferences.max_price),
        sort=sort or suffix_sort,
        pooled=pooled,
        strategy=preferences.strategy,
        hedge=preferences.hedge,
        min_throughput=_thresholds(preferences.preferred_min_throughput),
        max_latency=_thresholds(preferences.preferred_max_latency),
    )


def _without_suffixes(names: list[str]) -> tuple[tuple[str, ...], Sort | None]:
    """Take routing suffixes off. Of several the last one decides the order, as at OpenRouter."""
    found: dict[str, None] = {}
    sort: Sort | None = None
    for name in names:
        plain, _, suffix = name.rpartition(":")
        while plain and suffix in _ROUTING_SUFFIXES:
            sort = sort or _ROUTING_SUFFIXES[suffix]
            name = plain
            plain, _, suffix = name.rpartition(":")
        found[name] = None
    return tuple(found), sort


def _sort(preferences: ProviderPreferences, route: str | None) -> tuple[Sort | None, bool]:
    if isinstance(preferences.sort, SortPreference):
        return preferences.sort.by, preferences.sort.partition == "none"
    return preferences.sort, route == "sort"


def _input_modalities(body: ChatBody) -> frozenset[str]:
    found = set()
    for message in body.messages:
        if message.content is None or isinstance(message.content, str):
            continue
        for part in message.content:
            match part:
                case ImagePart():
                    found.add("image")
                case AudioPart():
                    found.add("audio")
                case VideoPart() | LegacyVideoPart():
                    found.add("video")
                case FilePart():
                    found.add("file")
    return frozenset(found)


def _admitted_tiers(body: ChatBody, preferences: ProviderPreferences, suffix_sort: Sort | None) -> frozenset[str]:
    """`:nitro` admits the fast tier and `:floor` the cheap one, unless the caller wants the default tier or an order."""
    if suffix_sort is None or preferences.order or body.service_tier == "default":
        return frozenset()
    return _TIERS_OF_SORT.get(suffix_sort, frozenset())


def _compression(body: ChatBody) -> bool | None:
    """What the caller says of context compression, by the plugin or by its older name."""
    for plugin in body.plugins or ():
        if plugin.get("id") == _COMPRESSION_PLUGIN:
            return plugin.get("enabled") is not False
    return None if body.transforms is None else _COMPRESSION_TRANSFORM in body.transforms


def _ceiling(limit: MaxPrice | None) -> PriceCeiling:
    if limit is None:
        return PriceCeiling()
    return PriceCeiling(
        prompt=_pico(limit.prompt, _PICO_PER_MILLION),
        completion=_pico(limit.completion, _PICO_PER_MILLION),
        request=_pico(limit.request, PICO_PER_USD),
    )


def _pico(amount: float | str | None, scale: int) -> Decimal | None:
    return None if amount is None else Decimal(str(amount)) * scale


def _thresholds(preferred: float | Percentiles | None) -> Mapping[str, float]:
    """The thresholds by percentile; a bare number is about the median."""
    if preferred is None:
        return {}
    if not isinstance(preferred, Percentiles):
        return {"p50": preferred}
    return {name: value for name, value in msgspec.structs.asdict(preferred).items() if value is not None}
