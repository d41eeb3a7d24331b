"""The price versions that accounts knows, learned from the catalogue that routers price by.

A usage event carries its price. That the charge is usage x price does not say that it is a price of ours: the version must be one
of the catalogue, now or at any time before, and have the amounts that it had there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter

from accounts.domain.errors import StoreUnavailableError
from accounts.domain.prices import KnownPrice, PriceStore
from accounts.suspended_usage import UNKNOWN_PRICE, SuspendedUsage
from contracts import money
from contracts.catalog import Catalog
from contracts.catalog.endpoint_prices import prices_of
from contracts.usage import InvalidUsageEventError
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import CounterSpec, GaugeSpec
from servicekit.watched_files import WatchedFiles
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

_log = get_logger(__name__)

VERSIONS: Final = GaugeSpec("accounts.prices.versions", "{version}", "Price versions that this process knows.")
UNKNOWN: Final = CounterSpec(
    "accounts.prices.unknown", "{version}", "Price versions of usage events that no catalogue had, looked for in vain."
)

_FINAL: Final = usage_event_pb2.USAGE_RANK_ROUTER_FINAL
_REFRESH_S: Final = 1.0  # between two looks at the files that events ask for


class UnknownPriceError(InvalidUsageEventError):
    """No catalogue had this price version, as far as is known yet.

    Attributes:
        version: of the price.
    """

    def __init__(self, version: str) -> None:
        super().__init__(UNKNOWN_PRICE)
        self.version = version


class PriceBook(Component):
    """Knows price versions, and settles what waited for one of them."""

    name = "price-book"

    def __init__(
        self,
        store: PriceStore,
        catalog: WatchedFiles[Catalog],
        suspended: SuspendedUsage,
        clock: Clock,
        meter: Meter,
        *,
        interval: timedelta,
    ) -> None:
        """Make the component.

        Args:
            store: where versions are kept for ever.
            catalog: the files that routers price by.
            suspended: usage that may wait for a version.
            clock: source of times.
            meter: for metrics.
            interval: between two looks for a changed catalogue, and for usage that waits.
        """
        self._store = store
        self._catalog = catalog
        self._suspended = suspended
        self._clock = clock
        self._interval_s = interval.total_seconds()
        self._unknown = UNKNOWN.create(meter)
        self._known: dict[str, KnownPrice] = {}
        self._exact: set[tuple[str, bytes]] = set()
        self._learned: Catalog | None = None
        self._refresh_at = 0.0
        self._stopping = asyncio.Event()
        VERSIONS.create(meter, lambda: len(self._known))

    async def start(self) -> None:
        """Learn the catalogue of now, again and again until the books can be reached."""
        while True:
            try:
                await self._learn()
            except StoreUnavailableError as error:
                _log.warning("prices.deferred", reason=str(error))
                await self._clock.sleep(_REFRESH_S)
            else:
                return

    async def run(self) -> None:
        """Learn what changes, and settle what waited for it, until `stop`."""
        while not self._stopping.is_set():
            try:
                await self._learn()
                await self._suspended.settle_known(self.check_all)
            except StoreUnavailableError as error:
                _log.warning("prices.deferred", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Look no more."""
        self._stopping.set()

    def check(self, event: usage_event_pb2.UsageEvent) -> None:
        """Check that the prices of a valid event are prices of ours.

        What an edge states may be at the price of another endpoint of the model: it does not always know which one answered.

        Raises:
            UnknownPriceError: a version is unknown.
            InvalidUsageEventError: a version has other amounts, or belongs to another endpoint.
        """
        if event.HasField("price"):
            self._check(event.endpoint_id, event.price, is_final=event.rank >= _FINAL)

    def check_expenses(self, event: usage_event_pb2.UsageEvent) -> None:
        """Check the prices of cancelled copies likewise. Raises as `check` does."""
        for attempt in event.attempts:
            if attempt.HasField("expense"):
                self._check(attempt.endpoint_id, attempt.expense.price, is_final=False)

    def check_all(self, event: usage_event_pb2.UsageEvent) -> None:
        """Check the price of the answer and those of copies. Raises as `check` does."""
        self.check(event)
        self.check_expenses(event)

    async def look_up(self, versions: Collection[str]) -> None:
        """Look for versions that are unknown: in the files, which may have changed, and in the books.

        Raises:
            StoreUnavailableError: the books cannot be reached.
        """
        now = self._clock.monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + _REFRESH_S
            # A router uses files only once they have stayed the same: two looks find what it found.
            if not await self._catalog.refresh():
                await self._catalog.refresh()
            await self._learn()
        missing = [version for version in versions if version not in self._known]
        if missing:
            found = await self._store.find(missing)
            self._remember(found)
            if len(found) < len(missing):
                self._unknown.add(len(missing) - len(found))

    async def _learn(self) -> None:
        catalog = self._catalog.value
        if catalog is self._learned:
            return
        prices = {price.version: price for price in _prices_of(catalog)}
        kept = await self._store.learn(list(prices.values()), self._clock.now())
        for price in kept:
            if price != prices[price.version]:
                # A digest names the amounts, so this takes a fault in making it. What was booked stays right.
                _log.error("price_version.changed", version=price.version, endpoint_id=price.endpoint_id)
        self._remember(kept)
        self._learned = catalog
        _log.info("prices.learned", catalog=catalog.version, versions=len(kept))

    def _remember(self, prices: Sequence[KnownPrice]) -> None:
        for price in prices:
            self._known[price.version] = price
            self._exact.add((price.endpoint_id, price.message))

    def _check(self, endpoint_id: str, price: token_usage_pb2.Price, *, is_final: bool) -> None:
        message = price.SerializeToString()
        if (endpoint_id, message) in self._exact:
            return
        known = self._known.get(price.version)
        if known is None:
            raise UnknownPriceError(price.version)
        if known.message != message:
            raise InvalidUsageEventError("price is not what its version says")
        if is_final:
            raise InvalidUsageEventError("price.version is that of another endpoint")


def _prices_of(catalog: Catalog) -> list[KnownPrice]:
    return [
        KnownPrice(price.version, endpoint.id, money.price_to_proto(price).SerializeToString())
        for endpoint in catalog.endpoints.values()
        for price in prices_of(endpoint)
    ]
