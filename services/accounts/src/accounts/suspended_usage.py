"""What operators do with usage that could not be priced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from google.protobuf.message import DecodeError

from accounts.domain import suspense as rules
from accounts.domain.accounts import checked_id
from accounts.domain.errors import AlreadyExistsError, InvalidFieldError
from accounts.domain.people import Actor, ActorKind
from accounts.domain.ports import OutboxMessage
from accounts.domain.prices import KnownPrice
from accounts.domain.suspense import Change, ListedSuspense, Resolution, Suspense, SuspenseState, SuspenseStore
from accounts.suspension import corrected_event
from accounts.usage_facts import fact_from_proto
from contracts.topics import USAGE, cloud_event_headers
from contracts.usage import InvalidUsageEventError, validate_usage_event
from servicekit.clock import Clock
from servicekit.logs import get_logger
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

_log = get_logger(__name__)

UNKNOWN_PRICE: Final = "price.version is not one of ours"
"""Why usage waits for the price book."""
PriceCheck = Callable[[usage_event_pb2.UsageEvent], None]
"""Raises InvalidUsageEventError where a price of an event is not one of ours."""

_LONGEST_NOTE: Final = 500
_PAGE: Final = 500
_SYSTEM: Final = Actor(ActorKind.SYSTEM, "price-book")
_LEARNED: Final = "its price version became known"


class SuspendedUsage:
    """Usage that could not be priced, until somebody says what is right."""

    def __init__(self, store: SuspenseStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def pages(self, org_id: str, *, resolved: bool) -> AsyncIterator[Sequence[ListedSuspense]]:
        """List suspended usage, oldest first.

        Args:
            org_id: of one organisation, empty for all.
            resolved: whether resolved usage is listed too.

        Raises:
            InvalidFieldError: the organisation is no id.
        """
        return self._store.pages(checked_id("org_id", org_id) if org_id else None, resolved=resolved)

    async def accept(
        self,
        suspense_id: str,
        price: token_usage_pb2.Price | None,
        usage: token_usage_pb2.TokenUsage | None,
        note: str,
        actor: Actor,
    ) -> tuple[ListedSuspense, int]:
        """Charge it, at its own price and counts or at others, and tell everybody who counts usage.

        Returns:
            What it is now, and what is charged in nano-dollars.

        Raises:
            InvalidFieldError: with these figures it still breaks a rule of usage events, or there is no note.
            NotFoundError: there is no such suspended usage.
            AlreadyExistsError: it was resolved in another way.
        """

        def decide(suspense: Suspense) -> Resolution | None:
            return self._acceptance(suspense, price, usage) if rules.check_acceptable(suspense) else None

        return await self._resolve(suspense_id, decide, note, actor)

    async def write_off(self, suspense_id: str, note: str, actor: Actor) -> tuple[ListedSuspense, int]:
        """Pay the provider, and charge nobody. Raises as `accept` does."""
        return await self._resolve(suspense_id, lambda each: _resolution(each, rules.write_off(each)), note, actor)

    async def void(self, suspense_id: str, note: str, actor: Actor) -> tuple[ListedSuspense, int]:
        """Say that it is no usage: the provider charges nothing. Raises as `accept` does."""
        return await self._resolve(suspense_id, lambda each: _resolution(each, rules.void(each)), note, actor)

    async def settle_known(self, check: PriceCheck) -> int:
        """Settle what waited for a price version that is known by now, and return how many that were.

        Args:
            check: of the price book.

        Raises:
            StoreUnavailableError: the rest is left for the next time.
        """
        settled, after = 0, UUID(int=0)
        while names := await self._store.priced(UNKNOWN_PRICE, after, _PAGE):
            after = names[-1]
            for name in names:
                try:
                    found, _ = await self._store.resolve(
                        name, lambda each: _known_price(each, check), _SYSTEM, _LEARNED, self._clock.now()
                    )
                except AlreadyExistsError:
                    continue
                settled += found.suspense.state is SuspenseState.SETTLED
        if settled:
            _log.info("suspense.settled", generations=settled)
        return settled

    async def _resolve(
        self, suspense_id: str, decide: rules.Decide, note: str, actor: Actor
    ) -> tuple[ListedSuspense, int]:
        name = checked_id("suspense_id", suspense_id)
        if not note.strip() or len(note) > _LONGEST_NOTE or "\0" in note:
            raise InvalidFieldError("note", f"must have 1 to {_LONGEST_NOTE} characters")
        found, charged = await self._store.resolve(name, decide, actor, note, self._clock.now())
        _log.info("suspense.resolved", suspense_id=suspense_id, state=found.suspense.state.name.lower())
        return found, charged

    def _acceptance(
        self, suspense: Suspense, price: token_usage_pb2.Price | None, usage: token_usage_pb2.TokenUsage | None
    ) -> Resolution:
        org_id = suspense.statement.org_id
        if org_id is None:
            raise InvalidFieldError("accept", "cannot be charged: the record names no organisation of ours")
        try:
            event = corrected_event(suspense.statement.value, price, usage)
            validate_usage_event(event)
            fact = fact_from_proto(event)
        except DecodeError:
            raise InvalidFieldError("accept", "cannot be charged: the record is no usage event") from None
        except (InvalidUsageEventError, ValueError) as error:
            raise InvalidFieldError("accept", f"still cannot be charged: {error}") from None
        headers = cloud_event_headers(
            USAGE,
            event_id=event.event_id,
            source="/accounts",
            time=self._clock.now(),
            subject=event.generation_id,
        )
        return Resolution(
            replace(suspense, state=SuspenseState.ACCEPTED),
            fact=fact,
            prices=carried_prices(event),
            message=OutboxMessage(USAGE.name, str(org_id), event.SerializeToString(), headers),
        )


def _known_price(suspense: Suspense, check: PriceCheck) -> Resolution | None:
    """Settle a record as it is; where it breaks another rule, that is what it waits for from now on."""
    if suspense.state is not SuspenseState.OPEN:
        return None
    try:
        event = usage_event_pb2.UsageEvent.FromString(suspense.statement.value or b"")
        validate_usage_event(event)
        check(event)
        fact = fact_from_proto(event)
    except (InvalidUsageEventError, ValueError) as error:
        statement = replace(suspense.statement, reason=_reason_of(error))
        return None if statement == suspense.statement else Resolution(replace(suspense, statement=statement))
    return Resolution(replace(suspense, state=SuspenseState.SETTLED), fact=fact)


def _reason_of(error: Exception) -> str:
    return f"of a copy: {error}" if str(error) == UNKNOWN_PRICE else str(error)


def carried_prices(event: usage_event_pb2.UsageEvent) -> list[KnownPrice]:
    """The prices that an event carries, each once."""
    found = {}
    if event.HasField("price"):
        found[event.price.version] = KnownPrice(event.price.version, event.endpoint_id, event.price.SerializeToString())
    for attempt in event.attempts:
        if attempt.HasField("expense"):
            price = attempt.expense.price
            found.setdefault(price.version, KnownPrice(price.version, attempt.endpoint_id, price.SerializeToString()))
    return list(found.values())


def _resolution(suspense: Suspense, change: Change) -> Resolution | None:
    after, entries = change
    return None if after is suspense else Resolution(after, entries)
