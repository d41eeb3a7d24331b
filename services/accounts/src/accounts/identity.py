"""Use cases on organisations and API keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from uuid import UUID

from accounts.domain.accounts import (
    MAX_AMOUNT_NANO,
    ApiKey,
    KeyChanges,
    KeyFilter,
    KeyKind,
    Org,
    checked_changes,
    checked_digest,
    checked_id,
    checked_limit,
    checked_name,
    checked_page,
    checked_text,
)
from accounts.domain.errors import BusyError, InvalidFieldError, NotFoundError, NotSetUpError
from accounts.domain.key_settings import NO_SETTINGS, KeySettings, checked_settings
from accounts.domain.org_limits import OrgLimit, checked_org_limits
from accounts.domain.people import OPERATOR, Actor
from accounts.domain.ports import KeyStore, OrgStore
from contracts import api_keys
from contracts.api_keys import ApiKeyKind
from contracts.spend import Spend
from servicekit.batches import Batches, FullError
from servicekit.clock import Clock

_FORMS = {KeyKind.INFERENCE: ApiKeyKind.INFERENCE, KeyKind.MANAGEMENT: ApiKeyKind.MANAGEMENT}
_MAX_IDEMPOTENCY_KEY = 100
_MAX_REASON = 200

MOST_DIGESTS = 500
"""In one call."""

MOST_MOVES = 100
"""In one call."""

# Transactions that look keys up at the same time. One of some hundred keys takes PostgreSQL a few milliseconds.
_LOOKUPS = 2
_LOOKUPS_TOGETHER = 50
_LOOKUPS_WAITING = 2_000


class Identity:
    """What can be done with organisations and keys. Mints every id, time and secret."""

    def __init__(
        self,
        keys: KeyStore,
        orgs: OrgStore,
        clock: Clock,
        random: Random,
        pepper: bytes,
        previous_pepper: bytes | None = None,
    ) -> None:
        """Make the use cases.

        Args:
            keys: where keys are kept.
            orgs: where organisations are kept.
            clock: source of times.
            random: source of ids and secrets; cryptographic (`random.SystemRandom`) outside tests.
            pepper: secret of the installation that digests are made with.
            previous_pepper: that keys move from; None when they do not.
        """
        self._keys = keys
        self._orgs = orgs
        self._clock = clock
        self._random = random
        self._pepper = pepper
        self._pepper_id = api_keys.pepper_id(pepper)
        self._previous_id = None if previous_pepper is None else api_keys.pepper_id(previous_pepper)
        self._lookups: Batches[frozenset[str], Mapping[str, tuple[ApiKey, Org]]] = Batches(
            self._look_up, clock, together=_LOOKUPS_TOGETHER, under_way=_LOOKUPS, waiting=_LOOKUPS_WAITING
        )

    async def create_org(self, name: str, founder: str = "", actor: Actor = OPERATOR) -> Org:
        """Make an organisation without credit; `founder` is the user who owns it, "" for nobody yet."""
        owner = checked_id("user_id", founder) if founder else None
        return await self._orgs.add(self._new_id(), checked_name(name), owner, actor, self._clock.now())

    async def org(self, org_id: str) -> Org:
        """Return an organisation."""
        return await self._orgs.get(checked_id("org_id", org_id))

    async def grant_credit(
        self, org_id: str, nano: int, idempotency_key: str, reason: str, actor: Actor = OPERATOR
    ) -> Org:
        """Give credit, once for an idempotency key."""
        if not 0 < nano <= MAX_AMOUNT_NANO:
            raise InvalidFieldError("amount_nano_usd", "must be more than 0 and at most 1000000 dollars")
        checked_text("idempotency_key", idempotency_key, 1, _MAX_IDEMPOTENCY_KEY)
        checked_text("reason", reason, 0, _MAX_REASON)
        now = self._clock.now()
        owner = checked_id("org_id", org_id)
        return await self._orgs.grant(owner, nano, idempotency_key, reason or "grant", actor, now)

    async def set_rate_limits(self, org_id: str, limits: Sequence[OrgLimit], actor: Actor = OPERATOR) -> Org:
        """Put other rate limits in the place of those that an organisation and its workspaces have."""
        owner = checked_id("org_id", org_id)
        return await self._orgs.set_rate_limits(owner, checked_org_limits(limits), actor, self._clock.now())

    async def resolve_key(self, digest: str) -> tuple[ApiKey, Org]:
        """Find a key by its digest.

        Raises:
            NotFoundError: no key has it.
        """
        found = (await self.resolve_keys([digest])).get(digest)
        if found is None:
            raise NotFoundError("no such key")
        return found

    async def resolve_keys(self, digests: Sequence[str]) -> Mapping[str, tuple[ApiKey, Org]]:
        """Find keys by their digests, 500 at most; what is not among them does not exist.

        However many edges ask, no more than a few transactions are under way: what they ask meanwhile goes together in the next.

        Raises:
            InvalidFieldError: too many, or one is none.
            BusyError: too many wait.
            StoreUnavailableError: nothing can be said about any of them.
        """
        if not 1 <= len(digests) <= MOST_DIGESTS:
            raise InvalidFieldError("digests", f"must be 1 to {MOST_DIGESTS}")
        asked = frozenset(checked_digest(digest) for digest in digests)
        try:
            found = await self._lookups.ask(asked)
        except FullError:
            raise BusyError from None
        return {digest: each for digest, each in found.items() if digest in asked}

    async def _look_up(self, questions: Sequence[frozenset[str]]) -> Sequence[Mapping[str, tuple[ApiKey, Org]]]:
        found = await self._keys.resolve(frozenset().union(*questions), self._clock.now())
        return [found] * len(questions)

    async def create_key(
        self,
        org_id: str,
        name: str,
        kind: KeyKind,
        limit: int | None,
        expires_at: datetime | None,
        idempotency_key: str,
        settings: KeySettings = NO_SETTINGS,
        *,
        workspace_id: str = "",
        actor: Actor = OPERATOR,
    ) -> tuple[ApiKey, str]:
        """Make a key. Returns it with the whole key, which exists nowhere else."""
        now = self._clock.now()
        if expires_at is not None and expires_at <= now:
            raise InvalidFieldError("expires_at", "must be in the future")
        checked_text("idempotency_key", idempotency_key, 0, _MAX_IDEMPOTENCY_KEY)
        secret = api_keys.generate(_FORMS[kind], self._random)
        key = ApiKey(
            key_id=self._new_id(),
            org_id=checked_id("org_id", org_id),
            digest=api_keys.digest(secret, self._pepper),
            name=checked_name(name),
            label=api_keys.label(secret),
            kind=kind,
            disabled=False,
            limit=checked_limit(limit),
            spent=0,
            created_at=now,
            updated_at=now,
            expires_at=expires_at,
            revision=1,
            settings=checked_settings(settings),
            spend=Spend(now.date()),
            # The default workspace has the id of its organisation.
            workspace_id=checked_id("workspace_id", workspace_id) if workspace_id else checked_id("org_id", org_id),
            pepper_id=self._pepper_id,
        )
        await self._keys.add(key, idempotency_key or None, actor)
        return key, secret

    async def list_keys(self, org_id: str, offset: int, limit: int, wanted: KeyFilter) -> tuple[list[ApiKey], int]:
        """List keys, newest first, with how many there are in all."""
        offset, limit = checked_page(offset, limit)
        now = self._clock.now()
        return await self._keys.page(checked_id("org_id", org_id), offset, limit, wanted, now)

    async def get_key(self, org_id: str, digest: str) -> ApiKey:
        """Return a key of an organisation and what it spent."""
        return await self._keys.get(checked_id("org_id", org_id), checked_digest(digest), self._clock.now())

    async def update_key(self, org_id: str, digest: str, changes: KeyChanges, actor: Actor = OPERATOR) -> ApiKey:
        """Change a key of an organisation."""
        return await self._keys.update(
            checked_id("org_id", org_id), checked_digest(digest), checked_changes(changes), actor, self._clock.now()
        )

    async def delete_key(self, org_id: str, digest: str, actor: Actor = OPERATOR) -> None:
        """Delete a key of an organisation."""
        await self._keys.delete(checked_id("org_id", org_id), checked_digest(digest), actor, self._clock.now())

    async def move_keys(self, pepper_id: str, previous_pepper_id: str, moves: Mapping[str, str]) -> int:
        """Have keys looked up by their digests under the current pepper, and no longer by those under the previous one.

        Each moves by itself, so that two edges that name the same keys never wait for each other.

        Args:
            pepper_id: of the pepper that the new digests were made with.
            previous_pepper_id: of the one that the old ones were made with.
            moves: new digests by old ones, 1 to 100.

        Returns:
            How many moved. What moved before or was deleted is not among them.

        Raises:
            NotSetUpError: keys do not move at present.
            InvalidFieldError: the peppers are not those of this service; too many moves; a digest is none.
        """
        if self._previous_id is None:
            raise NotSetUpError("keys do not move to another pepper here")
        if pepper_id != self._pepper_id:
            raise InvalidFieldError("pepper_id", "is not of the current pepper")
        if previous_pepper_id != self._previous_id:
            raise InvalidFieldError("previous_pepper_id", "is not of the previous pepper")
        if not 1 <= len(moves) <= MOST_MOVES:
            raise InvalidFieldError("moves", f"must be 1 to {MOST_MOVES}")
        try:
            checked = {checked_digest(previous): checked_digest(digest) for previous, digest in moves.items()}
        except NotFoundError:
            raise InvalidFieldError("moves", "must be of digests: 64 lower-case hexadecimal characters") from None
        now = self._clock.now()
        return sum([await self._keys.move(each, digest, pepper_id, now) for each, digest in checked.items()])

    def _new_id(self) -> UUID:
        return UUID(int=self._random.getrandbits(128), version=4)
