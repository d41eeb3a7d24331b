"""Customers' own provider keys as values, and the rules of their fields."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from accounts.domain.accounts import checked_text
from accounts.domain.errors import InvalidFieldError
from accounts.domain.key_settings import checked_models
from contracts.sealed_secrets import Purpose, SealedSecret

MAX_ENTRIES = 100
MAX_NAME = 255
# A service account of Google with its private key is some 2,400 characters.
MAX_KEY = 16_384
MAX_KEYS_OF_ORG = 500
# What is shown of a key: enough to tell two apart, and of a short one nothing.
_SHOWN_HEAD, _SHOWN_TAIL, _LEAST_SHOWN = 3, 4, 16
_PROVIDER = re.compile(r"[a-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class ByokFields:
    """What an owner says of a provider key. None restricts nothing."""

    name: str = ""
    disabled: bool = False
    is_fallback: bool = False
    is_required: bool = False
    allowed_models: tuple[str, ...] | None = None
    allowed_digests: tuple[str, ...] | None = None
    allowed_user_ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ByokKey:
    """A provider key, without the key. `version` counts the keys that were stored in its place."""

    byok_key_id: UUID
    org_id: UUID
    workspace_id: UUID
    provider: str
    label: str
    sort_order: int
    created_at: datetime
    fields: ByokFields = field(default=ByokFields())
    version: int = 1

    @property
    def purpose(self) -> Purpose:
        """What is authenticated with the secret."""
        return Purpose(str(self.org_id), self.provider, str(self.byok_key_id), self.version)


@dataclass(frozen=True, slots=True)
class ResolvedByokKey:
    """A provider key as a router needs it; `allowed_key_ids` None restricts nothing."""

    key: ByokKey
    sealed: SealedSecret
    allowed_key_ids: tuple[str, ...] | None = None


def checked_provider(slug: str) -> str:
    """Return the slug of a provider.

    Raises:
        InvalidFieldError: no provider can have it.
    """
    if _PROVIDER.fullmatch(slug) is None:
        raise InvalidFieldError("provider", "must be the slug of a provider")
    return slug


def checked_secret(text: str) -> str:
    """Return a provider key: text, or a JSON document of several lines.

    Raises:
        InvalidFieldError: blank, too long, or with characters that no credential has. The key is not repeated.
    """
    if not text.strip() or len(text) > MAX_KEY or any(ord(each) < 32 and each not in "\t\r\n" for each in text):
        raise InvalidFieldError("key", f"must have 1 to {MAX_KEY} characters, and no control characters")
    return text.strip()


def label_of(secret: str) -> str:
    """Return what people may see of a provider key."""
    if len(secret) < _LEAST_SHOWN or not secret.isprintable():
        return "***"
    return f"{secret[:_SHOWN_HEAD]}...{secret[-_SHOWN_TAIL:]}"


def checked_byok_fields(fields: ByokFields) -> ByokFields:
    """Return fields, checked.

    Raises:
        InvalidFieldError: a field breaks its rule.
    """
    checked_text("name", fields.name, 0, MAX_NAME)
    if fields.allowed_models is not None:
        _check_list("allowed_models", fields.allowed_models)
        checked_models("allowed_models", fields.allowed_models)
    for name, values in (
        ("allowed_api_key_hashes", fields.allowed_digests),
        ("allowed_user_ids", fields.allowed_user_ids),
    ):
        if values is not None:
            _check_list(name, values)
            for index, value in enumerate(values):
                checked_text(f"{name}[{index}]", value, 1, MAX_ENTRIES)
    if fields.is_required and fields.is_fallback:
        raise InvalidFieldError("is_required", "cannot be set for a fallback")
    return fields


def _check_list(name: str, values: Collection[str]) -> None:
    if not 1 <= len(values) <= MAX_ENTRIES:
        raise InvalidFieldError(name, f"must have 1 to {MAX_ENTRIES} entries")
