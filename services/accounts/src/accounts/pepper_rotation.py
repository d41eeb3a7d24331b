"""How far a change of the pepper is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from opentelemetry.metrics import Meter

from accounts.domain.errors import StoreUnavailableError
from accounts.domain.ports import KeyStore
from contracts import api_keys
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from servicekit.metrics import GaugeSpec

_log = get_logger(__name__)

LEFT: Final = GaugeSpec(
    "accounts.keys.under_previous_pepper",
    "{key}",
    "Keys that could be used and are not looked up under the current pepper, while there is a previous one.",
)
_INTERVAL_S: Final = 30.0


class PepperRotation(Component):
    """Counts the keys that have not moved to the current pepper."""

    name = "pepper-rotation"

    def __init__(self, keys: KeyStore, clock: Clock, meter: Meter, pepper: bytes) -> None:
        """Make the component.

        Args:
            keys: where keys are kept.
            clock: source of times.
            meter: for the gauge.
            pepper: the current one.
        """
        self._keys = keys
        self._clock = clock
        self._pepper_id = api_keys.pepper_id(pepper)
        self._left = 0
        LEFT.create(meter, lambda: self._left)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Count again and again until `stop`."""
        while not self._stopping.is_set():
            try:
                self._left = await self._keys.count_under_others(self._pepper_id, self._clock.now())
                # With the id whoever looks for the owners of these keys finds them in the table. A field that is called a pepper is masked.
                _log.info("pepper.keys_counted", count=self._left, current_id=self._pepper_id)
            except StoreUnavailableError as error:
                _log.warning("pepper.count_deferred", reason=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(_INTERVAL_S):
                    await self._stopping.wait()

    async def stop(self, grace: timedelta) -> None:
        """Count no more."""
        self._stopping.set()
