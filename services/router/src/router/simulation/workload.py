"""What callers ask for: the same calls at the same moments, whatever the policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from random import Random


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        at: when it arrives, in seconds.
        prompt_tokens, completion_tokens: its size.
        conversation: what it is a turn of, None where it stands alone.
    """

    at: float
    prompt_tokens: int
    completion_tokens: int
    conversation: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """How callers behave.

    Attributes:
        per_second: Poisson arrivals of requests.
        prompt_tokens: of the first turn, log-normal with this mean; every further turn adds an eighth of it and the answer.
        spread: sigma of the log-normal.
        completion_tokens: mean; lengths are exponential.
        turns: of each conversation.
        pause: mean seconds from one turn to the next.
        patience: seconds after which a caller who has seen nothing leaves.
    """

    per_second: float = 20.0
    prompt_tokens: int = 1_500
    spread: float = 0.8
    completion_tokens: int = 250
    turns: int = 1
    pause: float = 20.0
    patience: float = 120.0

    def calls(self, seconds: float, random: Random) -> Iterator[Call]:
        """Yield the calls of so many seconds in the order of their arrivals."""
        return merge(*self._conversations(seconds, random), key=lambda call: call.at)

    def _conversations(self, seconds: float, random: Random) -> Iterator[list[Call]]:
        at, number = 0.0, 0
        while (at := at + random.expovariate(self.per_second / self.turns)) < seconds:
            number += 1
            yield [call for call in self._turns(at, number, random) if call.at < seconds]

    def _turns(self, at: float, number: int, random: Random) -> Iterator[Call]:
        opening = self.prompt_tokens * random.lognormvariate(-(self.spread**2) / 2, self.spread)
        prompt = 1.0 + opening
        for _ in range(self.turns):
            completion = 1 + int(random.expovariate(1 / self.completion_tokens))
            yield Call(at, int(prompt), completion, number if self.turns > 1 else None)
            prompt += completion + opening / 8
            at += random.expovariate(1 / self.pause)
