"""Secrets that are stored: envelope encryption, so that the key of keys changes without touching what it protects (S20, S22).

Every secret has a data key of its own, 256 random bits. AES-256-GCM encrypts the secret under the data key, and the data key under
a key-encryption key (KEK) that is not where the secrets are; each time with a random nonce of 96 bits. What a secret is for is
authenticated with both (AAD), so a row that is moved to another organisation, provider or version does not open (S21).
NIST SP 800-38D bounds random nonces at 2^32 uses of one key: a data key encrypts once, a KEK as often as secrets are stored.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
RandomBytes = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess."""


class SealError(Exception):
    """A secret does not open, or cannot be sealed. Says nothing of the secret."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a secret is for. Two secrets never have the same; a new value of one is a new version."""

    org_id: str
    provider: str
    secret_id: str
    version: int

    def associated_data(self) -> bytes:
        """What is authenticated with the secret. No part can hold the separator."""
        return f"{self.org_id}|{self.provider}|{self.secret_id}|{self.version}".encode()


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """A secret as it is stored: useless without the KEK that it names."""

    kek_id: str
    wrapped_key: bytes = field(repr=False)
    key_nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    nonce: bytes = field(repr=False)


class Secret:
    """A secret in the open. It shows itself to `reveal` and to nothing else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        """Secrets are not copied to anywhere.

        Raises:
            TypeError: always.
        """
        raise TypeError("a secret cannot be pickled")


class KeyEncryptionKeys:
    """The KEKs by id; new secrets are sealed under the current one. No `repr` shows a key."""

    def __init__(self, current: str, keys: Mapping[str, bytes]) -> None:
        """Hold keys.

        Raises:
            ValueError: there is no current key, or one is not of 256 bits.
        """
        if current not in keys:
            raise ValueError("the current key is not among the keys")
        if any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"a key has other than {KEY_BYTES} bytes")
        self.current = current
        self._ciphers = {name: AESGCM(key) for name, key in keys.items()}

    def __repr__(self) -> str:
        return f"KeyEncryptionKeys(current={self.current}, {len(self._ciphers)} keys)"

    def seal(self, secret: str, purpose: Purpose, random_bytes: RandomBytes) -> SealedSecret:
        """Encrypt a secret under a data key of its own."""
        data_key, nonce = random_bytes(KEY_BYTES), random_bytes(NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, secret.encode(), purpose.associated_data())
        return self._wrapped(data_key, ciphertext, nonce, purpose, random_bytes)

    def open(self, sealed: SealedSecret, purpose: Purpose) -> Secret:
        """Decrypt a secret.

        Raises:
            SealError: it is for another purpose, was changed, or its KEK is not here.
        """
        try:
            data = AESGCM(self._data_key(sealed, purpose)).decrypt(
                sealed.nonce, sealed.ciphertext, purpose.associated_data()
            )
            return Secret(data.decode())
        except (InvalidTag, ValueError):
            raise SealError("the secret does not open") from None

    def rewrap(self, sealed: SealedSecret, purpose: Purpose, random_bytes: RandomBytes) -> SealedSecret:
        """Put the data key of a secret under the current KEK; the secret itself is neither opened nor changed.

        Raises:
            SealError: its data key does not open.
        """
        data_key = self._data_key(sealed, purpose)
        return self._wrapped(data_key, sealed.ciphertext, sealed.nonce, purpose, random_bytes)

    def _data_key(self, sealed: SealedSecret, purpose: Purpose) -> bytes:
        cipher = self._ciphers.get(sealed.kek_id)
        if cipher is None:
            raise SealError(f"there is no key-encryption key {sealed.kek_id}")
        try:
            return cipher.decrypt(sealed.key_nonce, sealed.wrapped_key, purpose.associated_data())
        except (InvalidTag, ValueError):
            raise SealError("the data key does not open") from None

    def _wrapped(
        self, data_key: bytes, ciphertext: bytes, nonce: bytes, purpose: Purpose, random_bytes: RandomBytes
    ) -> SealedSecret:
        key_nonce = random_bytes(NONCE_BYTES)
        wrapped = self._ciphers[self.current].encrypt(key_nonce, data_key, purpose.associated_data())
        return SealedSecret(self.current, wrapped, key_nonce, ciphertext, nonce)


def parse_keks(text: str) -> KeyEncryptionKeys:
    """Read a file of KEKs: YAML with `current`, the id of one, and `keys`, 32 bytes each in base64 by id.

    Raises:
        ValueError: with what is wrong, and nothing of what stands there.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ValueError("not valid YAML") from None
    if not isinstance(document, dict) or not isinstance(document.get("keys"), dict):
        raise ValueError("expected `current` and `keys`")
    keys = {}
    for name, value in document["keys"].items():
        try:
            keys[str(name)] = base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise ValueError("a key is not in base64") from None
    return KeyEncryptionKeys(str(document.get("current")), keys)
