"""Names of models as callers write them: `author/slug[:variant]`."""

from __future__ import annotations

# Suffixes that only change how a request is routed; everything else after a colon is a model of its own.
ROUTING_SUFFIXES = frozenset({"nitro", "floor", "exacto", "online"})


def without_routing_suffixes(slug: str) -> str:
    """Drop `:nitro`, `:floor` and the like, of which there may be several: look-ups do not distinguish them."""
    name, *variants = slug.split(":")
    return ":".join((name, *(variant for variant in variants if variant not in ROUTING_SUFFIXES)))


def without_variants(slug: str) -> str:
    """Drop everything after the first colon."""
    return slug.partition(":")[0]
