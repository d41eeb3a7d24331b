"""Canaries: texts that stand for a secret or for what somebody said, and are known wherever they turn up, in whatever form."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

# Lower-case letters and digits: an address, a header, a URL, JSON and a text of any dialect can hold it as it is.
MARK = "cnry7f3k9q"
_ID_BYTES = 8
_TEXT = re.compile(MARK.encode() + rb"([0-9a-f]{16})")


@dataclass(frozen=True)
class Find:
    """A canary in a place. `form` is how it was written there, `around` what stood beside it."""

    label: str
    form: str
    around: bytes


@dataclass
class Canaries:
    """The canaries of a run: made here, or taken from the system, which makes its own secrets."""

    _labels: dict[str, str] = field(default_factory=dict)
    _given: dict[str, str] = field(default_factory=dict)

    def text(self, label: str) -> str:
        """Make a canary; each call makes another one."""
        number = secrets.token_hex(_ID_BYTES)
        self._labels[number] = label
        return MARK + number

    def given(self, label: str, secret: str) -> str:
        """Take a secret that the system made for a canary.

        Raises:
            AssertionError: it is too short to be told from anything else.
        """
        assert len(secret) >= 16, label
        self._given[secret] = label
        return secret

    @property
    def labels(self) -> list[str]:
        """What all of them stand for."""
        return sorted({*self._labels.values(), *self._given.values()})

    def find(self, content: bytes) -> list[Find]:
        """Every canary in a content: as it is in any case, in base64 and in hex."""
        return [*self._made_in(content), *self._given_in(content)]

    def _made_in(self, content: bytes) -> Iterator[Find]:
        lower = content.lower()
        for match in _TEXT.finditer(lower):
            yield Find(self._label(match[1].decode()), "as it is", _around(content, match.start()))
        at = -1
        while (at := lower.find(MARK.encode().hex().encode(), at + 1)) >= 0:
            yield Find(self._label(_unhex(lower[at : at + 52])), "in hex", _around(content, at))
        for form in _base64_forms(MARK):
            for match in re.finditer(re.escape(form), content):
                yield Find(self._label(_unbase64(content, match.start())), "in base64", _around(content, match.start()))

    def _given_in(self, content: bytes) -> Iterator[Find]:
        for secret, label in self._given.items():
            for form, needle in _forms(secret):
                at = content.find(needle)
                if at >= 0:
                    yield Find(label, form, _around(content, at))

    def _label(self, number: str) -> str:
        return self._labels.get(number, "one of them, cut")


def _forms(secret: str) -> Iterator[tuple[str, bytes]]:
    yield "as it is", secret.encode()
    yield "in hex", secret.encode().hex().encode()
    for form in _base64_forms(secret):
        yield "in base64", form


def _base64_forms(text: str) -> Iterable[bytes]:
    """How a text can look within base64: at each of three offsets, without the characters that its neighbours decide on."""
    raw = text.encode()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        start = (before * 8 + 5) // 6
        end = (before + len(raw)) * 8 // 6
        yield encoded[start:end]


def _around(content: bytes, at: int) -> bytes:
    return content[max(0, at - 60) : at + 60]


def _unhex(text: bytes) -> str:
    try:
        return bytes.fromhex(text.decode()).decode()[len(MARK) :]
    except ValueError:
        return ""


def _unbase64(content: bytes, at: int) -> str:
    """Read the number of a canary whose base64 starts about here."""
    for start in range(max(0, at - 4), at + 1):
        piece = content[start : start + 44]
        try:
            found = _TEXT.search(base64.b64decode(piece[: len(piece) // 4 * 4]))
        except ValueError:
            continue
        if found is not None:
            return found[1].decode()
    return ""
