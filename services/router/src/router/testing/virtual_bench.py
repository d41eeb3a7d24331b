"""The use case in virtual time: a router without sockets, gRPC and Kafka, over providers that play."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from contracts.ids import EndpointId, GenerationId
from dialects.chat import decode_chat_request
from router.attempt import Patience
from router.completions import Completions
from router.domain.errors import RefusalError
from router.domain.health_view import FleetHealth
from router.domain.hedging import HedgeBudget
from router.domain.key_pool import KeyPools
from router.domain.ports import AttemptFacts
from router.domain.progress import Command
from router.domain.retry_budget import RetryBudget
from router.domain.stickiness import StickyPlaces
from router.domain.tokens import Tokens
from router.surroundings import Surroundings
from router.testing.catalogs import Offer, catalog_of
from router.testing.doubles import MemoryUsageLog, ReadyTokenizers, SilentTelemetry, SilentTrace
from router.testing.timed_providers import Play, Sent, TimedProviders
from router.testing.workbench import CALLER, Outcome
from servicekit.testing import ManualClock

_PATIENCE = Patience()
_EPSILON = 1e-9
_STEP_SECONDS = 0.25
_MOST_SECONDS = 3_600.0


@dataclass
class VirtualRequest:
    """A request: when it came, when its caller gives up, and what it came to."""

    began: float
    deadline: float
    outcome: Outcome = field(default_factory=Outcome)
    refusal: RefusalError | None = None
    ended: float | None = None

    @property
    def is_answered(self) -> bool:
        """Whether the whole answer came."""
        return self.outcome.ending is not None and self.outcome.interruption is None


@dataclass(frozen=True)
class Begun:
    """An attempt at its start, itself counted among those in flight.

    Attributes:
        number: which one of its request it is, from 1.
        at: when.
        in_flight: attempts of any kind.
        retries_in_flight: those after the first of a request, at endpoints that had not shown that they serve.
        is_retry: whether this is one of them.
    """

    number: int
    at: float
    in_flight: int
    retries_in_flight: int
    is_retry: bool


class AttemptCounter(SilentTelemetry):
    """Telemetry that knows how many attempts are in flight."""

    def __init__(self, clock: ManualClock, health: FleetHealth) -> None:
        super().__init__()
        self._clock = clock
        self._health = health
        self.begun: list[Begun] = []
        self.in_flight = 0
        self.retries_in_flight = 0

    def attempt_started(self, facts: AttemptFacts) -> SilentTrace:
        """Count it in."""
        now = self._clock.monotonic()
        is_retry = facts.number > 1 and not self._health.is_proven(facts.endpoint.id, now)
        self.in_flight += 1
        self.retries_in_flight += is_retry
        self.begun.append(Begun(facts.number, now, self.in_flight, self.retries_in_flight, is_retry))
        return _CountedTrace(self, is_retry=is_retry)


class _CountedTrace(SilentTrace):
    def __init__(self, counter: AttemptCounter, *, is_retry: bool) -> None:
        self._counter = counter
        self._is_retry = is_retry

    def _ended(self) -> None:
        self._counter.in_flight -= 1
        self._counter.retries_in_flight -= self._is_retry

    def succeeded(self, seconds: float, tokens: Tokens, upstream_id: str, finish_reason: str) -> None:
        """Count it out."""
        self._ended()

    def failed(self, seconds: float, failure: object) -> None:
        """Count it out."""
        self._ended()

    def cancelled(self, seconds: float) -> None:
        """Count it out."""
        self._ended()


class VirtualBench:
    """A router's inside on a clock that stands still until `run` moves it."""

    def __init__(
        self,
        *offers: Offer,
        play: Callable[[Sent], Play],
        seed: int = 1,
        keys: int = 1,
        patience: Patience = _PATIENCE,
    ) -> None:
        """Make it.

        Args:
            offers: the catalogue.
            play: how a call goes.
            seed: of everything random.
            keys: of every provider.
            patience: with providers.
        """
        self.clock = ManualClock()
        self.catalog = catalog_of(*offers)
        self.health = FleetHealth(Random(seed), lambda _: None)
        self.telemetry = AttemptCounter(self.clock, self.health)
        self.providers = TimedProviders(self.clock, play)
        self.log = MemoryUsageLog()
        self.places = StickyPlaces()
        self.hedge_budget = HedgeBudget()
        self.requests: list[VirtualRequest] = []
        random = Random(seed)
        slugs = frozenset(offer.provider for offer in offers)
        self.completions = Completions(
            Surroundings(
                providers=self.providers,
                health=self.health,
                usage_log=self.log,
                telemetry=self.telemetry,
                clock=self.clock,
                patience=patience,
                keys=KeyPools(lambda endpoint: keys),
                retries=RetryBudget(),
                places=self.places,
                random=random,
                tokenizers=ReadyTokenizers(),
                hedge_budget=self.hedge_budget,
            ),
            catalog=lambda: self.catalog,
            credentials=lambda: slugs,
            random=random,
            most_in_flight=100_000,
        )

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self.clock.monotonic()

    def calls_of(self, provider: str, start: float = 0.0, end: float = float("inf")) -> list[Sent]:
        """The calls that a provider got from `start` up to `end`."""
        return [
            sent
            for sent in self.providers.sent
            if sent.endpoint_id.endswith(f"@{provider}") and start - _EPSILON <= sent.at < end - _EPSILON
        ]

    async def request(self, *, seconds: float = 60.0, stream: bool = True, **members: Any) -> VirtualRequest:
        """Make a request and see it through."""
        request = VirtualRequest(self.now, self.now + seconds)
        self.requests.append(request)
        document = {
            "model": "acme/one",
            "messages": [{"role": "user", "content": "Say something"}],
            "stream": stream,
            **members,
        }
        command = Command(
            generation_id=GenerationId(f"gen-1790000000-{len(self.requests):020d}"),
            caller=CALLER,
            request=decode_chat_request(json.dumps(document).encode()),
            deadline=request.deadline,
        )
        try:
            async for progress in self.completions.begin(command).progress():
                request.outcome.add(progress)
        except RefusalError as refusal:
            request.refusal = refusal
        request.ended = self.now
        return request

    async def load(self, rate: float, seconds: float, **members: Any) -> Sequence[VirtualRequest]:
        """Make `rate` requests a second for so long, whatever becomes of them, and see all of them through."""
        first, began = len(self.requests), self.now
        async with asyncio.TaskGroup() as tasks:
            for number in range(round(rate * seconds)):
                await self.clock.sleep(began + number / rate - self.now)
                tasks.create_task(self.request(**members))
            await self.clock.sleep(began + seconds - self.now)
        return self.requests[first:]

    async def run(self, *work: Coroutine[Any, Any, object]) -> None:
        """Do this, moving the clock on until it is done.

        Raises:
            TimeoutError: it was not done within an hour of virtual time.
        """
        async with asyncio.TaskGroup() as tasks:
            begun = [tasks.create_task(each) for each in work]
            until = self.now + _MOST_SECONDS
            # They begin now, and not after the first step.
            await self.clock.advance(0.0)
            while not all(task.done() for task in begun):
                if self.now > until:
                    raise TimeoutError
                await self.clock.advance(_STEP_SECONDS)


def endpoint_id(provider: str) -> EndpointId:
    """The endpoint of a provider in the catalogues here."""
    return EndpointId(f"acme/one@{provider}")
