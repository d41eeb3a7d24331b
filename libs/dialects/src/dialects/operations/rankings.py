"""Rankings of providers, checked: each document at most once, none that was not asked about, as many as were asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from dialects.errors import UpstreamAnswerError
from dialects.json_values import index_in
from dialects.operations.products import RankedDocument, Ranking


def ranking_from(rows: Sequence[dict[str, Any]], documents: int, count: int) -> Ranking:
    """Read a ranking and put the most relevant first.

    Args:
        rows: each with `index` and `relevance_score` (or `score`).
        documents: how many the request has.
        count: how many the ranking must have.

    Raises:
        UpstreamAnswerError: it is no ranking of these documents.
    """
    ranked = []
    for row in rows:
        score = row.get("relevance_score", row.get("score"))
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise UpstreamAnswerError("a document has no relevance")
        ranked.append(RankedDocument(index_in(row, "index", documents, -1), float(score)))
    if len({each.index for each in ranked}) != len(ranked):
        raise UpstreamAnswerError("a document is ranked twice")
    if len(ranked) != count:
        raise UpstreamAnswerError(f"{len(ranked)} documents ranked of {count}")
    ranked.sort(key=lambda each: -each.relevance_score)
    return Ranking(tuple(ranked))
