"""The owner of keys and credit, in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from ipaddress import ip_network
from random import Random
from uuid import UUID

from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from contracts.errors import ErrorReason
from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from contracts.rate_limits import rate_limits_from_proto, rate_limits_to_proto
from contracts.spend import SpendInterval, spend_from_proto
from edge.domain.actor import Actor
from edge.domain.budgets import WorkspaceBudget
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.domain.org_limits import OrgRateLimit
from edge.domain.principal import Key, KeyAccess, KeyKind, Org
from edge.ports import KeyChange, KeyFields, KeyFilter, NewKey
from turnpike.accounts.v1 import key_service_pb2, org_service_pb2, records_pb2

PEPPER = b"a pepper for tests, 32 characters long"
PREVIOUS_PEPPER = b"the pepper of tests that was in use before"
INFERENCE, MANAGEMENT = records_pb2.KEY_KIND_INFERENCE, records_pb2.KEY_KIND_MANAGEMENT
CREATED_S = 1_790_000_000
USD = 10**9
_PAGE = 100
_MAX_NAME = 100


def known_key(record: records_pb2.KeyRecord) -> Key:
    """What the edge knows of a key."""
    return Key(
        key_id=KeyId(record.key_id),
        digest=record.digest,
        org_id=OrgId(record.org_id),
        kind=KeyKind.MANAGEMENT if record.kind == MANAGEMENT else KeyKind.INFERENCE,
        disabled=record.disabled,
        limit=NanoUsd(record.limit_nano_usd) if record.HasField("limit_nano_usd") else None,
        spent=NanoUsd(record.spent_nano_usd),
        expires_at_ms=record.expires_at.ToMilliseconds() if record.HasField("expires_at") else None,
        revision=record.revision,
        limit_reset=SpendInterval(record.limit_reset),
        include_byok_in_limit=record.include_byok_in_limit,
        logs_content=record.logs_content,
        spend=spend_from_proto(record.spend),
        access=KeyAccess(
            tuple(record.allowed_models),
            tuple(record.allowed_providers),
            tuple(ip_network(text) for text in record.ip_ranges),
        ),
        rate_limits=rate_limits_from_proto(record.rate_limits),
        creator_user_id=record.creator_user_id,
        guardrail_id=record.guardrail_id,
        member_guardrail_id=record.member_guardrail_id,
        creator_spend=spend_from_proto(record.creator_spend) if record.HasField("creator_spend") else None,
        workspace_id=record.workspace_id,
        lookup_digest=record.lookup_digest,
    )


def known_org(record: records_pb2.OrgRecord) -> Org:
    """What the edge knows of an organisation."""
    return Org(
        org_id=OrgId(record.org_id),
        active=record.status == records_pb2.ORG_STATUS_ACTIVE,
        balance=NanoUsd(record.balance_nano_usd),
        revision=record.revision,
        byok_revision=record.byok_revision,
        byok_spend=spend_from_proto(record.byok_spend),
        budgets=tuple(
            WorkspaceBudget(
                workspace_id=budget.workspace_id,
                interval=SpendInterval(budget.interval),
                limit=NanoUsd(budget.limit_nano_usd),
                spent=NanoUsd(budget.spent_nano_usd),
                day=date(1970, 1, 1) + timedelta(days=budget.day),
            )
            for budget in record.workspace_budgets
        ),
        rate_limits=tuple(
            OrgRateLimit(each.workspace_id, limit)
            for each in record.rate_limits
            for limit in rate_limits_from_proto([each.limit])
        ),
    )


class MemoryAccounts:
    """Has organisations, keys and what they spent.

    Attributes:
        orgs: by id.
        keys: by digest.
        credit: what each organisation bought and used, by id.
        asked: the digests that were resolved, in order.
        down: whether every call fails.
        gate: awaited by each `resolve` before its answer.
    """

    def __init__(self) -> None:
        self.orgs: dict[str, records_pb2.OrgRecord] = {}
        self.keys: dict[str, records_pb2.KeyRecord] = {}
        self.credit: dict[str, tuple[int, int]] = {}
        self.asked: list[str] = []
        self.down = False
        self.gate: Callable[[], Awaitable[object]] | None = None
        self._used: set[tuple[str, str]] = set()
        # Seeded anew each time: several of these publish to one broker, and their keys must differ.
        self._random = Random()

    def add_org(self, balance: int = 10 * USD, *, active: bool = True) -> records_pb2.OrgRecord:
        """Make an organisation with credit, in nano-dollars."""
        status = records_pb2.ORG_STATUS_ACTIVE if active else records_pb2.ORG_STATUS_FROZEN
        org = records_pb2.OrgRecord(
            org_id=self._uuid(), name="Example", status=status, balance_nano_usd=balance, revision=1
        )
        self.orgs[org.org_id] = org
        self.credit[org.org_id] = (balance, 0)
        return org

    def key_of(self, org_id: str, key_id: str) -> records_pb2.KeyRecord | None:
        """A key of an organisation, by its id."""
        return next((key for key in self.keys.values() if key.key_id == key_id and key.org_id == org_id), None)

    def add_key(
        self,
        org_id: str,
        kind: records_pb2.KeyKind.ValueType = INFERENCE,
        *,
        name: str = "a key",
        limit: int | None = None,
        spent: int = 0,
        disabled: bool = False,
        expires_s: int | None = None,
        pepper: bytes = PEPPER,
    ) -> tuple[str, records_pb2.KeyRecord]:
        """Make a key. Returns the whole key and its record."""
        form = ApiKeyKind.INFERENCE if kind == INFERENCE else ApiKeyKind.MANAGEMENT
        secret = api_keys.generate(form, self._random)
        key = records_pb2.KeyRecord(
            key_id=self._uuid(),
            digest=api_keys.digest(secret, pepper),
            org_id=org_id,
            name=name,
            label=api_keys.label(secret),
            kind=kind,
            disabled=disabled,
            limit_nano_usd=limit,
            spent_nano_usd=spent,
            revision=1,
        )
        key.created_at.FromSeconds(CREATED_S + len(self.keys))
        key.updated_at.CopyFrom(key.created_at)
        if expires_s is not None:
            key.expires_at.FromSeconds(expires_s)
        self.keys[key.digest] = key
        return secret, key

    async def resolve(self, *digests: str) -> tuple[Key, Org]:
        """Find a key."""
        self.asked.append(digests[0])
        if self.gate is not None:
            await self.gate()
        self._check()
        named = {key.lookup_digest or key.digest: key for key in self.keys.values()}
        key = next((named[digest] for digest in digests if digest in named), None)
        if key is None:
            raise NotFoundError("No such key")
        return known_key(key), known_org(self.orgs[key.org_id])

    async def move(self, digests: Mapping[str, str]) -> int:
        """Have keys looked up by other digests."""
        self._check()
        named = {key.lookup_digest or key.digest: key for key in self.keys.values()}
        found = [(named[previous], digest) for previous, digest in digests.items() if previous in named]
        for key, digest in found:
            key.lookup_digest = digest
            key.revision += 1
        return len(found)

    async def create(self, new: NewKey) -> key_service_pb2.CreateKeyResponse:
        """Make an inference key."""
        self._check()
        self._check_name(new.name)
        # There is no workspace but the default one here.
        if new.workspace_id not in ("", new.org_id):
            message = "workspace_id names no workspace of the organisation"
            raise RefusedError(ErrorReason.INVALID_REQUEST, message, {"param": "workspace_id"})
        if new.idempotency_key:
            if (new.org_id, new.idempotency_key) in self._used:
                raise RefusedError(ErrorReason.ALREADY_EXISTS, "a key was made under this idempotency key")
            self._used.add((new.org_id, new.idempotency_key))
        secret, key = self.add_key(new.org_id, name=new.name, limit=new.limit_nano)
        if new.expires_at is not None:
            key.expires_at.FromDatetime(new.expires_at)
        key.creator_user_id = new.creator_user_id
        key.workspace_id = new.workspace_id or new.org_id
        _set_fields(key, new.fields)
        return key_service_pb2.CreateKeyResponse(key=key, secret=secret)

    async def list(self, org_id: str, offset: int, wanted: KeyFilter) -> key_service_pb2.ListKeysResponse:
        """List keys, newest first, 100 at most."""
        self._check()
        own = [key for key in reversed(self.keys.values()) if key.org_id == org_id]
        seen = [
            key
            for key in own
            if (wanted.include_disabled or not key.disabled)
            and wanted.workspace_id in ("", key.workspace_id or org_id)
            and wanted.creator_user_id in ("", key.creator_user_id)
        ]
        return key_service_pb2.ListKeysResponse(keys=seen[offset : offset + _PAGE], total_count=len(seen))

    async def get(self, org_id: str, digest: str) -> key_service_pb2.GetKeyResponse:
        """Return one key with what it spent."""
        key = self._own(org_id, digest)
        return key_service_pb2.GetKeyResponse(key=key)

    async def update(self, change: KeyChange) -> key_service_pb2.UpdateKeyResponse:
        """Change a key."""
        key = self._own(change.org_id, change.digest)
        if change.name is not None:
            self._check_name(change.name)
            key.name = change.name
        if change.disabled is not None:
            key.disabled = change.disabled
        if change.limit_nano is not None:
            key.limit_nano_usd = change.limit_nano
        if change.clear_limit:
            key.ClearField("limit_nano_usd")
        _set_fields(key, change.fields)
        key.revision += 1
        return key_service_pb2.UpdateKeyResponse(key=key)

    async def delete(self, org_id: str, digest: str, actor: Actor) -> None:
        """Delete a key."""
        self._own(org_id, digest)
        del self.keys[digest]

    async def credits(self, org_id: str) -> org_service_pb2.GetCreditsResponse:
        """Return what an organisation bought and used."""
        self._check()
        if org_id not in self.credit:
            raise NotFoundError("Not found")
        bought, used = self.credit[org_id]
        return org_service_pb2.GetCreditsResponse(total_credits_nano_usd=bought, total_usage_nano_usd=used)

    def _own(self, org_id: str, digest: str) -> records_pb2.KeyRecord:
        self._check()
        key = self.keys.get(digest)
        if key is None or key.org_id != org_id:
            raise NotFoundError("Not found")
        return key

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")

    @staticmethod
    def _check_name(name: str) -> None:
        if not 1 <= len(name) <= _MAX_NAME:
            raise RefusedError(ErrorReason.INVALID_REQUEST, "name: must have 1 to 100 characters", {"param": "name"})

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def _set_fields(key: records_pb2.KeyRecord, fields: KeyFields) -> None:
    if fields.limit_reset is not None:
        key.limit_reset = records_pb2.SpendInterval.ValueType(fields.limit_reset)
    if fields.include_byok_in_limit is not None:
        key.include_byok_in_limit = fields.include_byok_in_limit
    if fields.logs_content is not None:
        key.logs_content = fields.logs_content
    if fields.allowed_models is not None:
        key.allowed_models[:] = fields.allowed_models
    if fields.allowed_providers is not None:
        key.allowed_providers[:] = fields.allowed_providers
    if fields.ip_ranges is not None:
        key.ip_ranges[:] = fields.ip_ranges
    if fields.rate_limits is not None:
        del key.rate_limits[:]
        key.rate_limits.extend(rate_limits_to_proto(fields.rate_limits))
