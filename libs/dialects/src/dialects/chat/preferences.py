"""The `provider` member: how the caller wants its request routed."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Quantization = Literal[
    "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"
]
SortKey = Literal["price", "throughput", "latency", "exacto"]
Slugs = Annotated[list[Annotated[str, Meta(min_length=1, max_length=128)]], Meta(max_length=256)]
NonNegative = Annotated[float, Meta(ge=0)]
# Prices come as numbers or as decimal strings.
Amount = NonNegative | Annotated[str, Meta(pattern=r"^[0-9]{1,12}(\.[0-9]{1,15})?$")]


class SortPreference(Struct, frozen=True):
    """`partition: none` sorts the endpoints of all models of the request in one pool."""

    by: SortKey | None = None
    partition: Literal["model", "none"] | None = None


class MaxPrice(Struct, frozen=True):
    """Dollars per million tokens for `prompt` and `completion`, dollars per unit for the rest."""

    prompt: Amount | None = None
    completion: Amount | None = None
    request: Amount | None = None
    image: Amount | None = None
    audio: Amount | None = None


class Percentiles(Struct, frozen=True):
    """Thresholds that must all hold."""

    p50: NonNegative | None = None
    p75: NonNegative | None = None
    p90: NonNegative | None = None
    p99: NonNegative | None = None


class ProviderPreferences(Struct, frozen=True):
    """Routing preferences. Slugs name a provider with all its endpoints, or, as `slug/tag`, one of them.

    Two members are Turnpike's own. `strategy`: `share` weighs cost, speed and failures, `price2` is the inverse square of
    the price. `hedge`: a stream whose first token is late is asked for at a second endpoint too.
    """

    order: Slugs | None = None
    only: Slugs | None = None
    ignore: Slugs | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    enforce_distillable_text: bool | None = None
    quantizations: list[Quantization] | None = None
    sort: SortKey | SortPreference | None = None
    strategy: Literal["share", "price2"] | None = None
    hedge: bool | None = None
    max_price: MaxPrice | None = None
    preferred_min_throughput: NonNegative | Percentiles | None = None
    preferred_max_latency: NonNegative | Percentiles | None = None
