"""The form of an API key: `tp_<live|mgmt>_<30 base62 characters><6 base62 characters of CRC-32>`.

30 base62 characters are 178 random bits. The checksum lets a mistyped or made-up key be refused without any look-up,
and lets secret scanners recognise a leaked one with few false alarms (the form that GitHub uses).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from enum import StrEnum
from random import Random

from contracts.ids import BASE62

_RANDOM_LENGTH = 30
_CHECKSUM_LENGTH = 6


class ApiKeyKind(StrEnum):
    """What a key may do, as written in the key."""

    INFERENCE = "live"
    MANAGEMENT = "mgmt"


class MalformedKeyError(ValueError):
    """The text is not a key of this system: wrong prefix, length, alphabet or checksum. Says nothing of its content."""


_FORM = re.compile(
    rf"tp_({'|'.join(kind.value for kind in ApiKeyKind)})_([0-9A-Za-z]{{{_RANDOM_LENGTH}}})([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})"
)


def generate(kind: ApiKeyKind, random: Random) -> str:
    """Make a key. `random` must be a cryptographic source (`random.SystemRandom`) outside tests."""
    body = f"tp_{kind.value}_" + "".join(random.choices(BASE62, k=_RANDOM_LENGTH))
    return body + _checksum(body)


def parse(text: str) -> ApiKeyKind:
    """Check the form of a key and say its kind, without any input or output.

    Raises:
        MalformedKeyError: the text cannot be a key.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise MalformedKeyError("not an API key")
    body = text[:-_CHECKSUM_LENGTH]
    if not hmac.compare_digest(_checksum(body), match.group(3)):
        raise MalformedKeyError("not an API key")
    return ApiKeyKind(match.group(1))


def digest(text: str, pepper: bytes) -> str:
    """Return the lower-case hex HMAC-SHA256 of a whole key: its name in every store and look-up.

    A slow password hash would add nothing at 178 random bits, and the look-up must be by the full digest.
    """
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()


def pepper_id(pepper: bytes) -> str:
    """Return what tells a pepper from others without telling what it is: 16 characters of lower-case hex.

    No key is the text that is hashed here, because keys have a form (`parse`).
    """
    return hmac.new(pepper, b"turnpike pepper", hashlib.sha256).hexdigest()[:16]


def label(text: str) -> str:
    """Return what people may see of a key: its prefix and its last four characters."""
    return f"{text[:8]}...{text[-4:]}"


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits.append(BASE62[digit])
    return "".join(reversed(digits))
