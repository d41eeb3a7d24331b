"""What a request is to be admitted with: credit to set aside, and how long its answer may be for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.domain.hold import Demand, Hold, Offer, affordable_tokens, dearest_hold


@dataclass(frozen=True, slots=True)
class Quote:
    """What a request may cost.

    Attributes:
        offers: every endpoint that could serve it.
        demand: what it could use.
        usual: hold of an answer of usual length, or as long as the caller allows; what rate limits count with.
        hold: to set aside.
        limit: most tokens of one choice that the hold pays for, where the caller sets no limit; 0 where the caller or the
            endpoints bound it.
    """

    offers: Sequence[Offer]
    demand: Demand
    usual: Hold
    hold: Hold
    limit: int = 0

    def affordable(self, available: int) -> int:
        """How many output tokens of all choices an amount in nano-dollars pays for."""
        tokens = affordable_tokens(self.offers, self.demand, available)
        return self.hold.output_tokens if tokens is None else tokens * self.demand.choices

    def within(self, available: int) -> Quote | None:
        """The same for a shorter answer, which an amount in nano-dollars pays for; None where the caller says how long it may
        be, or where the amount pays for no token.
        """
        if self.demand.output_tokens is not None:
            return None
        tokens = affordable_tokens(self.offers, self.demand, available)
        if not tokens:
            return None
        return Quote(self.offers, self.demand, self.usual, dearest_hold(self.offers, self.demand, tokens), tokens)


def quote_of(offers: Sequence[Offer], demand: Demand, usual_output_tokens: int, easily: int = 0) -> Quote:
    """Say what to set aside.

    An answer without a limit may be as long as its endpoint allows where that costs little for this caller. Otherwise it is
    of usual length: to set the longest answers aside would refuse callers over money that nearly no answer uses.

    Args:
        offers: every endpoint that could serve the request; without any, nothing needs to be held.
        demand: what it could use.
        usual_output_tokens: most tokens of one choice where the caller sets no limit and longer ones cost too much.
        easily: nano-dollars that are little for the caller.
    """
    usual = dearest_hold(offers, demand, usual_output_tokens)
    if demand.output_tokens is not None or not usual.amount:
        return Quote(offers, demand, usual, usual)
    tokens = affordable_tokens(offers, demand, easily)
    if tokens is None:
        longest = max(offer.longest_answer for offer in offers)
        return Quote(offers, demand, usual, dearest_hold(offers, demand, max(longest, usual_output_tokens)))
    limit = max(tokens, usual_output_tokens)
    return Quote(offers, demand, usual, dearest_hold(offers, demand, limit), limit)
