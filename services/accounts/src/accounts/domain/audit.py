"""The audit log: entries chained by their digests, so that none can be changed, left out or put in unnoticed."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.domain.people import Actor

Values = Mapping[str, Any]
"""What an audited thing was or became: members by name, JSON values, never a secret."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A change that is about to be written down."""

    actor: Actor
    action: str
    target: str
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change as it is written down; `before` and `after` are canonical JSON."""

    org_id: UUID
    sequence: int
    occurred_at: datetime
    actor_kind: str
    actor_id: str
    action: str
    target: str
    before: str
    after: str
    ip: str
    request_id: str
    previous_digest: str
    digest: str


@dataclass(frozen=True, slots=True)
class AuditFinding:
    """What going through a chain found. `broken_at` 0 means that it is intact."""

    entries: int
    broken_at: int
    reason: str
    head_digest: str


def entry_of(
    event: AuditEvent, org_id: UUID, sequence: int, previous_digest: str, now: datetime, secret: bytes
) -> AuditEntry:
    """Make the entry of a change.

    Args:
        event: the change.
        org_id: whose log.
        sequence: its place there.
        previous_digest: of the entry before, "" for the first.
        now: when.
        secret: of the installation, in no database: who can write there cannot make a chain that holds.
    """
    actor = event.actor
    fields = (
        str(org_id), str(sequence), _instant(now), actor.kind.name.lower(), actor.id, event.action, event.target,
        canonical(event.before), canonical(event.after), actor.ip, actor.request_id, previous_digest,
    )  # fmt: skip
    return AuditEntry(org_id, sequence, now, *fields[3:], digest=_digest(fields, secret))


def verify(
    entries: Iterable[AuditEntry], head: tuple[int, str], anchor: tuple[int, str] | None, secret: bytes
) -> AuditFinding:
    """Go through a chain.

    Args:
        entries: all of an organisation, in order.
        head: sequence and digest of the last one, as they are kept beside the chain; 0 and "" for none.
        anchor: of an entry that was noted elsewhere.
        secret: see `entry_of`.
    """
    count, previous = 0, ""
    for entry in entries:
        if entry.sequence != count + 1:
            return AuditFinding(count, count + 1, "the entry is missing", previous)
        if entry.previous_digest != previous:
            return AuditFinding(count, entry.sequence, "the entry does not follow the one before it", previous)
        if not hmac.compare_digest(entry.digest, _digest(_fields(entry), secret)):
            return AuditFinding(count, entry.sequence, "the entry was changed", previous)
        if anchor is not None and anchor[0] == entry.sequence and anchor[1] != entry.digest:
            return AuditFinding(count, entry.sequence, "the entry is not the one that was noted", previous)
        count, previous = entry.sequence, entry.digest
    if head != (count, previous):
        return AuditFinding(count, count + 1, "entries at the end are missing", previous)
    if anchor is not None and anchor[0] > count:
        return AuditFinding(count, count + 1, "the entry that was noted is missing", previous)
    return AuditFinding(count, 0, "", previous)


def canonical(values: Values) -> str:
    """Write values so that the same ones are the same text."""
    return json.dumps(dict(values), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def differences(before: Values, after: Values) -> tuple[Values, Values]:
    """What was and what is, of the members that changed."""
    changed = [name for name in after if before[name] != after[name]]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}


def _fields(entry: AuditEntry) -> tuple[str, ...]:
    return (
        str(entry.org_id), str(entry.sequence), _instant(entry.occurred_at), entry.actor_kind, entry.actor_id,
        entry.action, entry.target, entry.before, entry.after, entry.ip, entry.request_id, entry.previous_digest,
    )  # fmt: skip


def _digest(fields: tuple[str, ...], secret: bytes) -> str:
    # As JSON, so that no text can run over into the next field.
    return hmac.new(secret, json.dumps(fields).encode(), hashlib.sha256).hexdigest()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
