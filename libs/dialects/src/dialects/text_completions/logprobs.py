"""Log probabilities in the form of the legacy completions."""

from __future__ import annotations

from typing import Any

from dialects.json_values import objects_in


def text_logprobs(logprobs: Any, offset: int) -> tuple[dict[str, Any] | None, int]:
    """Rewrite the log probabilities of a piece of an answer; what has another form counts as absent.

    Args:
        logprobs: of the chat dialect: `{"content": [{"token", "logprob", "top_logprobs"}]}`.
        offset: characters of the text before the piece.

    Returns:
        What the piece has, None when it has none; and the characters up to its end, by its tokens.
    """
    tokens = objects_in(logprobs, "content") if isinstance(logprobs, dict) else []
    if not tokens:
        return None, offset
    offsets = []
    for each in tokens:
        offsets.append(offset)
        offset += len(_token(each))
    return {
        "tokens": [_token(each) for each in tokens],
        "token_logprobs": [each.get("logprob") for each in tokens],
        "top_logprobs": [
            {_token(top): top.get("logprob") for top in objects_in(each, "top_logprobs")} for each in tokens
        ],
        "text_offset": offsets,
    }, offset


def _token(each: dict[str, Any]) -> str:
    token = each.get("token")
    return token if isinstance(token, str) else ""
