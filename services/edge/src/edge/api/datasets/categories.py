"""Categories of applications, as these state them in `X-OpenRouter-Categories`.

Nothing is read out of prompts, so the traffic of a use case is that of the applications that say that they serve it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from edge.domain.errors import InvalidInputError

AppGroup = Literal["coding", "creative", "productivity", "entertainment"]
AppCategory = Literal[
    "cli-agent",
    "ide-extension",
    "cloud-agent",
    "programming-app",
    "native-app-builder",
    "creative-writing",
    "video-gen",
    "image-gen",
    "audio-gen",
    "roleplay",
    "game",
    "writing-assistant",
    "general-chat",
    "personal-agent",
    "legal",
]
UseCase = Literal[
    "programming",
    "roleplay",
    "marketing",
    "marketing/seo",
    "technology",
    "science",
    "translation",
    "legal",
    "finance",
    "health",
    "trivia",
    "academia",
]

_GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "coding": ("cli-agent", "ide-extension", "cloud-agent", "programming-app", "native-app-builder"),
    "creative": ("creative-writing", "video-gen", "image-gen", "audio-gen"),
    "productivity": ("writing-assistant", "general-chat", "personal-agent", "legal"),
    "entertainment": ("roleplay", "game"),
}


def categories_of(group: str | None, category: str | None) -> tuple[str, ...]:
    """The categories that a choice of a group and of one category stands for; none for all.

    Raises:
        InvalidInputError: the category is not of the group.
    """
    if category is None:
        return _GROUPS[group] if group is not None else ()
    if group is not None and category not in _GROUPS[group]:
        raise InvalidInputError(f"subcategory: {category} is not in the category {group}", "subcategory")
    return (category,)


def categories_for(use_case: str | None) -> tuple[str, ...]:
    """The categories that stand for a use case; none for all."""
    if use_case is None:
        return ()
    name = use_case.replace("/", "-")
    return (*_GROUPS["coding"], name) if use_case == "programming" else (name,)
