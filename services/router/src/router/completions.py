"""The use case's entrance: choose where a request may go, and take it on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from contracts.catalog import Catalog, Endpoint
from contracts.errors import ErrorReason
from contracts.ids import EndpointId, OrgId
from router.domain.customer_choice import with_customer_keys
from router.domain.customer_keys import CustomerKey
from router.domain.demand import Demand, Strategy
from router.domain.errors import NotAcceptingError
from router.domain.health_view import EndpointState
from router.domain.progress import Command
from router.domain.ranking import Continuation, is_cache_cheaper
from router.domain.selection import Choice, choose
from router.domain.stickiness import Conversation
from router.domain.task import Task, task_of
from router.domain.unroutable import no_endpoints
from router.generation import Generation
from router.surroundings import Surroundings


class Completions:
    """Answers completions, and what else is asked for, with the endpoints of a catalogue."""

    def __init__(
        self,
        around: Surroundings,
        *,
        catalog: Callable[[], Catalog],
        credentials: Callable[[], frozenset[str]],
        random: Random,
        most_in_flight: int,
        strategy: Strategy = "share",
    ) -> None:
        """Make the use case.

        Args:
            around: what every generation shares.
            catalog: gives the catalogue in force.
            credentials: gives the slugs of the providers that can be called.
            random: decides the draws.
            most_in_flight: generations that are taken on at the same time.
            strategy: how traffic is shared out, where a request does not say.
        """
        self._around = around
        self._catalog = catalog
        self._credentials = credentials
        self._random = random
        self._most_in_flight = most_in_flight
        self._strategy = strategy
        self.in_flight = 0

    def choose(
        self,
        demand: Demand,
        random: Random | None = None,
        conversation: Conversation | None = None,
        *,
        complete: bool = False,
        own: frozenset[str] = frozenset(),
    ) -> Choice:
        """Say where a request would go now; `random` instead of the router's own source makes it repeatable.

        With `complete`, every endpoint is looked at, also those of a model with very many. `own` has the providers that the
        caller has keys for.

        Raises:
            RefusalError: it names no model, or one that is not on offer.
        """
        health, clock = self._around.health, self._around.clock
        monotonic, now = clock.monotonic(), clock.now()

        def state_of(endpoint_id: EndpointId) -> EndpointState:
            return health.state(endpoint_id, monotonic, now, demand.prompt_tokens)

        continuation = None
        if conversation is not None:
            continuation = Continuation(conversation.key, self._around.places.find(conversation, monotonic))
        return choose(
            self._catalog(),
            demand,
            self._credentials() | own,
            state_of,
            random or self._random,
            at=now,
            strategy=self._strategy,
            continuation=continuation,
            complete=complete,
        )

    def begin(self, command: Command, customer_keys: Sequence[CustomerKey] = ()) -> Generation:
        """Take on a completion or another operation. It keeps its place until it is abandoned or its progress has ended.

        Args:
            command: what to complete.
            customer_keys: the caller's own provider keys, in the order in which they are tried.

        Raises:
            RefusalError: nothing can serve the request, or this router takes no work.
        """
        if not self._around.usage_log.accepting:
            raise NotAcceptingError(ErrorReason.OVERLOADED, "The log of usage is full", retry_after=1.0)
        if self.in_flight >= self._most_in_flight:
            raise NotAcceptingError(ErrorReason.OVERLOADED, "This router has no place left", retry_after=1.0)
        task = task_of(command.request, command.caller.data_region, command.caller.max_output_tokens)
        demand = replace(task.demand, policy=command.caller.policy)
        conversation = self._conversation(task, command.caller.org_id)
        own = frozenset(key.provider for key in customer_keys)
        choice = self.choose(demand, conversation=conversation, own=own)
        choice = with_customer_keys(choice, customer_keys, self._credentials(), pooled=demand.pooled, rests=self._rests)
        if not choice.candidates:
            raise no_endpoints(choice, demand)
        self.in_flight += 1
        return Generation(self._around, command, task, choice, self._on_closed, conversation)

    def _conversation(self, task: Task, org_id: OrgId) -> Conversation | None:
        """What the request is part of; None where staying with an endpoint is not wanted, or gains nothing."""
        demand = task.demand
        if demand.order or demand.sort:
            return None
        catalog = self._catalog()
        models = (catalog.model(name) for name in demand.models)
        if not any(is_cache_cheaper(endpoint) for model in models if model for endpoint in model.endpoints):
            return None
        return task.conversation(org_id)

    def _rests(self, key: CustomerKey, endpoint: Endpoint) -> bool:
        return self._around.key_rests.rests(key, endpoint, self._around.clock.monotonic())

    def _on_closed(self) -> None:
        self.in_flight -= 1
