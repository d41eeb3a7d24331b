"""Destinations from accounts: what changed is asked for, and kept, sealed, for a day on which accounts is away."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.message import DecodeError

from contracts.broadcast import DestinationType, purpose_of, rules_from_proto
from contracts.sealed_secrets import KeyEncryptionKeys, SealedSecret, SealError
from metering.broadcast.adapters.sqlite_spool import SqliteSpool
from metering.broadcast.domain.errors import UnreadableConfigError
from metering.broadcast.domain.targets import Target, TargetConfig
from servicekit.clock import Clock
from servicekit.lifecycle import Component
from servicekit.logs import get_logger
from turnpike.accounts.v1 import destination_service_pb2 as messages
from turnpike.accounts.v1 import destination_service_pb2_grpc as stubs

_log = get_logger(__name__)

_PAGE: Final = 500
_RETRY_S: Final = 1.0


class AccountsDestinations(Component):
    """The TargetDirectory over gRPC. Configurations are kept sealed, and opened for one batch."""

    name = "destinations"

    def __init__(
        self,
        channel: grpc.aio.Channel,
        spool: SqliteSpool,
        keks: KeyEncryptionKeys,
        clock: Clock,
        timeout: timedelta,
        on_change: Callable[[str], None],
    ) -> None:
        """Make a directory.

        Args:
            channel: to accounts.
            spool: that keeps what is known.
            keks: that configurations are sealed under.
            clock: paces the attempts at the start.
            timeout: of a question.
            on_change: is told which destination changed.
        """
        self._stub = stubs.DestinationServiceStub(channel)
        self._spool, self._keks, self._clock = spool, keks, clock
        self._timeout_s = timeout.total_seconds()
        self._on_change = on_change
        self._targets: dict[str, Target] = {}
        self._sealed: dict[str, SealedSecret] = {}
        self._of_workspace: dict[tuple[str, str], dict[str, Target]] = {}
        self._revision = 0
        self._asking = asyncio.Lock()
        self.is_ready = False
        """Whether it is known which destinations there are, if not as of now."""
        self._answered = True

    async def start(self) -> None:
        """Learn of every destination. Without accounts what is kept does, once it was ever learnt."""
        for _, record in await self._spool.targets():
            try:
                self._take(messages.SealedDestination.FromString(record))
            except (DecodeError, ValueError):
                _log.error("destination.unknown_kept")
        while not await self._ask() and not self._revision:
            await self._clock.sleep(_RETRY_S)
        self.is_ready = True

    async def refresh(self) -> None:
        """Learn what changed until now; when nobody answers, what is known goes on to hold."""
        await self._ask()

    def of(self, org_id: str, workspace_id: str) -> Collection[Target]:
        """Return the active destinations of a workspace."""
        return self._of_workspace.get((org_id, workspace_id), {}).values()

    def get(self, destination_id: str) -> Target | None:
        """Return an active destination."""
        found = self._targets.get(destination_id)
        return found if found is not None and found.active else None

    def known(self, destination_id: str) -> Target | None:
        """Return a destination, active or not."""
        return self._targets.get(destination_id)

    def active(self) -> Collection[Target]:
        """Return every active destination."""
        return [target for target in self._targets.values() if target.active]

    def config(self, target: Target) -> TargetConfig:
        """Open the latest configuration of a destination.

        Raises:
            UnreadableConfigError: it does not open, or nothing is sent there any more.
        """
        latest, sealed = self._targets[target.destination_id], self._sealed.get(target.destination_id)
        if sealed is None:
            raise UnreadableConfigError("nothing is sent there any more")
        purpose = purpose_of(latest.org_id, latest.destination_id, latest.version)
        try:
            document = json.loads(self._keks.open(sealed, purpose).reveal())
            return TargetConfig(document["members"], document["headers"])
        except (SealError, ValueError, KeyError):
            _log.error("destination.unreadable", destination_id=target.destination_id)
            raise UnreadableConfigError("the configuration does not open") from None

    async def _ask(self) -> bool:
        async with self._asking:
            while True:
                request = messages.ListChangedDestinationsRequest(after_revision=self._revision, limit=_PAGE)
                try:
                    answer = await self._stub.ListChangedDestinations(request, timeout=self._timeout_s)
                except grpc.aio.AioRpcError as error:
                    if self._answered:
                        _log.warning("accounts.lost", code=error.code().name)
                    self._answered = False
                    return False
                self._answered = True
                kept = []
                for each in answer.destinations:
                    self._take(each)
                    kept.append((each.destination.destination_id, each.revision, each.SerializeToString()))
                if kept:
                    await self._spool.keep_targets(kept)
                if len(kept) < _PAGE:
                    return True

    def _take(self, message: messages.SealedDestination) -> None:
        target = _target(message)
        before = self._targets.get(target.destination_id)
        if before is not None:
            self._of_workspace.get((before.org_id, before.workspace_id), {}).pop(before.destination_id, None)
        self._targets[target.destination_id] = target
        self._sealed.pop(target.destination_id, None)
        if target.active:
            sealed = message.sealed_config
            self._sealed[target.destination_id] = SealedSecret(
                sealed.kek_id, sealed.wrapped_key, sealed.key_nonce, sealed.ciphertext, sealed.nonce
            )
            self._of_workspace.setdefault((target.org_id, target.workspace_id), {})[target.destination_id] = target
        self._revision = max(self._revision, message.revision)
        self._on_change(target.destination_id)


def _target(message: messages.SealedDestination) -> Target:
    about, fields = message.destination, message.destination.fields
    return Target(
        destination_id=about.destination_id,
        org_id=about.org_id,
        workspace_id=about.workspace_id,
        type=DestinationType(about.type),
        version=about.version,
        revision=message.revision,
        created_ms=about.created_at.ToMilliseconds(),
        active=message.active,
        privacy_mode=fields.privacy_mode,
        sampling_rate=fields.sampling_rate,
        allowed_digests=frozenset(fields.allowed_key_digests.values)
        if fields.HasField("allowed_key_digests")
        else None,
        rules=rules_from_proto(fields.filter_rules) if fields.HasField("filter_rules") else None,
        sends_cost=fields.broadcasts_cost,
        sends_identity=fields.broadcasts_identity,
        sends_request_context=fields.broadcasts_request_context,
    )
