"""The made-up endpoints of a simulation: how fast they answer, what they charge, when they are in trouble."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random

from contracts.catalog import Catalog, DataPolicy, Endpoint, Model, Provider
from contracts.ids import EndpointId, ModelId
from contracts.money import PicoUsd, UnitPrice
from router.domain.attempts import FailureKind
from router.simulation.workload import Call

MODEL = ModelId("simulated/model")
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)
# How long a provider takes to say that it fails, and that a call is one too many.
_ERROR_SECONDS = 0.2
_REFUSAL_SECONDS = 0.1
# How long a provider keeps a prompt, and what it charges for one that it has kept, in tenths.
_CACHE_SECONDS = 300.0
_CACHED_TENTHS = 1


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with an endpoint from `start` to `end`, in seconds.

    Attributes:
        failing: share of its calls that it answers with an error.
        hanging: share of its calls that it never answers.
        slower: factor on all its times.
    """

    start: float
    end: float
    failing: float = 0.0
    hanging: float = 0.0
    slower: float = 1.0


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One endpoint of a fleet.

    Attributes:
        name: its provider.
        price: pico-dollars per token, of input and of output alike.
        first_token: median seconds to the first token of an empty prompt; times are log-normal.
        spread: sigma of the log-normal.
        reading: tokens of a prompt per second, which the first token waits for.
        writing: tokens of an answer per second.
        room: calls that it serves at full speed at a time; with more all are slower in proportion, as in one large batch.
        rate_limit: calls a second that it accepts, a second's worth at once; more get a 429 without Retry-After.
        caches: whether prompts that it has seen are read at once and cost a tenth.
        troubles: when it is in trouble.
    """

    name: str
    price: int
    first_token: float = 0.5
    spread: float = 0.35
    reading: float = math.inf
    writing: float = 80.0
    room: float = math.inf
    rate_limit: float = math.inf
    caches: bool = False
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """How an endpoint answers one call: after `seconds` with the first token, or with a failure.

    `seconds` is infinite when nothing ever comes; `writing` is how long the rest of the answer takes.
    """

    seconds: float
    failure: FailureKind | None = None
    writing: float = 0.0
    cached_tokens: int = 0


@dataclass(slots=True)
class SimulatedEndpoint:
    """An endpoint at work. Everything random comes from the source that it is given."""

    behaviour: Behaviour
    endpoint: Endpoint
    random: Random
    in_flight: int = 0
    _allowance: float = field(default=math.inf)
    _filled_at: float = 0.0
    _prompts: dict[int, tuple[float, int]] = field(default_factory=dict)
    """When the prompt of a conversation was seen last, and its tokens."""

    def began(self, now: float, call: Call) -> Reply:
        """Answer a call that is sent now. `ended` must follow when it is over, however it ends."""
        self.in_flight += 1
        if not self._accepts(now):
            return Reply(_REFUSAL_SECONDS, FailureKind.RATE_LIMITED)
        troubles = [trouble for trouble in self.behaviour.troubles if trouble.start <= now < trouble.end]
        if any(self.random.random() < trouble.failing for trouble in troubles):
            return Reply(_ERROR_SECONDS, FailureKind.SERVER_ERROR)
        if any(self.random.random() < trouble.hanging for trouble in troubles):
            return Reply(math.inf)
        cached = self._seen(now, call)
        slower = math.prod(trouble.slower for trouble in troubles) * max(1.0, self.in_flight / self.behaviour.room)
        first = self.behaviour.first_token * math.exp(self.random.gauss(0.0, self.behaviour.spread))
        first += (call.prompt_tokens - cached) / self.behaviour.reading
        return Reply(first * slower, None, slower * call.completion_tokens / self.behaviour.writing, cached)

    def ended(self) -> None:
        """A call is over."""
        self.in_flight -= 1

    def cost(self, call: Call, cached_tokens: int) -> int:
        """What an answered call costs, in pico-dollars."""
        price = self.behaviour.price
        fresh = call.prompt_tokens - cached_tokens
        return price * (fresh + call.completion_tokens) + price * _CACHED_TENTHS * cached_tokens // 10

    def _seen(self, now: float, call: Call) -> int:
        """How much of the prompt is in the cache; it is there from now on."""
        if not self.behaviour.caches or call.conversation is None:
            return 0
        at, tokens = self._prompts.get(call.conversation, (-math.inf, 0))
        self._prompts[call.conversation] = now, call.prompt_tokens
        return tokens if now - at <= _CACHE_SECONDS else 0

    def _accepts(self, now: float) -> bool:
        limit = self.behaviour.rate_limit
        if math.isinf(limit):
            return True
        self._allowance = min(max(limit, 1.0), self._allowance + (now - self._filled_at) * limit)
        self._filled_at = now
        if self._allowance < 1.0:
            return False
        self._allowance -= 1.0
        return True


def catalog_of(behaviours: Sequence[Behaviour]) -> Catalog:
    """Make the catalogue of a fleet: one model, with an endpoint for each behaviour."""
    providers = {each.name: Provider(each.name, each.name, "http://127.0.0.1:9", simulated=True) for each in behaviours}
    endpoints = tuple(_endpoint(each, providers[each.name]) for each in behaviours)
    model = Model(
        id=MODEL,
        canonical_slug="simulated/model-20260101",
        name="Simulated",
        description="Simulated.",
        created=_CREATED,
        input_modalities=("text",),
        output_modalities=("text",),
        tokenizer="Other",
        hugging_face_id="",
        aliases=(),
        endpoints=endpoints,
    )
    return Catalog(
        version="simulated",
        providers=providers,
        models={MODEL: model},
        endpoints={endpoint.id: endpoint for endpoint in endpoints},
        names={MODEL: model},
    )


def _endpoint(behaviour: Behaviour, provider: Provider) -> Endpoint:
    price = PicoUsd(behaviour.price)
    cached = PicoUsd(behaviour.price * _CACHED_TENTHS // 10) if behaviour.caches else price
    return Endpoint(
        id=EndpointId(f"{MODEL}@{behaviour.name}"),
        model_id=MODEL,
        provider=provider,
        tag=behaviour.name,
        upstream_model="simulated",
        price=UnitPrice(behaviour.name, price, price, price, cached, price),
        price_as_of=None,
        price_source="made up",
        context_length=1_000_000,
        max_completion_tokens=0,
        supported_parameters=frozenset({"max_tokens"}),
        quantization="unknown",
        data_policy=DataPolicy(),
    )
