"""Random sources of a simulation: each part has its own, so that what one draws does not change what another meets."""

from __future__ import annotations

from random import Random


def source_of(part: str, seed: int) -> Random:
    """Make the random source of a part; the same for the same name and seed."""
    return Random(f"{part} {seed}")  # noqa: S311 - repeatable by purpose, and guards nothing
