"""Whether a request may start, as far as money and the size of this process go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.money import NanoUsd
from edge.domain.credit import Tab
from edge.domain.errors import BusyError, InsufficientCreditError, KeyLimitError, NegativeBalanceError
from edge.domain.hold import Hold
from edge.domain.principal import Org, Principal

_RAISE_LIMIT = " To increase, raise the limit of this API key."


class Ticket:
    """Credit that is set aside for one generation. Every way to end closes it once; later closes change nothing."""

    __slots__ = ("_open", "_tabs", "amount")

    def __init__(self, amount: NanoUsd, tabs: tuple[Tab, ...]) -> None:
        self.amount = amount
        self._tabs = tabs
        self._open = True
        for tab in tabs:
            tab.hold(amount)

    def charge(self, cost: int, ended_ms: int) -> None:
        """The generation ended and cost this much, in nano-dollars."""
        self._close(cost, ended_ms, estimated=False)

    def charge_estimate(self, ended_ms: int) -> None:
        """The generation ended at an unknown cost: the hold stands in for it."""
        self._close(self.amount, ended_ms, estimated=True)

    def release(self) -> None:
        """Nothing was generated."""
        self._close(0, 0, estimated=False)

    def _close(self, cost: int, ended_ms: int, *, estimated: bool) -> None:
        if not self._open:
            return
        self._open = False
        for tab in self._tabs:
            tab.release(self.amount)
            tab.charge(cost, ended_ms, estimated=estimated)


class _Payer:
    """The tabs of one organisation and of its keys."""

    __slots__ = ("keys", "org")

    def __init__(self) -> None:
        self.org = Tab()
        self.keys: dict[str, Tab] = {}

    def settle(self, settled_until_ms: int, now_ms: int) -> None:
        self.org.settle(settled_until_ms, now_ms)
        for key_id, tab in list(self.keys.items()):
            tab.settle(settled_until_ms, now_ms)
            if tab.is_clear:
                del self.keys[key_id]


class Admission:
    """The tabs of everybody who has something in flight or not yet settled."""

    def __init__(self) -> None:
        self._payers: dict[str, _Payer] = {}

    def admit(self, principal: Principal, hold: Hold, now_ms: int) -> Ticket:
        """Set credit aside, or refuse.

        Args:
            principal: who pays.
            hold: how much the request could cost.
            now_ms: Unix milliseconds.

        Raises:
            BudgetError: the key's workspace has spent a budget.
            KeyLimitError: the key has spent its limit.
            NegativeBalanceError: the organisation owes.
            InsufficientCreditError: the hold does not fit into the balance, or into the key's limit.
        """
        key, org = principal.key, principal.org
        principal.check_budgets(now_ms)
        payer = self._payers.get(org.org_id)
        if payer is None:
            payer = _Payer()
        else:
            payer.org.settle(org.settled_until_ms, now_ms)
        key_tab = payer.keys.get(key.key_id)
        if key_tab is None:
            key_tab = Tab()
        else:
            key_tab.settle(org.settled_until_ms, now_ms)
        if key.limit is not None:
            allowed = key.limit - key.counted(now_ms) - key_tab.owed
            if allowed <= 0:
                raise KeyLimitError
            if hold.amount > allowed:
                raise InsufficientCreditError(hold.output_tokens, hold.affordable_tokens(allowed), _RAISE_LIMIT)
        if org.balance < 0:
            raise NegativeBalanceError
        available = max(org.balance - payer.org.owed, 0)
        if hold.amount > available:
            raise InsufficientCreditError(hold.output_tokens, hold.affordable_tokens(available))
        self._payers[org.org_id] = payer
        payer.keys[key.key_id] = key_tab
        return Ticket(hold.amount, (payer.org, key_tab))

    def owed_by_org(self, org_id: str) -> int:
        """Holds and pending costs of an organisation, in nano-dollars."""
        payer = self._payers.get(org_id)
        return payer.org.owed if payer is not None else 0

    def owed_by_key(self, org_id: str, key_id: str) -> int:
        """Holds and pending costs of a key, in nano-dollars."""
        payer = self._payers.get(org_id)
        tab = payer.keys.get(key_id) if payer is not None else None
        return tab.owed if tab is not None else 0

    def sweep(self, org: Org, now_ms: int) -> None:
        """Forget what a new balance of the organisation shows, and the organisation if nothing is left."""
        payer = self._payers.get(org.org_id)
        if payer is not None:
            payer.settle(org.settled_until_ms, now_ms)
            if payer.org.is_clear and not payer.keys:
                del self._payers[org.org_id]


class Capacity:
    """How many requests this process serves at the same time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.used = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the length of the block.

        Raises:
            BusyError: all are taken.
        """
        if self.used >= self._limit:
            raise BusyError
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1
