"""Token counts."""

from __future__ import annotations

from dialects.answers import Usage
from dialects.json_values import count_in


def read_usage(document: object) -> Usage | None:
    """Return the counts of `usageMetadata`, None when they are absent or impossible.

    Thoughts are counted beside the candidates, and what the provider's tools put into the prompt beside the prompt. Some
    models count thoughts among the candidates; the total tells.
    """
    if not isinstance(document, dict) or "promptTokenCount" not in document:
        return None
    prompt = count_in(document, "promptTokenCount")
    tool_prompt = count_in(document, "toolUsePromptTokenCount")
    cached = count_in(document, "cachedContentTokenCount")
    candidates = count_in(document, "candidatesTokenCount")
    thoughts = count_in(document, "thoughtsTokenCount")
    if prompt is None or tool_prompt is None or cached is None or candidates is None or thoughts is None:
        return None
    prompt += tool_prompt
    within = thoughts <= candidates and document.get("totalTokenCount") == prompt + candidates
    completion = candidates if within else candidates + thoughts
    if cached > prompt:
        return None
    return Usage(prompt, completion, thoughts, cached)
