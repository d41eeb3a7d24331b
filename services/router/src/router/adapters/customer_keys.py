"""Customers' own provider keys, from their owner. Sealed while they are kept; opened for one call and not kept open."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc

from contracts.errors import ErrorReason
from contracts.sealed_secrets import KeyEncryptionKeys, Purpose, SealedSecret, SealError
from router.domain.customer_keys import CustomerKey
from router.domain.errors import NotAcceptingError
from router.domain.settlement import Caller
from servicekit.clock import Clock
from servicekit.logs import get_logger
from turnpike.accounts.v1 import byok_service_pb2, byok_service_pb2_grpc, records_pb2

_log = get_logger(__name__)

FRESH_S: Final = 300.0
# With their owner away, what was known is good for as long as a key is at the edge.
STALE_S: Final = 900.0
_MAX_ORGS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of one organisation. `at` is by the monotonic clock."""

    keys: tuple[CustomerKey, ...]
    revision: int
    at: float


class NoCustomerKeys:
    """Stands in where the installation has no key-encryption keys, so that nobody can have stored a key."""

    async def of(self, caller: Caller) -> tuple[CustomerKey, ...]:
        """No keys."""
        return ()


class GrpcCustomerKeys:
    """Asks accounts, once for all who wait, when something changed or five minutes have passed."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        keks: Callable[[], KeyEncryptionKeys],
        clock: Clock,
        timeout: timedelta,
    ) -> None:
        """Make a client.

        Args:
            channel: to accounts.
            keks: gives the key-encryption keys in force.
            clock: tells the age of what is known.
            timeout: of a question.
        """
        self._stub = byok_service_pb2_grpc.ByokServiceStub(channel)
        self._keks = keks
        self._clock = clock
        self._timeout_s = timeout.total_seconds()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Lock] = {}

    async def of(self, caller: Caller) -> tuple[CustomerKey, ...]:
        """Return the keys that a caller may use, in the order in which they are tried.

        Raises:
            NotAcceptingError: their owner does not answer, and what is known may be outdated.
        """
        if not caller.byok_revision:
            return ()
        known = self._current(caller)
        if known is None:
            lock = self._asking.setdefault(caller.org_id, asyncio.Lock())
            async with lock:
                known = self._current(caller)
                if known is None:
                    known = await self._ask(caller)
            self._asking.pop(caller.org_id, None)
        return tuple(key for key in known.keys if key.is_for(caller))

    def _current(self, caller: Caller) -> _Known | None:
        known = self._known.get(caller.org_id)
        if known is None or known.revision < caller.byok_revision or self._clock.monotonic() - known.at >= FRESH_S:
            return None
        return known

    async def _ask(self, caller: Caller) -> _Known:
        request = byok_service_pb2.ResolveByokKeysRequest(org_id=caller.org_id)
        try:
            answer = await self._stub.ResolveByokKeys(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            known = self._known.get(caller.org_id)
            # A revision that is behind may hold a key that was taken back.
            if known is not None and known.revision >= caller.byok_revision:
                if self._clock.monotonic() - known.at < STALE_S:
                    return known
                del self._known[caller.org_id]
            _log.warning("customer_keys.unavailable", code=error.code().name)
            raise NotAcceptingError(
                ErrorReason.DEPENDENCY_UNAVAILABLE, "Your provider keys cannot be read at the moment", retry_after=1.0
            ) from None
        keys = tuple(self._key(each) for each in answer.keys)
        known = self._known[caller.org_id] = _Known(keys, answer.revision, self._clock.monotonic())
        self._known.move_to_end(caller.org_id)
        if len(self._known) > _MAX_ORGS:
            self._known.popitem(last=False)
        return known

    def _key(self, resolved: byok_service_pb2.ResolvedByokKey) -> CustomerKey:
        key, sealed = resolved.key, resolved.sealed
        purpose = Purpose(key.org_id, key.provider, key.byok_key_id, key.version)
        secret = SealedSecret(sealed.kek_id, sealed.wrapped_key, sealed.key_nonce, sealed.ciphertext, sealed.nonce)

        def reveal() -> str:
            try:
                return self._keks().open(secret, purpose).reveal()
            except SealError as error:
                _log.error("customer_key.unreadable", byok_key_id=purpose.secret_id, reason=str(error))
                raise

        return CustomerKey(
            byok_key_id=key.byok_key_id,
            provider=key.provider,
            reveal=reveal,
            version=key.version,
            is_fallback=key.is_fallback,
            is_required=key.is_required,
            workspace_id=key.workspace_id,
            allowed_models=_names(key.allowed_models) if key.HasField("allowed_models") else None,
            allowed_key_ids=_names(resolved.allowed_key_ids) if resolved.HasField("allowed_key_ids") else None,
            allowed_user_ids=_names(key.allowed_user_ids) if key.HasField("allowed_user_ids") else None,
        )


def _names(listed: records_pb2.TextList) -> frozenset[str]:
    return frozenset(listed.values)
