"""Who calls and who pays, as far as the edge needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from edge.domain.errors import DisabledKeyError, ExpiredKeyError, FrozenOrgError, WrongKeyKindError


class KeyKind(StrEnum):
    """What a key may do."""

    INFERENCE = "inference"
    MANAGEMENT = "management"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without the key itself.

    Attributes:
        digest: HMAC of the whole key; its name in every look-up, and its `hash` at the public API.
        limit: most that it may spend in its life; None means no limit.
        spent: what it had spent when this was written down.
        expires_at_ms: Unix milliseconds from which it is worthless; None means never.
        revision: grows with every change; a lower one is late.
    """

    key_id: KeyId
    digest: str
    org_id: OrgId
    kind: KeyKind
    disabled: bool
    limit: NanoUsd | None
    spent: NanoUsd
    expires_at_ms: int | None
    revision: int

    def check_usable(self, now_ms: int) -> None:
        """Check that the key is good for anything at this moment.

        Raises:
            DisabledKeyError: it is switched off.
            ExpiredKeyError: its time is over.
        """
        if self.disabled:
            raise DisabledKeyError
        if self.expires_at_ms is not None and now_ms >= self.expires_at_ms:
            raise ExpiredKeyError


@dataclass(frozen=True, slots=True)
class Org:
    """A paying organisation.

    Attributes:
        balance: credit less everything settled, when this was written down.
        settled_until_ms: latest end of a generation that is settled in `balance`, in Unix milliseconds; 0 for none.
        revision: grows with every change; a lower one is late.
    """

    org_id: OrgId
    active: bool
    balance: NanoUsd
    settled_until_ms: int
    revision: int

    def check_active(self) -> None:
        """Check that the organisation may spend.

        Raises:
            FrozenOrgError: it may not.
        """
        if not self.active:
            raise FrozenOrgError


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller."""

    key: Key
    org: Org

    def check_kind(self, kind: KeyKind) -> None:
        """Check that the caller's key is of a kind.

        Raises:
            WrongKeyKindError: it is of the other.
        """
        if self.key.kind is kind:
            return
        if kind is KeyKind.MANAGEMENT:
            raise WrongKeyKindError("Only management keys can perform this operation")
        raise WrongKeyKindError("Management keys cannot be used for this operation")
