"""One destination: its events in order, batch by batch, each again and again until it is taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final

from contracts.broadcast import DestinationType
from metering.broadcast.board import Board
from metering.broadcast.domain.backoff import pause_s
from metering.broadcast.domain.deliveries import Attempt, Batch, Outcome, Verdict, WaitingEvent
from metering.broadcast.domain.errors import AccountsUnavailableError, UnreadableConfigError
from metering.broadcast.domain.filters import Search, lets_through
from metering.broadcast.domain.ports import ContentLibrary, KeyNames, Sender, Spool, TargetDirectory
from metering.broadcast.domain.spans import GenerationSpan, facts_of, span_of
from metering.broadcast.domain.targets import Target
from metering.convert import checked_event_from_bytes, usage_row_from_proto
from servicekit.clock import Clock
from servicekit.failpoints import Failpoints
from servicekit.logs import get_logger

_log = get_logger(__name__)

_UNBOUNDED: Final = 2**31
# What was said in a generation has 2 MiB at most; of a batch this much is in memory, and one generation more.
_MOST_WITH_CONTENT: Final = 20
_CONTENT_BYTES: Final = 8 << 20
# A key is published within a second of its making; one that is unknown for longer was deleted.
_UNKNOWN_KEY_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class SendingLimits:
    """How it is sent. See `settings.SendingSettings`."""

    batch: int
    objects: int
    linger: timedelta
    objects_linger: timedelta
    content_linger: timedelta
    retry_first: timedelta
    retry_longest: timedelta
    give_up: timedelta


@dataclass(frozen=True)
class Parts:
    """What a delivery works with."""

    spool: Spool
    board: Board
    targets: TargetDirectory
    senders: Mapping[DestinationType, Sender]
    contents: ContentLibrary
    names: KeyNames
    search: Search
    clock: Clock
    random: Random
    failpoints: Failpoints
    limits: SendingLimits
    slots: asyncio.Semaphore
    content_slots: asyncio.Semaphore


class Delivery:
    """Sends to one destination for as long as it is active. What it holds in memory is one batch."""

    def __init__(self, destination_id: str, parts: Parts) -> None:
        """Make a delivery.

        Args:
            destination_id: of the destination.
            parts: what it works with.
        """
        self._id, self._parts = destination_id, parts
        self._failures = 0
        self._most = _UNBOUNDED
        self._leaving = False
        self.sending = False
        """Whether a batch is on its way."""
        self.given_up = False
        """Whether it failed for so long that nothing is sent any more."""

    async def run(self) -> None:
        """Send until the destination is gone or switched off, and forget what waits then; or until `leave`."""
        while (target := self._parts.targets.get(self._id)) is not None and not self.given_up:
            news = self._parts.board.news(self._id)
            news.clear()
            batch = await self._next(target)
            if batch is None:
                await self._rest(news, target)
                continue
            self._parts.failpoints.reach("batch-planned")
            self.sending = True
            pause = await self._deliver(target, batch)
            self.sending = False
            if self._leaving:
                return
            await self._pause(target, pause)
        await self._forget()

    def leave(self) -> None:
        """Return after what is being sent now."""
        self._leaving = True

    async def _next(self, target: Target) -> Batch | None:
        """The batch to send: when the oldest event waited long enough for others, or there are enough."""
        if not self._parts.board.of(self._id).waiting:
            return None
        limits, now_ms = self._parts.limits, self._now_ms()
        content = self._sends_content(target)
        most = min(self._most, limits.objects if target.type is DestinationType.S3 else limits.batch)
        return await self._parts.spool.plan(
            self._id,
            limit=min(most, _MOST_WITH_CONTENT) if content else most,
            ripe_until_ms=now_ms - _ms(self._linger(target)),
            received_until_ms=now_ms - (_ms(limits.content_linger) if content else 0),
        )

    async def _deliver(self, target: Target, batch: Batch) -> float:
        """Send a batch once; returns how long to wait before the next attempt, in seconds."""
        parts = self._parts
        # Its time begins when it is its turn: others that are slow are not its failure.
        async with parts.content_slots if self._sends_content(target) else parts.slots:
            try:
                spans = await self._spans(target, batch)
            except AccountsUnavailableError:
                # What was said, or whose key it is, cannot be known now; the destination is not to blame, so nothing is counted.
                self._failures += 1
                return self._backoff(None)
            if spans is None:
                await parts.spool.split(self._id)
                return 0.0
            outcome = await self._attempt(target, batch, spans) if spans else Outcome(Verdict.TAKEN)
        parts.failpoints.reach("batch-sent")
        if outcome.verdict is Verdict.TAKEN:
            await self._taken(batch, len(spans))
            return 0.0
        if outcome.verdict is Verdict.REFUSED:
            return await self._refused(batch)
        return await self._failed(outcome)

    async def _attempt(self, target: Target, batch: Batch, spans: list[GenerationSpan]) -> Outcome:
        began_ms = self._now_ms()
        try:
            config = self._parts.targets.config(target)
        except UnreadableConfigError:
            outcome = Outcome(Verdict.FAILED, 0, "unreadable")
        else:
            outcome = await self._parts.senders[target.type].send(target, config, batch, spans)
        attempt = Attempt(began_ms, len(spans), outcome.status, self._now_ms() - began_ms, outcome.error)
        self._parts.board.of(self._id).attempts.appendleft(attempt)
        return outcome

    async def _taken(self, batch: Batch, sent: int) -> None:
        progress, totals = self._parts.board.of(self._id), self._parts.board.of(self._id).totals
        totals.delivered += sent
        totals.failing_since_ms = None
        if sent:
            totals.delivered_ms = self._now_ms()
        await self._parts.spool.finish(batch, totals)
        self._parts.failpoints.reach("batch-finished")
        self._parts.board.removed(self._id, sent, "delivered")
        if len(batch.events) > sent:
            self._parts.board.removed(self._id, len(batch.events) - sent, "filtered")
        if self._failures:
            _log.info("destination.recovered", destination_id=self._id, waiting=progress.waiting)
        self._failures = 0
        self._most = min(self._most * 2, _UNBOUNDED)

    async def _refused(self, batch: Batch) -> float:
        """Send smaller batches, until the event is found that is refused; it is given up, and the others go on."""
        totals = self._parts.board.of(self._id).totals
        if len(batch.events) > 1:
            self._most = len(batch.events) // 2
            await self._parts.spool.split(self._id)
            return 0.0
        totals.refused += 1
        await self._parts.spool.finish(batch, totals)
        self._parts.board.removed(self._id, 1, "refused")
        _log.warning("event.refused", destination_id=self._id, event_id=batch.events[0].event_id)
        return 0.0

    async def _failed(self, outcome: Outcome) -> float:
        totals, now_ms = self._parts.board.of(self._id).totals, self._now_ms()
        self._failures += 1
        totals.failures += 1
        if totals.failing_since_ms is None:
            totals.failing_since_ms = now_ms
        await self._parts.spool.keep_totals(self._id, totals)
        if self._failures == 1:
            _log.warning("destination.failed", destination_id=self._id, status=outcome.status, reason=outcome.error)
        if now_ms - totals.failing_since_ms >= _ms(self._parts.limits.give_up):
            self.given_up = True
            _log.error("destination.given_up", destination_id=self._id, failures=totals.failures)
        return self._backoff(outcome.retry_after_s)

    async def _forget(self) -> None:
        progress = self._parts.board.of(self._id)
        await self._parts.spool.split(self._id)
        dropped = await self._parts.spool.drop_oldest(self._id, _UNBOUNDED, progress.totals)
        progress.totals.failing_since_ms = None if not self.given_up else progress.totals.failing_since_ms
        if dropped:
            self._parts.board.removed(self._id, dropped, "dropped")

    async def _spans(self, target: Target, batch: Batch) -> list[GenerationSpan] | None:
        """Make the spans that are sent; None where they would take too much memory, and a smaller batch is the next."""
        spans, size = [], 0
        for index, event in enumerate(batch.events):
            span, said = await self._span(target, event)
            if span is not None:
                spans.append(span)
            size += said
            if size > _CONTENT_BYTES and index + 1 < len(batch.events):
                self._most = index + 1
                return None
        return spans

    async def _span(self, target: Target, event: WaitingEvent) -> tuple[GenerationSpan | None, int]:
        """Make a span, with the bytes of what was said; None where the generation is not for the destination after all."""
        parts, row, found = self._parts, usage_row_from_proto(*checked_event_from_bytes(event.payload)), None
        if target.allowed_digests is not None:
            digest = parts.names.digest_of(row.key_id)
            if not digest and self._now_ms() - event.received_ms < _UNKNOWN_KEY_MS:
                raise AccountsUnavailableError("the key was made a moment ago")
            if digest not in target.allowed_digests:
                return None, 0
        if self._sends_content(target):
            found = await parts.contents.get(target.org_id, row.generation_id)
        content, key_name = _document(found), event.key_name or parts.names.name_of(row.key_id)
        if not lets_through(target.rules, facts_of(row, key_name, content), parts.search):
            return None, 0
        return span_of(row, key_name, target, content), len(found or b"")

    def _sends_content(self, target: Target) -> bool:
        return not target.privacy_mode

    def _linger(self, target: Target) -> timedelta:
        limits = self._parts.limits
        linger = limits.objects_linger if target.type is DestinationType.S3 else limits.linger
        return max(linger, limits.content_linger) if self._sends_content(target) else linger

    def _backoff(self, asked_s: float | None) -> float:
        limits = self._parts.limits
        return pause_s(
            self._failures,
            self._parts.random,
            first_s=limits.retry_first.total_seconds(),
            longest_s=limits.retry_longest.total_seconds(),
            asked_s=asked_s,
        )

    async def _rest(self, news: asyncio.Event, target: Target) -> None:
        """Wait for events, or until those that are there have waited long enough."""
        if not self._parts.board.of(self._id).waiting:
            await news.wait()
        else:
            await self._parts.clock.sleep(self._linger(target).total_seconds() / 4)

    async def _pause(self, target: Target, seconds: float) -> None:
        """Wait before the next attempt; not on for a destination that was changed, which may be the cure."""
        end = self._parts.clock.monotonic() + seconds
        while (left := end - self._parts.clock.monotonic()) > 0 and not self.given_up:
            if self._parts.targets.get(self._id) != target:
                self._failures = 0
                return
            await self._parts.clock.sleep(min(left, 0.5))

    def _now_ms(self) -> int:
        return int(self._parts.clock.now().timestamp() * 1000)


def _ms(span: timedelta) -> int:
    return int(span.total_seconds() * 1000)


def _document(content: bytes | None) -> Mapping[str, Any] | None:
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
