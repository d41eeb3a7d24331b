"""Token counts of an attempt, with who has counted them, and what they cost us where nobody is charged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.money import NanoUsd, TokenCounts, UnitPrice


class CountSource(StrEnum):
    """Where token counts come from, in the words of the usage event."""

    PROVIDER = "provider"
    TOKENIZER = "tokenizer"
    ESTIMATE = "estimate"
    MEASURED = "measured"
    """Told from what was sent and received: characters, seconds of sound, pictures."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts with their source. `counts.source` is set when they are put on the wire."""

    counts: TokenCounts
    source: CountSource


@dataclass(frozen=True, slots=True)
class Expense:
    """What a provider is owed for an attempt that nobody is charged for; `cost` is tokens times price."""

    price: UnitPrice
    tokens: Tokens
    cost: NanoUsd
