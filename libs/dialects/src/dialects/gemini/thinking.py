"""How much a model thinks: a level for Gemini 3 and later, a budget in tokens for the ones before."""

from __future__ import annotations

from typing import Any

from dialects.chat import ChatBody
from dialects.parameters import supports
from dialects.reasoning_wish import reasoning_wish
from dialects.upstream import Target

# The words of the catalogue.
THINKING_BUDGET = "thinking-budget"
ALWAYS_REASONS = "always-reasons"
MINIMAL_THINKING = "minimal-thinking"

# What Google's own OpenAI-compatible endpoint takes the efforts for.
_BUDGETS = {"minimal": 1_024, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
# Within these every model that thinks by budget accepts one; the floor of each that cannot stop thinking is lower.
_LEAST_BUDGET = 512
_MOST_BUDGET = 24_576
_LEVELS = {"minimal": "LOW", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}
# What a budget is a share of when nothing limits the answer: the output limit of the models that think by level.
_OUTPUT_LIMIT = 65_536


def thinks_by_level(target: Target) -> bool:
    """Whether an endpoint's model is one that thinks by level, and so checks thought signatures."""
    return THINKING_BUDGET not in target.quirks and supports("reasoning", target.supported)


def thinking_config(body: ChatBody, target: Target) -> dict[str, Any]:
    """Return `thinkingConfig`, empty for a model that does not think.

    Thoughts are asked for unless the caller wants none, because the public API shows them by default.
    """
    if not supports("reasoning", target.supported):
        return {}
    wish = reasoning_wish(body)
    config: dict[str, Any] = {}
    if not wish.off and not wish.hidden:
        config["includeThoughts"] = True
    if THINKING_BUDGET in target.quirks:
        if wish.off:
            config["thinkingBudget"] = _LEAST_BUDGET if ALWAYS_REASONS in target.quirks else 0
        elif wish.budget is not None:
            config["thinkingBudget"] = min(max(wish.budget, _LEAST_BUDGET), _MOST_BUDGET)
        elif wish.effort is not None:
            config["thinkingBudget"] = _BUDGETS[wish.effort]
        return config
    word = "minimal" if wish.off else wish.word(body.output_limit or target.max_completion_tokens or _OUTPUT_LIMIT)
    if word is not None:
        # Every model has the levels from LOW to HIGH; only some have one below.
        config["thinkingLevel"] = (
            "MINIMAL" if word == "minimal" and MINIMAL_THINKING in target.quirks else _LEVELS[word]
        )
    return config
