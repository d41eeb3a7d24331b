"""What an answer has shown so far: enough to tell a whole one from a cut one, and to count what nobody counted."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from dialects.answers import Answer, ChoiceDelta, FinishReason, Usage
from dialects.operations.products import Product
from dialects.tokenizers import TextCount, Tokenizer
from router.domain.kept_text import KeptText
from router.domain.tool_review import ToolCallText


class Transcript:
    """The running record of one attempt's answer. Holds sizes; text only of calls of tools, which are looked at in the end, and
    where it may have to be counted."""

    def __init__(self, *, keeps_text: bool = False) -> None:
        """Start a record; `keeps_text` where the model has a tokenizer, should its provider send no counts."""
        self.upstream_id = ""
        self.system_fingerprint = ""
        self.service_tier = ""
        self.usage: Usage | None = None
        self.finish_reason: FinishReason | None = None
        self.native_finish_reason = ""
        self.has_output = False
        self.tool_calls: dict[tuple[int, int], ToolCallText] = {}
        self._content = KeptText(keeps=keeps_text)
        self._reasoning = KeptText(keeps=keeps_text)
        self._open: set[int] = set()
        self._closed: set[int] = set()

    def add(self, answer: Answer) -> Answer:
        """Take the next piece, and return what of it is new: a choice that has ended does not end again."""
        repeats = any(delta.finish_reason is not None and delta.index in self._closed for delta in answer.choices)
        if answer.usage is not None:
            # Some servers repeat growing counts with each event: the last one is the whole.
            self.usage = answer.usage
        if answer.id and not self.upstream_id:
            self.upstream_id = answer.id
        if answer.system_fingerprint:
            self.system_fingerprint = answer.system_fingerprint
        if answer.service_tier:
            self.service_tier = answer.service_tier
        shown = self._without_second_end(answer) if repeats else answer
        for delta in answer.choices:
            self._take(delta)
        if answer.product is not None:
            # An operation is answered at once and as a whole.
            self.has_output = True
            self.finish_reason = FinishReason.STOP
            self._closed.add(0)
        return shown

    def _without_second_end(self, answer: Answer) -> Answer:
        choices = [
            replace(delta, finish_reason=None, native_finish_reason=None) if delta.index in self._closed else delta
            for delta in answer.choices
        ]
        return replace(answer, choices=tuple(choices))

    def _take(self, delta: ChoiceDelta) -> None:
        if delta.content:
            self._content.add(delta.content)
        if delta.reasoning:
            self._reasoning.add(delta.reasoning)
        if delta.refusal:
            self._content.add(delta.refusal)
        for piece in delta.tool_calls:
            self._content.add(piece.name + piece.arguments)
            self.tool_calls.setdefault((delta.index, piece.index), ToolCallText()).add(piece)
        if not self.has_output:
            self.has_output = delta.has_output
        if delta.finish_reason is not None:
            self.finish_reason = delta.finish_reason
            self.native_finish_reason = delta.native_finish_reason or ""
            self._closed.add(delta.index)
            self._open.discard(delta.index)
        elif delta.index not in self._closed:
            self._open.add(delta.index)

    @property
    def generated_bytes(self) -> int:
        """Bytes of UTF-8 that the model has generated, reasoning included."""
        return self._content.size + self._reasoning.size

    @property
    def reasoning_bytes(self) -> int:
        """Bytes of UTF-8 of reasoning."""
        return self._reasoning.size

    def count(self, tokenizer: Tokenizer) -> tuple[TextCount, TextCount]:
        """Count the tokens of what was generated: of everything, and of the reasoning in it."""
        content, reasoning = self._content.count(tokenizer), self._reasoning.count(tokenizer)
        return TextCount(content.tokens + reasoning.tokens, content.exact and reasoning.exact), reasoning

    @property
    def is_whole(self) -> bool:
        """Whether every choice has come to its end."""
        return bool(self._closed) and not self._open

    @property
    def is_empty(self) -> bool:
        """Whether it is whole and yet no answer: nothing to see, and no token counted for it.

        A filtered answer, or one whose tokens all went into hidden reasoning, shows nothing and is one all the same.
        """
        if self.has_output or self.finish_reason is not FinishReason.STOP:
            return False
        return self.usage is None or self.usage.completion == 0


def product_of(answers: Sequence[Answer]) -> Product | None:
    """What came of an operation; None of a completion."""
    return next((answer.product for answer in answers if answer.product is not None), None)


def output_of(answers: Sequence[Answer], *, hide_reasoning: bool = False) -> list[ChoiceDelta]:
    """The pieces that a caller is to be sent: those that show something or end a choice.

    Args:
        answers: what came.
        hide_reasoning: whether the caller does not want to see the reasoning, which it pays for all the same.
    """
    deltas = [delta for answer in answers for delta in answer.choices]
    if hide_reasoning:
        deltas = [_without_reasoning(delta) for delta in deltas]
    return [
        delta for delta in deltas if delta.has_output or delta.finish_reason is not None or delta.logprobs is not None
    ]


def _without_reasoning(delta: ChoiceDelta) -> ChoiceDelta:
    extra = {name: value for name, value in (delta.extra or {}).items() if name != "reasoning_details"}
    return replace(delta, reasoning=None, extra=extra or None)
