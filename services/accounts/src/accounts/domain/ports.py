"""What accounts needs from outside. Every method may raise StoreUnavailableError."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from accounts.domain.accounts import ApiKey, KeyChanges, KeyFilter, Org
from accounts.domain.byok import ByokKey, ResolvedByokKey
from accounts.domain.guardrail_rules import Assignment, AssignmentKind, Subjects
from accounts.domain.org_limits import OrgLimit
from accounts.domain.people import Actor
from accounts.domain.postings import UsageFact
from contracts.guardrails import Guardrail
from contracts.sealed_secrets import SealedSecret


@dataclass(frozen=True, slots=True)
class ReceivedRecord:
    """A record of the usage topic: as it was, and what it states; `reason` says why it states nothing usable."""

    offset: int
    key: bytes
    value: bytes | None
    headers: Mapping[str, str]
    fact: UsageFact | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SettlementBatch:
    """Consecutive records of one partition, and where reading goes on after them."""

    cluster_id: str
    topic: str
    partition: int
    next_offset: int
    records: Sequence[ReceivedRecord]


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What a batch did: events that were new or corrected, and records that were set aside.

    `overshoot` is what the events cost beyond what was set aside for them, in nano-dollars. `unreconciled` counts generations of
    which nobody but a clean-up has said how they ended. `suspended` is what providers will charge for what was set aside, in
    nano-dollars.
    """

    settled: int
    rejected: int
    overshoot: int = 0
    unreconciled: int = 0
    suspended: int = 0


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A record to publish. `value` None deletes the key from its compacted topic."""

    topic: str
    key: str
    value: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication did: how many messages, and whether they were `everything` that there is."""

    messages: int
    everything: bool


class KeyStore(Protocol):
    """API keys."""

    async def add(self, key: ApiKey, idempotency_key: str | None, actor: Actor) -> None:
        """Store a new key. Raises NotFoundError for the organisation, AlreadyExistsError for the idempotency key."""
        ...

    async def resolve(self, digests: Collection[str], now: datetime) -> Mapping[str, tuple[ApiKey, Org]]:
        """Find keys with their organisations, by digest; what is not among them does not exist."""
        ...

    async def page(
        self, org_id: UUID, offset: int, limit: int, wanted: KeyFilter, now: datetime
    ) -> tuple[list[ApiKey], int]:
        """Return keys of an organisation, newest first, and how many there are in all."""
        ...

    async def get(self, org_id: UUID, digest: str, now: datetime) -> ApiKey:
        """Return a key and what it spent. Raises NotFoundError."""
        ...

    async def update(self, org_id: UUID, digest: str, changes: KeyChanges, actor: Actor, now: datetime) -> ApiKey:
        """Change a key. Raises NotFoundError."""
        ...

    async def delete(self, org_id: UUID, digest: str, actor: Actor, now: datetime) -> None:
        """Delete a key. Raises NotFoundError."""
        ...

    async def move(self, previous_digest: str, digest: str, pepper_id: str, now: datetime) -> bool:
        """Have a key looked up by another digest, and by that one alone. False when no key is looked up by the previous one."""
        ...

    async def count_under_others(self, pepper_id: str, now: datetime) -> int:
        """Count keys that could be used and are looked up under another pepper than this one."""
        ...


