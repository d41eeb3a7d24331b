"""Money in integers: prices in pico-dollars per token (or image, second, ...), amounts in nano-dollars. The only arithmetic on money.

The smallest listed prices need twelve decimals ($0.0028 per million tokens is 2,800 pico-dollars per token), and an
amount in nano-dollars fits 64 bits up to nine billion dollars. A generation is rounded once, half to even.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from operator import attrgetter
from typing import NamedTuple, NewType

from turnpike.usage.v1 import token_usage_pb2

NanoUsd = NewType("NanoUsd", int)
PicoUsd = NewType("PicoUsd", int)

NANO_PER_USD = 10**9
PICO_PER_USD = 10**12
# The whole of an amount, in millionths.
MAX_FEE_PPM = 1_000_000
_FEMTO_PER_PICO = 1_000
_FEMTO_PER_NANO = 1_000_000

# The scales as exponents: Decimal.scaleb is exact where a division could round.
_NANO_DIGITS = 9
_PICO_DIGITS = 12


@dataclass(frozen=True, slots=True)
class UnitPrice:
    """The price of one endpoint. Pico-dollars per token of each kind, or per request, image, second of sound ... Immutable.

    `version` names exactly these amounts at exactly this endpoint.
    """

    version: str
    prompt: PicoUsd
    completion: PicoUsd
    reasoning: PicoUsd
    cached: PicoUsd
    cache_write: PicoUsd
    request: PicoUsd = PicoUsd(0)
    image: PicoUsd = PicoUsd(0)
    """Per image that is made."""
    second: PicoUsd = PicoUsd(0)
    """Per second of sound that is heard; parts of a second cost their part."""
    character: PicoUsd = PicoUsd(0)
    """Per character that is spoken."""
    search_unit: PicoUsd = PicoUsd(0)
    """Per query over up to a hundred documents."""


class TokenCounts(NamedTuple):
    """What one generation used. `prompt` includes `cached` and `cache_write`; `completion` includes `reasoning`.

    A tuple, because every consumer of usage events makes one for each of tens of thousands a second. `audio_ms` is the sound that was heard, in milliseconds; the other three are counts of what their names say.
    """

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0
    cache_write: int = 0
    source: token_usage_pb2.TokenCountSource.ValueType = token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
    images: int = 0
    audio_ms: int = 0
    characters: int = 0
    search_units: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """A charge in nano-dollars: `total` is exactly `prompt + completion`."""

    total: NanoUsd
    prompt: NanoUsd
    completion: NanoUsd


def price_from_proto(message: token_usage_pb2.Price) -> UnitPrice:
    """Read a price off the wire."""
    return UnitPrice(
        version=message.version,
        prompt=PicoUsd(message.prompt_pico_usd),
        completion=PicoUsd(message.completion_pico_usd),
        reasoning=PicoUsd(message.reasoning_pico_usd),
        cached=PicoUsd(message.cached_pico_usd),
        cache_write=PicoUsd(message.cache_write_pico_usd),
        request=PicoUsd(message.request_pico_usd),
        image=PicoUsd(message.image_pico_usd),
        second=PicoUsd(message.second_pico_usd),
        character=PicoUsd(message.character_pico_usd),
        search_unit=PicoUsd(message.search_unit_pico_usd),
    )


def price_to_proto(price: UnitPrice) -> token_usage_pb2.Price:
    """Put a price on the wire."""
    return token_usage_pb2.Price(
        version=price.version,
        prompt_pico_usd=price.prompt,
        completion_pico_usd=price.completion,
        reasoning_pico_usd=price.reasoning,
        cached_pico_usd=price.cached,
        cache_write_pico_usd=price.cache_write,
        request_pico_usd=price.request,
        image_pico_usd=price.image,
        second_pico_usd=price.second,
        character_pico_usd=price.character,
        search_unit_pico_usd=price.search_unit,
    )


# In the order of `TokenCounts`.
_read_tokens = attrgetter(
    "prompt_tokens", "completion_tokens", "reasoning_tokens", "cached_tokens", "cache_write_tokens", "source",
    "images", "audio_milliseconds", "characters", "search_units",
)  # fmt: skip


def tokens_from_proto(message: token_usage_pb2.TokenUsage) -> TokenCounts:
    """Read token counts off the wire."""
    return TokenCounts._make(_read_tokens(message))


def tokens_to_proto(tokens: TokenCounts) -> token_usage_pb2.TokenUsage:
    """Put token counts on the wire."""
    return token_usage_pb2.TokenUsage(
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        reasoning_tokens=tokens.reasoning,
        cached_tokens=tokens.cached,
        cache_write_tokens=tokens.cache_write,
        source=tokens.source,
        images=tokens.images,
        audio_milliseconds=tokens.audio_ms,
        characters=tokens.characters,
        search_units=tokens.search_units,
    )


def cost(price: UnitPrice, tokens: TokenCounts) -> Cost:
    """Price a generation, with the shares of its input and its output.

    The share for input is rounded on its own and the share for output is the rest, so that the two always add up.
    """
    input_femto, output_femto = _femto(price, tokens)
    total = _round_half_even(input_femto + output_femto)
    prompt = min(_round_half_even(input_femto), total)
    return Cost(total=NanoUsd(total), prompt=NanoUsd(prompt), completion=NanoUsd(total - prompt))


def total_cost(price: UnitPrice, tokens: TokenCounts) -> NanoUsd:
    """Price a generation: what it used x pico-dollars over every kind, rounded half to even to nano-dollars, once."""
    input_femto, output_femto = _femto(price, tokens)
    return NanoUsd(_round_half_even(input_femto + output_femto))


def _femto(price: UnitPrice, tokens: TokenCounts) -> tuple[int, int]:
    prompt, completion, reasoning, cached, cache_write, _, images, audio_ms, characters, search_units = tokens
    plain_prompt = prompt - cached - cache_write
    plain_completion = completion - reasoning
    input_pico = (
        plain_prompt * price.prompt
        + cached * price.cached
        + cache_write * price.cache_write
        + price.request
        + characters * price.character
        + search_units * price.search_unit
    )
    output_pico = plain_completion * price.completion + reasoning * price.reasoning + images * price.image
    # Milliseconds at a price per second are thousandths of a pico-dollar; nothing is lost before the one rounding.
    return input_pico * _FEMTO_PER_PICO + audio_ms * price.second, output_pico * _FEMTO_PER_PICO


def fee(nano: int, ppm: int) -> NanoUsd:
    """Return a part of an amount in nano-dollars, in millionths, rounded half to even."""
    quotient, rest = divmod(nano * ppm, MAX_FEE_PPM)
    half = MAX_FEE_PPM // 2
    return NanoUsd(quotient + 1 if rest > half or (rest == half and quotient % 2 == 1) else quotient)


def _round_half_even(femto: int) -> int:
    quotient, rest = divmod(femto, _FEMTO_PER_NANO)
    half = _FEMTO_PER_NANO // 2
    if rest > half or (rest == half and quotient % 2 == 1):
        return quotient + 1
    return quotient


def pico_from_decimal(text: str) -> PicoUsd:
    """Read a price in dollars per token, such as `"0.00000015"`.

    Raises:
        ValueError: not a number, negative, not finite, or finer than a pico-dollar.
    """
    return PicoUsd(_scaled(_decimal(text), _PICO_DIGITS, "a pico-dollar"))


def pico_to_decimal_text(pico: int) -> str:
    """Write a price as plain decimal digits in dollars per token, without an exponent or trailing zeros."""
    return _plain(Decimal(pico).scaleb(-_PICO_DIGITS))


def nano_from_usd(amount: Decimal | str | float) -> NanoUsd:
    """Read an amount in dollars. A float is taken for the shortest decimal that denotes it.

    Raises:
        ValueError: not a number, not finite, or finer than a nano-dollar.
    """
    number = _decimal(str(amount))
    if number < 0:
        return NanoUsd(-_scaled(-number, _NANO_DIGITS, "a nano-dollar"))
    return NanoUsd(_scaled(number, _NANO_DIGITS, "a nano-dollar"))


def usd_from_nano(nano: int) -> Decimal:
    """Convert nano-dollars to dollars, exactly, without an exponent or trailing zeros."""
    return Decimal(_plain(Decimal(nano).scaleb(-_NANO_DIGITS)))


def usd_text(nano: int) -> str:
    """Write nano-dollars as a decimal number in dollars that is also a JSON number."""
    return _plain(Decimal(nano).scaleb(-_NANO_DIGITS))


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a decimal number: {text!r}") from None
    if not number.is_finite():
        raise ValueError(f"not a finite number: {text!r}")
    return number


def _scaled(number: Decimal, digits: int, unit: str) -> int:
    if number < 0:
        raise ValueError(f"negative: {number}")
    # More digits than any amount has would make the exact integer below as large as the exponent says.
    if number.adjusted() > _PICO_DIGITS:
        raise ValueError(f"too large: {number}")
    numerator, denominator = number.as_integer_ratio()
    scale: int = 10**digits
    scaled, rest = divmod(numerator * scale, denominator)
    if rest:
        raise ValueError(f"finer than {unit}: {number}")
    return scaled


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"", "-0"} else text
