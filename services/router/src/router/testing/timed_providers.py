"""Providers in memory whose answers take the time of a clock, which a test may move by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.catalog import Endpoint
from contracts.ids import EndpointId
from dialects.answers import Answer, ChoiceDelta, FinishReason, Usage
from dialects.upstream import UpstreamRequest
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.errors import AttemptFailedError
from servicekit.clock import Clock

_USAGE = Usage(7, 3)
_CUT = AttemptFailure(FailureKind.BAD_ANSWER, 200, "cut")


@dataclass(frozen=True)
class Play:
    """How one call goes.

    Attributes:
        seconds: until the answer begins, or until it is refused.
        failure: the refusal, None for an answer.
        words: the answer, an event each.
        gap: seconds before each word after the first.
        cut: whether the answer breaks off after its words.
        usage: the counts.
    """

    seconds: float = 0.0
    failure: AttemptFailure | None = None
    words: Sequence[str] = ("Good", " day")
    gap: float = 0.0
    cut: bool = False
    usage: Usage = _USAGE


@dataclass(frozen=True)
class Sent:
    """A call: where to, with which key, when on the monotonic clock, and how many seconds it may wait."""

    endpoint_id: EndpointId
    key: int
    at: float
    within: float


@dataclass
class TimedProviders:
    """Plays what `play` says for each call; `sent` has all calls in their order."""

    clock: Clock
    play: Callable[[Sent], Play]
    sent: list[Sent] = field(default_factory=list)

    async def call(
        self,
        endpoint: Endpoint,
        request: UpstreamRequest,
        *,
        key: int = 0,
        stream: bool,
        within: float,
        credential: Callable[[], str] | None = None,
    ) -> TimedCall:
        """Wait for the start of an answer. See `router.domain.ports.Providers`."""
        sent = Sent(endpoint.id, key, self.clock.monotonic(), within)
        self.sent.append(sent)
        play = self.play(sent)
        await _wait(self.clock, play.seconds, within)
        if play.failure is not None:
            raise AttemptFailedError(play.failure)
        return TimedCall(self.clock, play, stream=stream)


class TimedCall:
    """An answer that comes word by word, or at once where no stream was asked for."""

    def __init__(self, clock: Clock, play: Play, *, stream: bool) -> None:
        self._clock = clock
        self._play = play
        self._pieces = [[_said(word)] for word in play.words]
        if not play.cut:
            self._pieces.append([_end(play.usage)])
        if not stream:
            self._pieces = [[_whole(play)]] if not play.cut else []
        self._read = 0
        self._broken = False
        self._closed = False

    async def read(self, within: float) -> Sequence[Answer] | None:
        """Return the next word. See `router.domain.ports.UpstreamCall`."""
        if self._broken:
            raise AttemptFailedError(_CUT)
        if self._read == len(self._pieces):
            if not self._play.cut:
                return None
            self._broken = True
            raise AttemptFailedError(_CUT)
        await _wait(self._clock, self._play.gap if self._read else 0.0, within)
        self._read += 1
        return self._pieces[self._read - 1]

    def close(self) -> None:
        """End the call."""
        self._closed = True


async def _wait(clock: Clock, seconds: float, within: float) -> None:
    await clock.sleep(max(0.0, min(seconds, within)))
    if seconds > within:
        raise AttemptFailedError(AttemptFailure(FailureKind.TIMEOUT, detail="played"))


def _said(word: str) -> Answer:
    return Answer(id="up-1", choices=(ChoiceDelta(0, word),))


def _end(usage: Usage) -> Answer:
    return Answer(choices=(ChoiceDelta(0, finish_reason=FinishReason.STOP, native_finish_reason="stop"),), usage=usage)


def _whole(play: Play) -> Answer:
    choice = ChoiceDelta(0, "".join(play.words), finish_reason=FinishReason.STOP, native_finish_reason="stop")
    return Answer(id="up-1", choices=(choice,), usage=play.usage)
