"""Content filters: what is looked for in the text of a request, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import re2

from contracts.guardrails import BUILTIN_SLUGS, BuiltinFilter, ContentFilter, FilterAction
from edge.guardrails.builtin_filters import DETECTORS, Detector, Span, compiled

_STRENGTH: Final = (FilterAction.FLAG, FilterAction.REDACT, FilterAction.BLOCK)


class PatternError(ValueError):
    """A pattern cannot be used; the message says why, for its author."""


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter, ready to use.

    Attributes:
        name: what its matches are called: a label, a slug, or the pattern itself.
        placeholder: what takes the place of what is redacted.
        user_only: looks at messages of users only.
    """

    name: str
    action: FilterAction
    detector: Detector
    placeholder: bytes
    user_only: bool = False


def compile_filter(entry: ContentFilter) -> CompiledFilter:
    """Make a filter of a custom pattern.

    Raises:
        PatternError: not an expression of RE2, too large, or one that matches nothing at all everywhere.
    """
    try:
        expression = compiled(entry.pattern)
    except re2.error as error:
        raise PatternError(f"not a regular expression that takes linear time (RE2): {_reason(error)}") from None
    if expression.search(b"") is not None:
        raise PatternError("matches the empty text")

    def find(text: bytes) -> Iterable[Span]:
        return (match.span() for match in expression.finditer(text))

    label = entry.label or "REDACTED"
    return CompiledFilter(
        entry.label or entry.pattern, entry.action, lambda text: iter(find(text)), f"[{label}]".encode()
    )


def compile_builtin(entry: BuiltinFilter) -> CompiledFilter:
    """Make a filter of what Turnpike knows to look for."""
    placeholder = builtin_label(entry.slug).encode()
    return CompiledFilter(entry.slug, entry.action, DETECTORS[entry.slug], placeholder, entry.user_only)


def builtin_label(slug: str) -> str:
    """What takes the place of what a builtin filter redacts, such as `[EMAIL]`."""
    return f"[{slug.removeprefix('regex-').replace('-', '_').upper()}]"


def combined(filters: Iterable[CompiledFilter]) -> tuple[CompiledFilter, ...]:
    """Put filters of several guardrails together. Of one that is there twice the stronger action counts."""
    strongest: dict[tuple[str, bool], CompiledFilter] = {}
    for each in filters:
        builtin = each.name in BUILTIN_SLUGS
        key = (each.name, builtin)
        known = strongest.get(key)
        if known is None:
            strongest[key] = each
            continue
        stronger = max(known, each, key=lambda one: _STRENGTH.index(one.action))
        user_only = known.user_only and each.user_only
        strongest[key] = CompiledFilter(
            stronger.name, stronger.action, stronger.detector, stronger.placeholder, user_only
        )
    return tuple(strongest.values())


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a request's text, and whether a user wrote it."""

    text: str
    by_user: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What filters made of a request.

    Attributes:
        passages: the text as it may go on, in the order in which it came.
        blocked: names of the filters that refuse it.
        redacted: how many places each filter replaced, by name.
        flagged: in how many places each filter found something, by name.
    """

    passages: tuple[str, ...]
    blocked: tuple[str, ...]
    redacted: dict[str, int]
    flagged: dict[str, int]


def apply_filters(filters: Sequence[CompiledFilter], passages: Sequence[Passage]) -> Findings:
    """Look for everything in everything. What is to be blocked is looked for in the text as it came."""
    encoded = [passage.text.encode() for passage in passages]
    blocked: list[str] = []
    redacted: dict[str, int] = {}
    flagged: dict[str, int] = {}
    for each in filters:
        if each.action is FilterAction.REDACT:
            continue
        found = sum(1 for text, passage in zip(encoded, passages, strict=True) if _looks(each, passage)
                    for _ in each.detector(text))  # fmt: skip
        if found and each.action is FilterAction.BLOCK:
            blocked.append(each.name)
        elif found:
            flagged[each.name] = found
    if blocked:
        return Findings(tuple(passage.text for passage in passages), tuple(blocked), {}, flagged)
    texts = []
    for text, passage in zip(encoded, passages, strict=True):
        new = text
        for each in filters:
            if each.action is FilterAction.REDACT and _looks(each, passage):
                new, count = _replaced(new, each)
                if count:
                    redacted[each.name] = redacted.get(each.name, 0) + count
        texts.append(passage.text if new is text else new.decode())
    return Findings(tuple(texts), (), redacted, flagged)


def _looks(each: CompiledFilter, passage: Passage) -> bool:
    return passage.by_user or not each.user_only


def _replaced(text: bytes, each: CompiledFilter) -> tuple[bytes, int]:
    """Replace what a filter finds. Spans of detectors may overlap and come out of order."""
    spans = sorted(each.detector(text))
    if not spans:
        return text, 0
    pieces, end, count = [], 0, 0
    for start, stop in spans:
        if start >= end:
            pieces += [text[end:start], each.placeholder]
            count += 1
        end = max(end, stop)
    return b"".join([*pieces, text[end:]]), count


def _reason(error: re2.error) -> str:
    text = error.args[0] if error.args else ""
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)
