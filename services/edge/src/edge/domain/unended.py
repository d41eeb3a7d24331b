"""What the edge states of a generation whose end the router has not told it.

The router's own figures (rank 3) replace an estimate (rank 2), and either replaces what is said of a generation of which nobody
knows the end (rank 1): the same event id, and the higher rank counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from contracts import money
from contracts.money import TokenCounts, UnitPrice
from contracts.operations import Operation


class Ending(StrEnum):
    """How it ended, as far as the edge knows."""

    BROKEN = "broken"
    """The router's stream broke. The caller got half an answer and an error, so it pays nothing."""
    LEFT = "left"
    """The caller went away. It pays for what it was sent."""
    UNKNOWN = "unknown"
    """The edge itself was killed, and no end was known long after. Nobody is charged."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A generation that begins: what is known before the router is asked. No prompt.

    Attributes:
        generation_id, org_id, key_id, workspace_id, member_id, lease_id: ids of what their names say.
        model: that the caller asks for.
        hold: set aside for it, in nano-dollars.
        started_ms: Unix milliseconds.
        operation: what is asked for.
        byok_fee_ppm: fee where the organisation's own provider key pays, in millionths.
    """

    generation_id: str
    org_id: str
    key_id: str
    workspace_id: str
    member_id: str
    lease_id: str
    model: str
    hold: int
    started_ms: int
    operation: Operation = Operation.COMPLETION
    byok_fee_ppm: int = 0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the caller was sent, and by whom. Empty texts: no endpoint had answered. `price` None: nobody knows what it asks."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    model: str = ""
    provider: str = ""
    endpoint_id: str = ""
    is_byok: bool = False
    price: UnitPrice | None = None

    @property
    def counts(self) -> TokenCounts:
        """The tokens."""
        return TokenCounts(self.prompt_tokens, self.completion_tokens, self.reasoning_tokens)


NOTHING = Delivered()


@dataclass(frozen=True, slots=True)
class Statement:
    """What the edge states. Costs in nano-dollars."""

    opening: Opening
    ending: Ending
    ended_ms: int
    delivered: Delivered
    cost: int = 0
    provider_cost: int = 0
    error_type: str = ""


def statement_of(
    opening: Opening, ending: Ending, ended_ms: int, delivered: Delivered, error_type: str = ""
) -> Statement:
    """Price what was delivered.

    What an endpoint is owed is tokens x price. The caller pays the same where it left, nothing for an answer that broke
    off, and nothing for one without a single token, as where the router ends a generation.
    """
    ended_ms = max(ended_ms, opening.started_ms)
    if ending is Ending.UNKNOWN or not delivered.endpoint_id or delivered.price is None:
        # Without a price there is no charge that anybody could recompute: such tokens are counted at none.
        return Statement(opening, ending, ended_ms, replace(delivered, price=None), error_type=error_type)
    owed: int = money.cost(delivered.price, delivered.counts).total
    cost = 0
    if ending is Ending.LEFT and delivered.completion_tokens:
        cost = money.fee(owed, opening.byok_fee_ppm) if delivered.is_byok else owed
    return Statement(opening, ending, ended_ms, delivered, cost, owed, error_type)
