"""How much credit to set aside for a request: the dearest way in which it could end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from contracts.money import NanoUsd, UnitPrice

_PICO_PER_NANO = 1_000
_MS_PER_SECOND = 1_000


@dataclass(frozen=True, slots=True)
class Offer:
    """What an endpoint that could serve the request asks and allows.

    Attributes:
        context_length: prompt and completion tokens together; 0 when unknown.
        max_completion_tokens: most tokens in one answer; 0 when only the context limits it.
    """

    price: UnitPrice
    context_length: int
    max_completion_tokens: int

    @property
    def longest_answer(self) -> int:
        """Most tokens of one answer; 0 when nothing is known."""
        # The prompt is estimated from above, so how much room it leaves in the context is not known.
        bounds = [bound for bound in (self.max_completion_tokens, self.context_length) if bound]
        return min(bounds, default=0)

    def is_covered_by(self, other: Offer) -> bool:
        """Whether no request can cost more here than at the other one."""
        mine, its = self.price, other.price
        return (
            _token_price(mine) <= _token_price(its)
            and max(mine.completion, mine.reasoning) <= max(its.completion, its.reasoning)
            and mine.request <= its.request
            and mine.image <= its.image
            and mine.second <= its.second
            and mine.character <= its.character
            and mine.search_unit <= its.search_unit
            and _is_within(self.longest_answer, other.longest_answer)
            and _is_within(self.context_length, other.context_length)
        )


def dearest_offers(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """Leave out the offers that are never the dearest way, so that each request looks at few."""
    kept: list[Offer] = []
    for offer in offers:
        if not any(offer.is_covered_by(other) for other in kept):
            kept = [other for other in kept if not other.is_covered_by(offer)]
            kept.append(offer)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Demand:
    """What a request could use.

    Attributes:
        prompt_tokens: estimated.
        output_tokens: most tokens of one choice, as the caller limits them; None when it does not.
        choices: how many answers it asks for.
        images, audio_ms, characters, search_units: most of what else is counted; sound in milliseconds.
    """

    prompt_tokens: int
    output_tokens: int | None
    choices: int = 1
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    search_units: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """An amount to set aside.

    Attributes:
        amount: nano-dollars, rounded up.
        output_tokens: tokens of all choices that it covers.
    """

    amount: NanoUsd
    output_tokens: int


def dearest_hold(offers: Iterable[Offer], demand: Demand, default_output_tokens: int) -> Hold:
    """Compute the hold that covers a request wherever it is served.

    Args:
        offers: every endpoint that could serve it; without any, nothing needs to be held.
        demand: what the request could use.
        default_output_tokens: most tokens of one choice where the caller sets no limit.
    """
    dearest, tokens = -1, 0
    output = demand.output_tokens if demand.output_tokens is not None else default_output_tokens
    for offer in offers:
        longest = offer.longest_answer
        written = (min(output, longest) if longest else output) * demand.choices
        pico = _input_pico(offer, demand) + written * max(offer.price.completion, offer.price.reasoning)
        if pico > dearest:
            dearest, tokens = pico, written
    if dearest < 0:
        return Hold(NanoUsd(0), output * demand.choices)
    return Hold(NanoUsd(-(-dearest // _PICO_PER_NANO)), tokens)


def affordable_tokens(offers: Sequence[Offer], demand: Demand, available: int) -> int | None:
    """Say how long one choice may be for an amount to pay for the request wherever it is served.

    Args:
        offers: every endpoint that could serve it.
        demand: what the request could use, its own limit left aside.
        available: nano-dollars.

    Returns:
        Tokens of one choice, 0 when not even the prompt is paid for; None when the longest answer of every endpoint is.
    """
    affordable: int | None = None
    for offer in offers:
        rest = available * _PICO_PER_NANO - _input_pico(offer, demand)
        if rest < 0:
            return 0
        price, longest = max(offer.price.completion, offer.price.reasoning) * demand.choices, offer.longest_answer
        if price and (not longest or price * longest > rest):
            tokens = rest // price
            affordable = tokens if affordable is None else min(affordable, tokens)
    return affordable


def _input_pico(offer: Offer, demand: Demand) -> int:
    """What a request costs before its first token of output, in pico-dollars."""
    price = offer.price
    # A provider cannot be sent, nor bill, more of a prompt than its context holds.
    prompt = min(demand.prompt_tokens, offer.context_length) if offer.context_length else demand.prompt_tokens
    # Each token may turn out to be of its dearest kind.
    pico = prompt * _token_price(price) + price.request
    if demand.images or demand.audio_ms or demand.characters or demand.search_units:
        pico += (
            demand.images * price.image
            + -(-demand.audio_ms * price.second // _MS_PER_SECOND)
            + demand.characters * price.character
            + demand.search_units * price.search_unit
        )
    return pico


def _token_price(price: UnitPrice) -> int:
    return max(price.prompt, price.cache_write, price.cached)


def _is_within(bound: int, other: int) -> bool:
    """Whether a bound is no looser than another one; 0 is none."""
    return not other or (bound != 0 and bound <= other)
