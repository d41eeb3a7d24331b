"""Identifiers: what each names, how it is made, how it is read back."""

from __future__ import annotations

import hashlib
import re
import string
from random import Random
from typing import NewType
from uuid import UUID

OrgId = NewType("OrgId", str)
KeyId = NewType("KeyId", str)
GenerationId = NewType("GenerationId", str)
EndpointId = NewType("EndpointId", str)
ModelId = NewType("ModelId", str)

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

_SUFFIX_LENGTH = 20
_GENERATION = re.compile(rf"gen-[0-9]{{1,12}}-[0-9A-Za-z]{{{_SUFFIX_LENGTH}}}")
# Any fixed UUID would do; it must never change, or a replayed spool would count every generation twice.
_USAGE_NAMESPACE = UUID("6f0d1f52-5b0e-5f0c-9a51-7c1d6f0b8f21").bytes
# The two highest bits of this digit say that it is such a UUID.
_VARIANT = {digit: f"{0x8 | int(digit, 16) & 0x3:x}" for digit in string.hexdigits.lower()}


def new_generation_id(unix_seconds: int, random: Random) -> GenerationId:
    """Name a generation `gen-<unix seconds>-<20 base62 characters>` (119 random bits), as OpenRouter does."""
    suffix = "".join(random.choices(BASE62, k=_SUFFIX_LENGTH))
    return GenerationId(f"gen-{unix_seconds}-{suffix}")


def parse_generation_id(text: str) -> GenerationId:
    """Check the form of a generation id.

    Raises:
        ValueError: `text` has another form.
    """
    if _GENERATION.fullmatch(text) is None:
        raise ValueError("not a generation id: expected gen-<seconds>-<20 characters>")
    return GenerationId(text)


def usage_event_id(generation_id: str) -> str:
    """Identify the usage event of a generation, so that every repeat of the event has the same id.

    The version 5 UUID (RFC 9562) of the generation id, as `uuid.uuid5` makes it at five times the cost.
    """
    digest = hashlib.sha1(_USAGE_NAMESPACE + generation_id.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANT[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"
