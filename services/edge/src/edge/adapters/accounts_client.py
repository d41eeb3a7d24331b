"""The owner of organisations and keys over gRPC."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

import grpc

from contracts import api_keys
from contracts.errors import ErrorReason
from contracts.rate_limits import rate_limits_to_proto
from edge.adapters.control_plane import actor_metadata
from edge.adapters.convert import key_from_proto, org_from_proto
from edge.adapters.grpc_status import error_from_status
from edge.domain.actor import Actor
from edge.domain.errors import DependencyError, EdgeError, NotFoundError, RefusedError
from edge.domain.principal import Key, Org
from edge.ports import KeyChange, KeyFields, KeyFilter, NewKey
from servicekit.batches import Batches, FullError
from servicekit.clock import Clock
from turnpike.accounts.v1 import (
    key_service_pb2,
    key_service_pb2_grpc,
    org_service_pb2,
    org_service_pb2_grpc,
    records_pb2,
)

T = TypeVar("T")
_NAME = "accounts"
# What accounts takes in one call.
_KEYS_TOGETHER = 500
# So that an edge asks 100 times a second at most.
_PAUSE = timedelta(milliseconds=10)


class GrpcKeyLookup:
    """Resolves keys that are not in memory: what several requests need at the same time in one call.

    However many keys are asked for, there are `calls` calls under way at most, and as many in a second as the pause allows.
    """

    def __init__(
        self, channel: grpc.aio.Channel, timeout: timedelta, clock: Clock, calls: int, *, peppers: int = 1
    ) -> None:
        """Make it.

        Args:
            channel: to accounts.
            timeout: of a call.
            clock: for the pause between calls.
            calls: most under way.
            peppers: how many digests a key is asked about by, at most.
        """
        self._stub = key_service_pb2_grpc.KeyServiceStub(channel)
        self._timeout_s = timeout.total_seconds()
        self._batches: Batches[tuple[str, ...], tuple[Key, Org]] = Batches(
            self._ask, clock, together=_KEYS_TOGETHER // peppers, under_way=calls, pause=_PAUSE
        )

    async def resolve(self, *digests: str) -> tuple[Key, Org]:
        """Find a key that has one of these digests; of two keys that of the first.

        Raises:
            NotFoundError: there is no such key, for certain.
            DependencyError: anything else: it says nothing about the key (A3).
        """
        try:
            return await self._batches.ask(digests)
        except FullError:
            raise DependencyError(_NAME) from None

    async def _ask(self, names: Sequence[tuple[str, ...]]) -> Sequence[tuple[Key, Org] | Exception]:
        request = key_service_pb2.ResolveKeysRequest(digests=[digest for digests in names for digest in digests])
        try:
            # Ready or not: right after a restart of the other side the connection is a moment behind.
            answer = await self._stub.ResolveKeys(request, timeout=self._timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError:
            raise DependencyError(_NAME) from None
        keys = {record.lookup_digest or record.digest: record for record in answer.keys}
        orgs = {record.org_id: record for record in answer.orgs}
        return [_resolved(next((keys[each] for each in digests if each in keys), None), orgs) for digests in names]


def _resolved(
    record: records_pb2.KeyRecord | None, orgs: Mapping[str, records_pb2.OrgRecord]
) -> tuple[Key, Org] | EdgeError:
    if record is None:
        return NotFoundError("No such key")
    try:
        return key_from_proto(record), org_from_proto(orgs[record.org_id])
    except (KeyError, ValueError):
        # What cannot be read says nothing about the key.
        return DependencyError(_NAME)


class GrpcKeyMover:
    """The KeyMover over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta, pepper: bytes, previous_pepper: bytes) -> None:
        self._stub = key_service_pb2_grpc.KeyServiceStub(channel)
        self._timeout_s = timeout.total_seconds()
        self._pepper_id, self._previous_id = api_keys.pepper_id(pepper), api_keys.pepper_id(previous_pepper)

    async def move(self, digests: Mapping[str, str]) -> int:
        """Have keys looked up by other digests."""
        request = key_service_pb2.MoveKeysRequest(
            pepper_id=self._pepper_id,
            previous_pepper_id=self._previous_id,
            moves=[
                key_service_pb2.KeyMove(previous_digest=previous, digest=digest) for previous, digest in digests.items()
            ],
        )
        return (await answered(self._stub.MoveKeys(request, timeout=self._timeout_s))).moved


