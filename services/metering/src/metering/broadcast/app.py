"""The composition root of the sender: the only place that chooses its concrete things."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Final

from contracts.broadcast import DestinationType
from contracts.sealed_secrets import parse_keks
from contracts.topics import USAGE
from metering.broadcast.adapters.accounts_calls import AccountsContents, AccountsReports
from metering.broadcast.adapters.accounts_destinations import AccountsDestinations
from metering.broadcast.adapters.exchanges import Exchanges
from metering.broadcast.adapters.expressions import found_in
from metering.broadcast.adapters.key_names import KafkaKeyNames
from metering.broadcast.adapters.object_store import ObjectStoreSender
from metering.broadcast.adapters.senders import OtlpSender, WebhookSender
from metering.broadcast.adapters.sqlite_spool import SqliteSpool
from metering.broadcast.board import Board
from metering.broadcast.deliveries import Deliveries
from metering.broadcast.delivery import Parts, SendingLimits
from metering.broadcast.failpoints import POINTS
from metering.broadcast.intake import Intake
from metering.broadcast.settings import SendingSettings, Settings
from servicekit.failpoints import Failpoints
from servicekit.grpc_client import open_channel
from servicekit.kafka import RecordConsumer
from servicekit.lifecycle import Runtime, Service
from servicekit.public_http import public_session

GROUP: Final = "turnpike-broadcast"
_POLL_RECORDS: Final = 1_000
# With what was said in them batches are large: so many are in memory at a time.
_CONTENT_SLOTS: Final = 16


@asynccontextmanager
async def wire(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Make the sender: the reading first in drain order, then the sending, then what it knows, then what waits."""
    clock, sending = runtime.clock, settings.sending
    keks = parse_keks(settings.accounts.keks.read_text())
    failpoints = Failpoints(POINTS, settings.failpoints)
    spool, board = SqliteSpool(settings.spool.dir), Board(runtime.meter)
    async with (
        open_channel(settings.accounts.target, runtime) as to_accounts,
        public_session(
            private=sending.private_networks, timeout=sending.timeout, connections=sending.connections
        ) as session,
    ):
        timeout = settings.accounts.timeout
        targets = AccountsDestinations(
            to_accounts, spool, keks, clock, timeout, on_change=lambda name: board.news(name).set()
        )
        names = KafkaKeyNames(settings.kafka, clock, runtime.meter)
        exchanges = Exchanges(session, private=sending.private_networks)
        parts = Parts(
            spool=spool,
            board=board,
            targets=targets,
            senders={
                DestinationType.OTEL_COLLECTOR: OtlpSender(exchanges),
                DestinationType.WEBHOOK: WebhookSender(exchanges, clock),
                DestinationType.S3: ObjectStoreSender(exchanges, clock),
            },
            contents=AccountsContents(to_accounts, timeout),
            names=names,
            search=found_in,
            clock=clock,
            # It spreads pauses and guards no secret.
            random=Random(),  # noqa: S311 - see above
            failpoints=failpoints,
            limits=_limits(sending),
            slots=asyncio.Semaphore(sending.connections),
            content_slots=asyncio.Semaphore(_CONTENT_SLOTS),
        )
        intake = Intake(
            spool,
            board,
            targets,
            names,
            found_in,
            clock,
            failpoints,
            most_of_one=settings.spool.events,
            most=settings.spool.total,
        )
        consumer = RecordConsumer(
            settings.kafka,
            clock,
            topics=[USAGE.name],
            group=GROUP,
            handler=intake,
            max_records=_POLL_RECORDS,
            meter=runtime.meter,
        )
        deliveries = Deliveries(
            parts,
            targets,
            board,
            AccountsReports(to_accounts, timeout),
            clock,
            sender=lambda: spool.identity,
            interval=settings.accounts.interval,
        )
        runtime.readiness.add("destinations", lambda: targets.is_ready)
        yield Service([consumer, deliveries, names.table, targets, spool])


def _limits(sending: SendingSettings) -> SendingLimits:
    return SendingLimits(
        batch=sending.batch,
        objects=sending.objects,
        linger=sending.linger,
        objects_linger=sending.objects_linger,
        content_linger=sending.content_linger,
        retry_first=sending.retry_first,
        retry_longest=sending.retry_longest,
        give_up=sending.give_up,
    )
