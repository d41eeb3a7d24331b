"""How much a caller wants a model to reason, out of the members that can say so."""

from __future__ import annotations

from dataclasses import dataclass

from dialects.chat import ChatBody

# OpenRouter's documented share of the output limit that an effort stands for.
EFFORT_SHARES = {"max": 0.95, "xhigh": 0.95, "high": 0.8, "medium": 0.5, "low": 0.2, "minimal": 0.1}


@dataclass(frozen=True, slots=True)
class ReasoningWish:
    """All empty when the caller says nothing: then the model does as it is used to.

    Attributes:
        effort: a word of EFFORT_SHARES.
        budget: most tokens of reasoning.
        off: whether it wants none.
        hidden: whether it does not want to see it.
    """

    effort: str | None = None
    budget: int | None = None
    off: bool = False
    hidden: bool = False

    @property
    def is_on(self) -> bool:
        """Whether the caller asks for reasoning."""
        return self.effort is not None or self.budget is not None

    def tokens(self, limit: int) -> int | None:
        """The budget, or what the effort comes to, at least 1; None when it cannot be told.

        Args:
            limit: most tokens of the answer, 0 when it has no limit.
        """
        if self.budget is not None:
            return self.budget
        if self.effort is None or limit <= 0:
            return None
        return max(1, int(limit * EFFORT_SHARES[self.effort]))

    def word(self, limit: int) -> str | None:
        """The effort, or the least one whose share of the `limit` covers the budget; None when there is neither."""
        if self.effort is not None or self.budget is None:
            return self.effort
        share = self.budget / limit if limit > 0 else 1.0
        for word in ("minimal", "low", "medium", "high"):
            if share <= EFFORT_SHARES[word]:
                return word
        return "max"


def reasoning_wish(body: ChatBody) -> ReasoningWish:
    """Read `reasoning`, `reasoning_effort` and `include_reasoning`."""
    reasoning = body.reasoning
    effort = body.reasoning_effort
    budget = None
    hidden = body.include_reasoning is False
    if reasoning is not None:
        effort = effort or reasoning.effort
        budget = reasoning.max_tokens
        hidden = hidden or reasoning.exclude is True
        if effort is None and budget is None and reasoning.enabled is not None:
            effort = "medium" if reasoning.enabled else "none"
    if effort == "none":
        return ReasoningWish(off=True, hidden=hidden)
    return ReasoningWish(effort, budget, hidden=hidden)
