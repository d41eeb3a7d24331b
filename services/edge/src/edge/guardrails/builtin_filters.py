"""What Turnpike knows to look for in a request: personal data, and attempts to override instructions.

Detectors are expressions of RE2, whose time is linear in the text, and checks of what they found where an expression alone
says too much. They find what is written in a usual form; they do not understand text.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable, Iterator
from typing import Final

import re2

Span = tuple[int, int]
"""Where something begins and ends, in bytes of UTF-8."""
Detector = Callable[[bytes], Iterator[Span]]


def compiled(pattern: str) -> re2._Regexp:
    """Compile an expression over bytes of UTF-8.

    Raises:
        re2.error: it is not one of RE2's, or takes more memory than an expression may.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    return re2.compile(pattern.encode(), options)


# Bounds the program that a pattern becomes, and with it the time for a byte of text.
_MAX_MEMORY: Final = 1 << 20
_LETTERS: Final = compiled(r"[A-Za-z]{5,}")
_EMAIL: Final = compiled(r"[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b")
_PHONE: Final = compiled(
    r"(?:\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d{2,4}(?:[ .-]?\d{2,4}){1,4}\b)|(?:(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b)"
)
_SSN: Final = compiled(r"\b\d{3}[- ]\d{2}[- ]\d{4}\b")
_CARD: Final = compiled(r"\b\d(?:[ -]?\d){12,18}\b")
_IP: Final = compiled(r"(?:\b\d{1,3}(?:\.\d{1,3}){3}\b)|(?:\b[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7})")
_NAME: Final = compiled(
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Madam)\.? [A-Z][A-Za-z'-]+(?: [A-Z][A-Za-z'-]+){0,2}"
    r"|\b(?:[Mm]y name is|I am called|[Nn]ame:) [A-Z][A-Za-z'-]+(?: [A-Z][A-Za-z'-]+){0,2}"
)
_ADDRESS: Final = compiled(
    r"\b\d{1,6}[A-Za-z]? (?:[A-Z][A-Za-z'.-]* ){1,4}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Parkway|Pkwy)\b"
)
_INJECTION: Final = compiled(
    r"(?i)(?:ignore|disregard|forget|override|bypass)\W{0,3}(?:\w{1,12}\W{1,3}){0,4}?"
    r"(?:previous|prior|above|earlier|preceding|system|safety|all)\W{0,3}(?:\w{1,12}\W{1,3}){0,3}?"
    r"(?:instructions?|prompts?|rules|guidelines|directives|messages?|filters?|restrictions)"
    r"|(?:reveal|print|show|repeat|leak|output)\W{0,3}(?:me\W{1,3})?(?:your|the)\W{1,3}(?:\w{1,12}\W{1,3}){0,2}?"
    r"(?:system\W{0,3}prompt|hidden\W{0,3}prompt|initial\W{0,3}instructions|system\W{0,3}instructions)"
    r"|you\W{1,3}are\W{1,3}now\W{1,3}(?:in\W{1,3})?(?:a\W{1,3})?(?:dan\b|developer\W{1,3}mode|jailbroken|unrestricted)"
    r"|(?:enable|enter|activate)\W{1,3}(?:developer|debug|god|dan|jailbreak)\W{1,3}mode"
    r"|do\W{0,3}anything\W{0,3}now"
)
# Letters one by one, as in `i g n o r e`, joined again.
_SPACED: Final = compiled(r"(?:\b[A-Za-z][ ._*-]{1,2}){5,}[A-Za-z]\b")
_JOINED: Final = compiled(
    r"(?i)(?:ignore|disregard|forget|override|bypass)(?:all|any|the|your|my|these){0,4}(?:previous|prior|above|earlier|system|safety)"
    r"(?:instructions?|prompts?|rules|guidelines|filters?)"
)
_BASE64: Final = compiled(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = compiled(r"\b(?:[0-9A-Fa-f]{2}){12,}\b")
_VOCABULARY: Final = (
    "ignore", "disregard", "forget", "override", "bypass", "previous", "prior", "above", "earlier", "system", "safety",
    "instructions", "instruction", "prompt", "prompts", "rules", "guidelines", "reveal", "developer",
)  # fmt: skip
_SCRAMBLED: Final = {(word[0], word[-1], "".join(sorted(word))): word for word in _VOCABULARY}


def _everything(expression: re2._Regexp) -> Detector:
    def find(text: bytes) -> Iterator[Span]:
        return (match.span() for match in expression.finditer(text))

    return find


def _checked(expression: re2._Regexp, holds: Callable[[str], bool]) -> Detector:
    def find(text: bytes) -> Iterator[Span]:
        return (match.span() for match in expression.finditer(text) if holds(match.group().decode()))

    return find


def _is_ssn(text: str) -> bool:
    """Area, group and serial numbers that were never given out are no social security numbers."""
    digits = "".join(filter(str.isdigit, text))
    return digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _is_card(text: str) -> bool:
    """Luhn's check sum, ISO/IEC 7812-1."""
    digits = [int(character) for character in text if character.isdigit()]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_phone(text: str) -> bool:
    return 7 <= sum(map(str.isdigit, text)) <= 15


def _is_ip(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not address.is_unspecified


def find_injections(text: bytes) -> Iterator[Span]:
    """Find attempts to override instructions: plain, with scrambled words, with spaced letters, in base64 and in hex."""
    for match in _INJECTION.finditer(_unscrambled(text)):
        yield match.span()
    for match in _SPACED.finditer(text):
        joined = bytes(byte for byte in match.group() if chr(byte).isalpha())
        if _JOINED.search(joined):
            yield match.span()
    for expression, decode in ((_BASE64, _from_base64), (_HEX, bytes.fromhex)):
        for match in expression.finditer(text):
            decoded = _decoded(decode, match.group().decode())
            if decoded and _INJECTION.search(decoded):
                yield match.span()


def _unscrambled(text: bytes) -> bytes:
    """Words whose inner letters are in disorder, put right. Every word keeps its length, so places stay what they are."""
    pieces, end = [], 0
    for match in _LETTERS.finditer(text):
        word = match.group().decode().lower()
        right = _SCRAMBLED.get((word[0], word[-1], "".join(sorted(word))))
        if right is not None:
            start, stop = match.span()
            pieces += [text[end:start], right.encode()]
            end = stop
    return b"".join([*pieces, text[end:]]) if pieces else text


def _from_base64(text: str) -> bytes:
    text = text.rstrip("=").replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4))


def _decoded(decode: Callable[[str], bytes], text: str) -> bytes:
    try:
        decoded = decode(text)
        decoded.decode()
    except (binascii.Error, ValueError):
        return b""
    return decoded


DETECTORS: Final[dict[str, Detector]] = {
    "email": _everything(_EMAIL),
    "phone": _checked(_PHONE, _is_phone),
    "ssn": _checked(_SSN, _is_ssn),
    "credit-card": _checked(_CARD, _is_card),
    "ip-address": _checked(_IP, _is_ip),
    "person-name": _everything(_NAME),
    "address": _everything(_ADDRESS),
    "regex-prompt-injection": find_injections,
}
"""By the slug of the filter."""
