"""A share of a rate limit at one edge, as a value: what it says to accounts, whatever happened to it."""

from __future__ import annotations

from itertools import count

from hypothesis import example, given
from hypothesis import strategies as st

from edge.domain.wallet import Ticket, WalletScope
from edge.domain.window_wallet import WindowWallet

LIMIT, PART, MINUTE_S, LIFE_S = 100, 25, 60.0, 3.0
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "end", "end", "ask", "ask", "refuse", "lose", "wait", "wait long"]),
        st.integers(1, 40),
        st.booleans(),
    ),
    max_size=40,
)


class Counter:
    """Accounts, as far as one edge knows it: how much of a window it has lent."""

    def __init__(self) -> None:
        self.now = 0.0
        self.wallet = WindowWallet(
            "limit", WalletScope("org"), 0.0, resets_at=MINUTE_S, length_s=MINUTE_S, life_s=LIFE_S
        )
        self.names = count()
        self.lent: dict[int, int] = {}
        self.open: list[tuple[Ticket, int]] = []
        self.used: dict[int, int] = {}

    @property
    def window(self) -> int:
        return int(self.now // MINUTE_S)

    def do(self, step: str, amount: int, is_scarce: bool) -> None:
        wallet = self.wallet
        match step:
            case "take":
                ticket = wallet.hold(amount, self.now)
                if ticket is None:
                    ticket = wallet.overdraw(min(amount, PART), self.now, PART)
                if ticket is not None:
                    self.open.append((ticket, self.window))
                    self.used[self.window] = self.used.get(self.window, 0) + ticket.amount
            case "end" if self.open:
                ticket, window = self.open.pop()
                cost = min(amount, ticket.amount)
                ticket.charge(cost)
                self.used[window] -= ticket.amount - cost
            case "ask" | "refuse":
                self.ask(is_refused=step == "refuse", is_scarce=is_scarce)
            case "lose" if wallet.lease is not None:
                wallet.lose()
            case "wait" | "wait long":
                self.now += LIFE_S + 0.5 if step == "wait" else MINUTE_S
                wallet.is_renewable(self.now)

    def ask(self, *, is_refused: bool, is_scarce: bool) -> None:
        ask = self.wallet.ask(self.now, lambda: f"lease-{next(self.names)}")
        said = ask.statement
        assert 0 <= ask.needed <= ask.wanted or not ask.needed
        assert said.spent >= 0
        assert said.in_flight >= 0
        assert 0 <= said.returned <= ask.lease.granted
        assert said.spent + said.in_flight <= ask.lease.granted - said.returned, "never more than was lent"
        if ask.is_new and not ask.needed:
            return
        if is_refused:
            self.wallet.forget()
        else:
            self.lent[self.window] = self.lent.get(self.window, 0) + ask.needed
            granted, ttl = ask.lease.granted + ask.needed, MINUTE_S - self.now % MINUTE_S
            self.wallet.take(ask, granted, self.now, ttl, is_scarce=is_scarce)
        left = 0 if is_refused else None
        self.wallet.hear(self.now, edges=4, window_ends_in=MINUTE_S - self.now % MINUTE_S, left=left)


# Its part, then what is lent, then a lease that is lost: there is nothing left of the part.
@example([("take", 20, False), ("ask", 1, False), ("take", 20, False), ("lose", 1, False), ("take", 20, False)])
@given(STEPS)
def test_whatever_happens_no_more_is_taken_than_was_lent_and_this_edges_part(
    steps: list[tuple[str, int, bool]],
) -> None:
    counter = Counter()
    for step, amount, is_scarce in steps:
        counter.do(step, amount, is_scarce)
        for window, used in counter.used.items():
            assert used <= max(counter.lent.get(window, 0), PART)
    lease = counter.wallet.lease
    assert lease is None or lease.lease_id, "what is lent has a name"
