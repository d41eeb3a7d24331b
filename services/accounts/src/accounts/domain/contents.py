"""What was said in generations, and what people think of them."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from accounts.domain.errors import InvalidFieldError

MAX_CONTENT_BYTES: Final = 16 * 1024 * 1024
MAX_COMMENT: Final = 1_000
# Of one generation: more is a program, not people.
MAX_FEEDBACK: Final = 100
CATEGORIES: Final = frozenset(
    {"latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error", "other"}
)


class Sealing(Protocol):
    """Encrypts what only its organisation may read."""

    def seal(self, org_id: UUID, name: str, data: bytes) -> bytes:
        """Encrypt something that is called `name`."""
        ...

    def unseal(self, org_id: UUID, name: str, sealed: bytes) -> bytes:
        """Decrypt it again. Raises NotFoundError when it is another organisation's, another thing, or changed."""
        ...


class ContentStore(Protocol):
    """Sealed contents, and feedback. Every method may raise StoreUnavailableError."""

    async def keep(
        self, org_id: UUID, key_id: UUID, generation_id: str, sealed: bytes, now: datetime, expires_at: datetime
    ) -> None:
        """Keep a content; of a generation that has one already, nothing changes. Raises NotFoundError."""
        ...

    async def get(self, org_id: UUID, generation_id: str, key_id: UUID | None, now: datetime) -> bytes:
        """Return a sealed content, of one key or of any. Raises NotFoundError."""
        ...

    async def sweep(self, now: datetime, most: int) -> int:
        """Delete contents whose time is over, and say how many."""
        ...

    async def add_feedback(self, org_id: UUID, generation_id: str, category: str, comment: str, now: datetime) -> None:
        """Keep feedback. Raises NotFoundError, and AlreadyExistsError when there is too much."""
        ...


def checked_category(text: str) -> str:
    """Return a category of feedback.

    Raises:
        InvalidFieldError: it is none.
    """
    if text not in CATEGORIES:
        raise InvalidFieldError("category", f"must be one of {', '.join(sorted(CATEGORIES))}")
    return text


def checked_comment(text: str) -> str:
    """Return a comment.

    Raises:
        InvalidFieldError: it is too long.
    """
    if len(text) > MAX_COMMENT or "\x00" in text:
        raise InvalidFieldError("comment", f"must have at most {MAX_COMMENT} characters")
    return text


def checked_content(data: bytes) -> bytes:
    """Return a content.

    Raises:
        InvalidFieldError: it is too large.
    """
    if not 0 < len(data) <= MAX_CONTENT_BYTES:
        raise InvalidFieldError("content", f"must have at most {MAX_CONTENT_BYTES} bytes")
    return data
