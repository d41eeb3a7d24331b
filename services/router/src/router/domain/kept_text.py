"""Text of an answer, kept as long as it may have to be counted."""

from __future__ import annotations

from dialects.estimates import estimate_text_tokens, text_bytes
from dialects.tokenizers import TextCount, Tokenizer, count_text

# Bytes that are kept: more than nearly every answer has, and no burden to a router with a thousand of them.
MOST_KEPT = 128 * 1_024


class KeptText:
    """Text that grows. Its size is always known; the text itself only where it is asked for."""

    __slots__ = ("_kept", "size")

    def __init__(self, *, keeps: bool) -> None:
        """Start empty.

        Args:
            keeps: whether the model has a tokenizer, so that there is something to count with.
        """
        self.size = 0
        self._kept = bytearray() if keeps else None

    def add(self, text: str) -> None:
        """Take the next characters."""
        if self._kept is None or len(self._kept) >= MOST_KEPT:
            self.size += text_bytes(text)
            return
        data = text.encode(errors="replace")
        self.size += len(data)
        self._kept += data

    def count(self, tokenizer: Tokenizer) -> TextCount:
        """Count the tokens; of what was not kept is assumed that it is as dense."""
        if not self.size:
            return TextCount(0, exact=True)
        if not self._kept:
            return TextCount(estimate_text_tokens(self.size), exact=False)
        counted = count_text(tokenizer, self._kept.decode(errors="replace"))
        if len(self._kept) >= self.size:
            return counted
        return TextCount(-(-counted.tokens * self.size // len(self._kept)), exact=False)
