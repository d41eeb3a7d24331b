"""Presets: members of a request that an organisation keeps under a name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from accounts.domain.errors import InvalidFieldError
from accounts.domain.people import Actor

MAX_CONFIG_BYTES: Final = 256 * 1024
MAX_PROMPT_LENGTH: Final = 100_000
# Of one organisation, and of one preset: far above what people keep, and a bound on what a program that runs wild does.
MAX_PRESETS: Final = 1_000
MAX_VERSIONS: Final = 10_000

_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PresetVersion:
    """One version. `config` is a JSON object; it is not shown, because it may hold what the caller instructs models with."""

    version_id: UUID
    preset_id: UUID
    version: int
    config: bytes
    system_prompt: str | None
    creator_id: str
    created_at: datetime

    def __repr__(self) -> str:
        return f"PresetVersion({self.version_id}, version={self.version})"


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset with the version that requests get."""

    preset_id: UUID
    org_id: UUID
    slug: str
    creator_id: str
    created_at: datetime
    updated_at: datetime
    designated: PresetVersion


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What is kept: ids for a preset that may have to be made, and for the version that is."""

    preset_id: UUID
    version_id: UUID
    org_id: UUID
    slug: str
    config: bytes
    system_prompt: str | None
    creator_id: str
    at: datetime


class PresetStore(Protocol):
    """Presets. Every method may raise StoreUnavailableError."""

    async def save(self, new: NewVersion, actor: Actor) -> Preset:
        """Add a version. Raises NotFoundError for the organisation, AlreadyExistsError when there are too many."""
        ...

    async def get(self, org_id: UUID, slug: str) -> Preset:
        """Return a preset. Raises NotFoundError."""
        ...

    async def page(self, org_id: UUID, offset: int, limit: int) -> tuple[list[Preset], int]:
        """Return presets, the last changed first, and how many there are."""
        ...

    async def versions(self, org_id: UUID, slug: str, offset: int, limit: int) -> tuple[list[PresetVersion], int]:
        """Return versions, the oldest first, and how many there are. Raises NotFoundError."""
        ...

    async def version(self, org_id: UUID, slug: str, version: int) -> PresetVersion:
        """Return one version. Raises NotFoundError."""
        ...


def checked_slug(text: str) -> str:
    """Return the name of a preset.

    Raises:
        InvalidFieldError: it has no such form.
    """
    if not _SLUG.fullmatch(text):
        raise InvalidFieldError("slug", "must be 1 to 64 letters, digits, dots, dashes, tildes and underscores")
    return text


def checked_config(config: bytes) -> bytes:
    """Return a configuration.

    Raises:
        InvalidFieldError: it is too large, or no JSON object.
    """
    if len(config) > MAX_CONFIG_BYTES:
        raise InvalidFieldError("config", f"must have at most {MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(config)
    except (ValueError, RecursionError):
        raise InvalidFieldError("config", "must be JSON") from None
    if not isinstance(document, dict):
        raise InvalidFieldError("config", "must be a JSON object")
    return config


def checked_prompt(prompt: str | None) -> str | None:
    """Return an instruction.

    Raises:
        InvalidFieldError: it is too long.
    """
    if prompt is not None and len(prompt) > MAX_PROMPT_LENGTH:
        raise InvalidFieldError("system_prompt", f"must have at most {MAX_PROMPT_LENGTH} characters")
    if prompt is not None and "\x00" in prompt:
        raise InvalidFieldError("system_prompt", "must not have null characters")
    return prompt
