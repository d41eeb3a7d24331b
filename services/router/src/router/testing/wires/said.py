"""What a provider is to say, in no dialect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dialects.answers import FinishReason


@dataclass(frozen=True)
class Counts:
    """Token counts: `prompt` includes `cached`, `completion` includes `reasoning`."""

    prompt: int = 7
    completion: int = 3
    cached: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Call:
    """A tool call. A dialect that streams arguments sends them in these pieces, another one joined."""

    id: str
    name: str
    arguments: Sequence[str]


@dataclass(frozen=True)
class Said:
    """An answer. Words, thoughts and calls are sent in an event each; `counts` None leaves the counts out."""

    words: Sequence[str] = ("Good", " day")
    thoughts: Sequence[str] = ()
    calls: Sequence[Call] = ()
    finish: FinishReason = FinishReason.STOP
    counts: Counts | None = Counts()

    @property
    def text(self) -> str:
        """All words."""
        return "".join(self.words)

    @property
    def thought(self) -> str:
        """All thoughts."""
        return "".join(self.thoughts)


@dataclass(frozen=True)
class Parts:
    """A streamed answer as framed events.

    Attributes:
        opening: what comes before the first token.
        output: thoughts, words and calls.
        closing: the finish reason, the counts and the end mark.
        mark: the last of them, which a clumsy server sends twice; where a dialect has no mark, its last event.
    """

    opening: Sequence[bytes]
    output: Sequence[bytes]
    closing: Sequence[bytes]

    @property
    def mark(self) -> bytes:
        """The end mark."""
        return self.closing[-1]

    @property
    def whole(self) -> bytes:
        """All of it."""
        return b"".join((*self.opening, *self.output, *self.closing))
