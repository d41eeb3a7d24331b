"""An authenticator over memory, for tests."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random

from edge.authentication import Authenticator, Trust
from edge.domain.principal import Key, Principal
from edge.testing.accounts import PEPPER, MemoryAccounts, known_key, known_org
from edge.testing.doubles import MemoryKeyDirectory
from servicekit.testing import ManualClock
from turnpike.accounts.v1 import records_pb2

NOW_MS = 1_790_000_000_000


@dataclass
class KeyBench:
    """An authenticator, an organisation, and a key of it that is not published."""

    authenticator: Authenticator
    directory: MemoryKeyDirectory
    accounts: MemoryAccounts
    clock: ManualClock
    org: records_pb2.OrgRecord
    secret: str
    record: records_pb2.KeyRecord
    moves: list[tuple[str, str]]

    @property
    def key(self) -> Key:
        """The key as it is now."""
        return known_key(self.record)

    def publish(self, record: records_pb2.KeyRecord | None = None) -> Key:
        """Put the key, as it is now, and its organisation into the directory, as news."""
        key = known_key(record or self.record)
        self.directory.keys[key.looked_up_by] = key
        self.directory.orgs[self.org.org_id] = known_org(self.org)
        self.authenticator.forget(key.looked_up_by)
        return key

    def bury(self, digest: str | None = None) -> None:
        """Publish that no key is looked up by a digest any more: by the key's first one, or by another one."""
        self.directory.keys.pop(digest or self.record.digest, None)
        self.authenticator.forget(digest or self.record.digest)

    def revoke(self) -> None:
        """Delete the key at its owner."""
        del self.accounts.keys[self.record.digest]

    async def call(self, secret: str | None = None, now_ms: int = NOW_MS) -> Principal:
        """Authenticate with the key, or with another one."""
        return await self.authenticator.authenticate(f"Bearer {secret or self.secret}", now_ms)


def key_bench(*, pepper: bytes = PEPPER, previous_pepper: bytes | None = None, **trust: float) -> KeyBench:
    """Make one.

    Args:
        pepper: that the key was made with.
        previous_pepper: of the authenticator.
        trust: replaces some of how long knowledge lasts.
    """
    moves: list[tuple[str, str]] = []
    directory, accounts, clock = MemoryKeyDirectory(), MemoryAccounts(), ManualClock()
    org = accounts.add_org()
    secret, record = accounts.add_key(org.org_id, pepper=pepper)
    authenticator = Authenticator(
        directory,
        accounts,
        clock=clock,
        random=Random(1),
        pepper=PEPPER,
        trust=dataclasses.replace(Trust(), **trust),  # type: ignore[arg-type]  # callers pass what fits
        previous_pepper=previous_pepper,
        on_previous=lambda previous, digest: moves.append((previous, digest)),
    )
    return KeyBench(authenticator, directory, accounts, clock, org, secret, record, moves)