class GrpcKeyRegistry:
    """Manages keys and reads credit."""

    def __init__(self, channel: grpc.aio.Channel, timeout: timedelta) -> None:
        self._keys = key_service_pb2_grpc.KeyServiceStub(channel)
        self._orgs = org_service_pb2_grpc.OrgServiceStub(channel)
        self._timeout_s = timeout.total_seconds()

    async def create(self, new: NewKey) -> key_service_pb2.CreateKeyResponse:
        """Make an inference key."""
        request = key_service_pb2.CreateKeyRequest(
            org_id=new.org_id,
            name=new.name,
            kind=records_pb2.KEY_KIND_INFERENCE,
            limit_nano_usd=new.limit_nano,
            idempotency_key=new.idempotency_key,
            creator_user_id=new.creator_user_id,
            workspace_id=new.workspace_id,
            limit_reset=records_pb2.SpendInterval.ValueType(new.fields.limit_reset or 0),
            include_byok_in_limit=new.fields.include_byok_in_limit or False,
            logs_content=new.fields.logs_content or False,
            allowed_models=new.fields.allowed_models,
            allowed_providers=new.fields.allowed_providers,
            ip_ranges=new.fields.ip_ranges,
            rate_limits=rate_limits_to_proto(new.fields.rate_limits or ()),
        )
        if new.expires_at is not None:
            request.expires_at.FromDatetime(new.expires_at)
        return await answered(
            self._keys.CreateKey(request, timeout=self._timeout_s, metadata=actor_metadata(new.actor))
        )

    async def list(self, org_id: str, offset: int, wanted: KeyFilter) -> key_service_pb2.ListKeysResponse:
        """List keys, newest first, 100 at most."""
        request = key_service_pb2.ListKeysRequest(
            org_id=org_id,
            offset=offset,
            include_disabled=wanted.include_disabled,
            workspace_id=wanted.workspace_id,
            creator_user_id=wanted.creator_user_id,
        )
        return await answered(self._keys.ListKeys(request, timeout=self._timeout_s))

    async def get(self, org_id: str, digest: str) -> key_service_pb2.GetKeyResponse:
        """Return one key with what it spent."""
        request = key_service_pb2.GetKeyRequest(org_id=org_id, digest=digest)
        return await answered(self._keys.GetKey(request, timeout=self._timeout_s))

    async def update(self, change: KeyChange) -> key_service_pb2.UpdateKeyResponse:
        """Change a key."""
        request = key_service_pb2.UpdateKeyRequest(
            org_id=change.org_id,
            digest=change.digest,
            name=change.name,
            disabled=change.disabled,
            limit_nano_usd=change.limit_nano,
            clear_limit=change.clear_limit,
            include_byok_in_limit=change.fields.include_byok_in_limit,
            logs_content=change.fields.logs_content,
        )
        _set_fields(request, change.fields)
        return await answered(
            self._keys.UpdateKey(request, timeout=self._timeout_s, metadata=actor_metadata(change.actor))
        )

    async def delete(self, org_id: str, digest: str, actor: Actor) -> None:
        """Delete a key."""
        request = key_service_pb2.DeleteKeyRequest(org_id=org_id, digest=digest)
        await answered(self._keys.DeleteKey(request, timeout=self._timeout_s, metadata=actor_metadata(actor)))

    async def credits(self, org_id: str) -> org_service_pb2.GetCreditsResponse:
        """Return what an organisation bought and used."""
        request = org_service_pb2.GetCreditsRequest(org_id=org_id)
        return await answered(self._orgs.GetCredits(request, timeout=self._timeout_s))


def _set_fields(request: key_service_pb2.UpdateKeyRequest, fields: KeyFields) -> None:
    """Set what is changed; a list that is set may be empty."""
    if fields.limit_reset is not None:
        request.limit_reset = records_pb2.SpendInterval.ValueType(fields.limit_reset)
    if fields.allowed_models is not None:
        request.allowed_models.CopyFrom(records_pb2.TextList(values=fields.allowed_models))
    if fields.allowed_providers is not None:
        request.allowed_providers.CopyFrom(records_pb2.TextList(values=fields.allowed_providers))
    if fields.ip_ranges is not None:
        request.ip_ranges.CopyFrom(records_pb2.TextList(values=fields.ip_ranges))
    if fields.rate_limits is not None:
        limits = rate_limits_to_proto(fields.rate_limits)
        request.rate_limits.CopyFrom(key_service_pb2.RateLimitList(limits=limits))


async def answered(call: Awaitable[T]) -> T:
    """Wait for an answer of accounts.

    Raises:
        EdgeError: it refused, or did not answer.
    """
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise _management_error(error) from None


def _management_error(error: grpc.aio.AioRpcError) -> EdgeError:
    translated = error_from_status(error, _NAME)
    if isinstance(translated, RefusedError) and translated.reason is ErrorReason.NOT_FOUND:
        return NotFoundError("Not found")
    return translated
