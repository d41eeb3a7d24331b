"""What an answer says about itself: sources and log probabilities."""

from __future__ import annotations

from typing import Any

from dialects.json_values import object_in, objects_in, text_in


def read_annotations(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the sources of an answer as `url_citation` annotations.

    They have no places: the API counts these in bytes of a text that a reader of a stream has not kept.
    """
    sources = objects_in(object_in(candidate, "citationMetadata"), "citationSources")
    chunks = objects_in(object_in(candidate, "groundingMetadata"), "groundingChunks")
    sources += [object_in(chunk, "web") for chunk in chunks]
    return [
        {"type": "url_citation", "url_citation": {"url": text_in(source, "uri"), "title": text_in(source, "title")}}
        for source in sources
        if text_in(source, "uri")
    ]


def read_logprobs(result: dict[str, Any]) -> dict[str, Any] | None:
    """Read log probabilities into the public API's form, None when there are none."""
    chosen = objects_in(result, "chosenCandidates")
    if not chosen:
        return None
    tops = objects_in(result, "topCandidates")
    content = []
    for number, token in enumerate(chosen):
        top = objects_in(tops[number], "candidates") if number < len(tops) else []
        content.append({**_token(token), "top_logprobs": [_token(other) for other in top]})
    return {"content": content, "refusal": None}


def _token(token: dict[str, Any]) -> dict[str, Any]:
    text = text_in(token, "token")
    return {"token": text, "logprob": token.get("logProbability"), "bytes": list(text.encode(errors="replace"))}
