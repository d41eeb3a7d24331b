"""How much the model reasons: the caller's wish, and what the API has for it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from dialects.chat import ChatBody
from dialects.parameters import supports
from dialects.reasoning_wish import ReasoningWish, reasoning_wish

# The words of the catalogue for how a model departs from a budget of tokens.
ADAPTIVE_THINKING = "adaptive-thinking"  # the model decides how much, under an effort; budgets are refused
THINKING_TOGGLE = "thinking-toggle"  # the model thinks unless it is told not to
NO_XHIGH_EFFORT = "no-xhigh-effort"  # the effort goes to `high`, and then to `max`

MIN_BUDGET = 1_024
MAX_BUDGET = 128_000


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a request says about it.

    Attributes:
        config: the `thinking` member, None to leave it out.
        effort: the effort of the whole answer, None to leave it out.
    """

    config: dict[str, Any] | None = None
    effort: str | None = None

    @property
    def on(self) -> bool:
        """Whether the request asks for reasoning, which some parameters do not go together with."""
        return self.config is not None and self.config["type"] != "disabled"


def budget_within(wish: ReasoningWish, limit: int) -> int | None:
    """Tokens for reasoning within an output limit, None when the limit leaves no room for the least budget."""
    tokens = wish.tokens(limit)
    if tokens is None or limit <= MIN_BUDGET:
        return None
    return min(max(min(tokens, MAX_BUDGET), MIN_BUDGET), limit - 1)


def effort_for(wish: ReasoningWish, limit: int) -> str | None:
    """The effort in the words that models know, made from the share of the limit when the wish is a number of tokens."""
    word = wish.word(limit)
    return "low" if word == "minimal" else word


def plan_thinking(
    body: ChatBody, supported: AbstractSet[str], quirks: AbstractSet[str], limit: int, *, possible: bool, whole: bool
) -> Thinking:
    """Decide on reasoning.

    Args:
        body: the request.
        supported, quirks: of the endpoint.
        limit: most tokens of the answer, reasoning included.
        possible: whether the request goes together with reasoning at all; a forced tool or a prefill does not.
        whole: whether the calls that are being answered come with their reasoning, which budgets insist on.
    """
    verbosity = body.verbosity if supports("verbosity", supported) else None
    wish = reasoning_wish(body) if supports("reasoning", supported) else ReasoningWish()
    off = {"type": "disabled"} if THINKING_TOGGLE in quirks else None
    if not possible or wish.off:
        # Without reasoning the effort ends at high.
        return Thinking(off, "high" if verbosity in ("xhigh", "max") else verbosity)
    if not wish.is_on:
        return Thinking(None, _known(verbosity, quirks))
    if ADAPTIVE_THINKING in quirks:
        # Left out, newer models show nothing of it.
        config: dict[str, Any] = {"type": "adaptive", "display": "omitted" if wish.hidden else "summarized"}
        return Thinking(config, _known(effort_for(wish, limit), quirks))
    budget = budget_within(wish, limit) if whole else None
    return Thinking(off if budget is None else {"type": "enabled", "budget_tokens": budget}, _known(verbosity, quirks))


def _known(effort: str | None, quirks: AbstractSet[str]) -> str | None:
    return "high" if effort == "xhigh" and NO_XHIGH_EFFORT in quirks else effort