class GuardrailStore(Protocol):
    """Guardrails and whom they bind. A guardrail of another organisation is as unknown as one that does not exist."""

    async def add(self, guardrail: Guardrail, actor: Actor) -> None:
        """Store a new guardrail. Raises NotFoundError for the organisation."""
        ...

    async def page(self, org_id: UUID, workspace_id: UUID, offset: int, limit: int) -> tuple[list[Guardrail], int]:
        """Return guardrails of a workspace, newest first, and how many there are in all."""
        ...

    async def get(self, org_id: UUID, guardrail_id: UUID) -> Guardrail:
        """Return a guardrail. Raises NotFoundError."""
        ...

    async def workspaces(self, org_id: UUID) -> list[UUID]:
        """Return the workspaces of an organisation."""
        ...

    async def replace(self, guardrail: Guardrail, actor: Actor) -> None:
        """Store the next revision of a guardrail. Raises NotFoundError, or AlreadyExistsError when somebody was faster."""
        ...

    async def delete(self, org_id: UUID, guardrail_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a guardrail and its assignments. Raises NotFoundError."""
        ...

    async def assign(self, org_id: UUID, assignments: Sequence[Assignment], actor: Actor, now: datetime) -> int:
        """Bind keys and members, and return how many. Raises NotFoundError for a guardrail or a key."""
        ...

    async def unassign(self, org_id: UUID, guardrail_id: UUID, subjects: Subjects, actor: Actor, now: datetime) -> int:
        """Free keys and members, and return how many were bound. Raises NotFoundError for the guardrail."""
        ...

    async def assignments(
        self, org_id: UUID, guardrail_id: UUID | None, kind: AssignmentKind, offset: int, limit: int
    ) -> tuple[list[Assignment], int]:
        """Return assignments, newest first, and how many there are. Raises NotFoundError for the guardrail."""
        ...


class ByokStore(Protocol):
    """Customers' own provider keys, sealed. A key of another organisation is as unknown as one that does not exist."""

    async def add(self, key: ByokKey, sealed: SealedSecret, actor: Actor, now: datetime) -> ByokKey:
        """Store a key as the last of its provider. Raises NotFoundError for the organisation, InvalidFieldError."""
        ...

    async def page(
        self, org_id: UUID, workspace_id: UUID, provider: str, offset: int, limit: int
    ) -> tuple[list[ByokKey], int]:
        """Return keys of a workspace by provider, in the order in which they are tried, and how many there are."""
        ...

    async def get(self, org_id: UUID, byok_key_id: UUID) -> ByokKey:
        """Return a key. Raises NotFoundError."""
        ...

    async def replace(
        self, key: ByokKey, known_version: int, sealed: SealedSecret | None, actor: Actor, now: datetime
    ) -> None:
        """Store what a key is now. Raises AlreadyExistsError when another one took its place, InvalidFieldError."""
        ...

    async def delete(self, org_id: UUID, byok_key_id: UUID, actor: Actor, now: datetime) -> None:
        """Delete a key and what was stored of it. Raises NotFoundError."""
        ...

    async def resolve(self, org_id: UUID) -> tuple[list[ResolvedByokKey], int]:
        """Return every enabled key of an organisation, and the revision of all of them. Raises NotFoundError."""
        ...

    async def under_other_keks(self, current: str, limit: int) -> Sequence[ResolvedByokKey]:
        """Return keys whose data key is not under this key-encryption key."""
        ...

    async def rewrap(self, key: ByokKey, sealed: SealedSecret) -> None:
        """Store the data key of a key under another key-encryption key."""
        ...


class OrgStore(Protocol):
    """Organisations and their credit."""

    async def add(self, org_id: UUID, name: str, founder: UUID | None, actor: Actor, now: datetime) -> Org:
        """Store a new organisation without credit, with its default workspace and, where there is one, its owner."""
        ...

    async def get(self, org_id: UUID) -> Org:
        """Return an organisation. Raises NotFoundError."""
        ...

    async def grant(
        self, org_id: UUID, nano: int, idempotency_key: str, reason: str, actor: Actor, now: datetime
    ) -> Org:
        """Give credit once for an idempotency key. Raises NotFoundError."""
        ...

    async def set_rate_limits(self, org_id: UUID, limits: Sequence[OrgLimit], actor: Actor, now: datetime) -> Org:
        """Put other rate limits in their place. Raises NotFoundError, InvalidFieldError for a workspace."""
        ...


class SettlementStore(Protocol):
    """The books, and where each partition has been read to."""

    async def offsets(self, cluster_id: str, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Return the next offset of each partition that was read before in this cluster."""
        ...

    async def settle(self, batch: SettlementBatch, now: datetime) -> SettlementResult:
        """Post a batch and move its offset, all or nothing. Doing it again changes nothing."""
        ...


class Outbox(Protocol):
    """Changes that are committed and not yet published."""

    async def publish(self, cluster_id: str, limit: int, send: OutboxSender, now: datetime) -> Published:
        """Hand the oldest changes to `send`, and forget them once it returns.

        A cluster that does not hold everything yet is given the state of every key and organisation first, deleted keys
        as tombstones. However many publishers there are, what one key is given never gets older: two never send at once.
        """
        ...


class OutboxSender(Protocol):
    """Publishes records."""

    async def __call__(self, messages: Sequence[OutboxMessage]) -> None:
        """Return when all are acknowledged; raise otherwise, and none is forgotten."""
        ...
