"""Contents by AES-256-GCM, under a key for each organisation that is derived from the installation's."""

from __future__ import annotations

import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from accounts.domain.errors import NotFoundError

_KEY_BYTES: Final = 32
# NIST SP 800-38D: random nonces of 96 bits are safe for 2^32 messages under one key, and each organisation has its own.
_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"turnpike generation content v1"


class AesContentSealing:
    """Seals contents. What is sealed for one organisation, or under one name, opens for no other."""

    def __init__(self, key: bytes) -> None:
        """Make the cipher.

        Args:
            key: secret of the installation, at least 32 bytes; kept outside the database.
        """
        self._key = key

    def seal(self, org_id: UUID, name: str, data: bytes) -> bytes:
        """Encrypt: a fresh nonce, then ciphertext and tag."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher(org_id).encrypt(nonce, data, name.encode())

    def unseal(self, org_id: UUID, name: str, sealed: bytes) -> bytes:
        """Decrypt.

        Raises:
            NotFoundError: it was sealed for another organisation, under another name or key, or was changed.
        """
        try:
            return self._cipher(org_id).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise NotFoundError("no such content") from None

    def _cipher(self, org_id: UUID) -> AESGCM:
        return AESGCM(HKDF(SHA256(), _KEY_BYTES, org_id.bytes, _PURPOSE).derive(self._key))
