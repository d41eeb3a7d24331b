"""One answer out of the pieces of a stream, as a caller would put it together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from dialects.answers import Answer, ChoiceDelta, FinishReason, Usage


class CollectedAnswer:
    """What the pieces of the first choice come to.

    Attributes:
        id, usage: as they came, the last counts.
        texts: content, reasoning and refusal, each joined.
        calls: id, name and arguments of each tool call by its index.
        extra: the lists among the other members, each joined.
        finish: the reason and the provider's word for it.
    """

    def __init__(self, answers: Iterable[Answer]) -> None:
        self.id = ""
        self.usage: Usage | None = None
        self.texts = {"content": "", "reasoning": "", "refusal": ""}
        self.calls: dict[int, list[str]] = {}
        self.extra: defaultdict[str, list[Any]] = defaultdict(list)
        self.finish: tuple[FinishReason | None, str | None] = (None, None)
        for answer in answers:
            self.id = self.id or answer.id
            self.usage = answer.usage or self.usage
            for choice in answer.choices:
                self._take(choice)

    def _take(self, choice: ChoiceDelta) -> None:
        for name in self.texts:
            self.texts[name] += getattr(choice, name) or ""
        for piece in choice.tool_calls:
            known = self.calls.setdefault(piece.index, ["", "", ""])
            for place, value in enumerate((piece.id, piece.name, piece.arguments)):
                known[place] += value
        for name, values in (choice.extra or {}).items():
            self.extra[name] += values
        if choice.finish_reason is not None:
            self.finish = (choice.finish_reason, choice.native_finish_reason)
