"""How much credit to set aside for a request: the dearest way in which it could end."""

from __future__ import annotations

from collections.abc import Iterable
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
        input_pico: the part of it that does not depend on the output, in pico-dollars.
        output_pico: price of one more output token, in pico-dollars.
    """

    amount: NanoUsd
    output_tokens: int
    input_pico: int = 0
    output_pico: int = 0

    def affordable_tokens(self, available: int) -> int:
        """Return how many output tokens an amount in nano-dollars would pay for, at the same price."""
        rest = available * _PICO_PER_NANO - self.input_pico
        if rest < 0:
            return 0
        return min(rest // self.output_pico, self.output_tokens) if self.output_pico else self.output_tokens


def dearest_hold(offers: Iterable[Offer], demand: Demand, default_output_tokens: int) -> Hold:
    """Compute the hold that covers a request wherever it is served.

    Args:
        offers: every endpoint that could serve it; without any, nothing needs to be held.
        demand: what the request could use.
        default_output_tokens: stands in for a limit that the caller does not set. The model's own maximum would refuse
            callers over money that nearly no answer uses.
    """
    holds = [_hold(offer, demand, default_output_tokens) for offer in offers]
    requested = (demand.output_tokens or default_output_tokens) * demand.choices
    return max(holds, key=lambda hold: hold.amount, default=Hold(NanoUsd(0), requested))


def _hold(offer: Offer, demand: Demand, default_output_tokens: int) -> Hold:
    price = offer.price
    # A provider cannot be sent, nor bill, more of a prompt than its context holds.
    prompt = min(demand.prompt_tokens, offer.context_length) if offer.context_length else demand.prompt_tokens
    output = demand.output_tokens if demand.output_tokens is not None else default_output_tokens
    if offer.max_completion_tokens:
        output = min(output, offer.max_completion_tokens)
    if offer.context_length:
        # The prompt is estimated from above, so how much room it leaves is not known.
        output = min(output, offer.context_length)
    output *= demand.choices
    # Each token may turn out to be of its dearest kind.
    input_pico = (
        prompt * max(price.prompt, price.cache_write, price.cached)
        + price.request
        + demand.images * price.image
        + -(-demand.audio_ms * price.second // _MS_PER_SECOND)
        + demand.characters * price.character
        + demand.search_units * price.search_unit
    )
    output_pico = max(price.completion, price.reasoning)
    pico = input_pico + output * output_pico
    return Hold(NanoUsd(-(-pico // _PICO_PER_NANO)), output, input_pico, output_pico)
