"""Passwords by argon2id, off the event loop and a few at a time: each takes 64 MiB and a core for a moment."""

from __future__ import annotations

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_AT_ONCE = 4


class Argon2Passwords:
    """The Passwords of argon2id. What is stored says its parameters, so that they can rise."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        """Make it; `hasher` replaces the parameters of RFC 9106, for tests."""
        self._hasher = hasher or PasswordHasher()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        # Checked for accounts that do not exist, which must take as long as those that do.
        self._nobody = self._hasher.hash("nobody's password")

    async def hash(self, password: str) -> str:
        """Make what is stored of a password."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether a password is the one that was stored; False, after as long, where nothing is."""
        async with self._turns:
            fits = await asyncio.to_thread(self._verify, password, stored or self._nobody)
        return fits and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Whether what is stored was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, password: str, stored: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
