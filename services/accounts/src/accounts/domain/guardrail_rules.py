"""The rules of a guardrail's fields, and assignments as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from accounts.domain.accounts import checked_limit, checked_text
from accounts.domain.errors import InvalidFieldError
from accounts.domain.key_settings import checked_models, checked_providers, checked_rate_limits
from contracts.guardrails import GuardrailPolicy

MAX_NAME = 200
MAX_DESCRIPTION = 1_000
MAX_FILTERS = 100
MAX_FILTER_CHARACTERS = 100_000
MAX_LABEL = 100
MAX_SUBJECTS = 1_000


@dataclass(frozen=True, slots=True)
class Subjects:
    """Whom a guardrail binds or shall bind no more: keys by their digests, members by their users' ids."""

    key_digests: Sequence[str]
    user_ids: Sequence[str]


class AssignmentKind(IntEnum):
    """Whom an assignment binds; the numbers are those of the wire."""

    KEY = 1
    MEMBER = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """That a guardrail binds a key, by digest, or a member with every key of theirs."""

    assignment_id: str
    guardrail_id: str
    created_at: datetime
    key_digest: str = ""
    key_name: str = ""
    key_label: str = ""
    user_id: str = ""
    assigned_by: str = ""


def checked_guardrail_name(name: str) -> str:
    """Return a name without blanks around it.

    Raises:
        InvalidFieldError: empty, too long, or with control characters.
    """
    return checked_text("name", name.strip(), 1, MAX_NAME)


def checked_description(text: str) -> str:
    """Return a description, which may have several lines.

    Raises:
        InvalidFieldError: too long, or with a character that no store can hold.
    """
    if len(text) > MAX_DESCRIPTION or "\0" in text:
        raise InvalidFieldError("description", f"must have at most {MAX_DESCRIPTION} characters")
    return text


def checked_policy(policy: GuardrailPolicy) -> GuardrailPolicy:
    """Return a policy.

    Whether patterns are regular expressions is for the one to say who has the engine.

    Raises:
        InvalidFieldError: a field breaks its rule.
    """
    checked_limit(policy.limit)
    for name, models in (("allowed_models", policy.allowed_models), ("ignored_models", policy.ignored_models)):
        checked_models(name, models or ())
    for name, slugs in (
        ("allowed_providers", policy.allowed_providers),
        ("ignored_providers", policy.ignored_providers),
    ):
        checked_providers(name, slugs or ())
    if len(policy.filters) > MAX_FILTERS:
        raise InvalidFieldError("content_filters", f"must have at most {MAX_FILTERS} entries")
    if sum(len(each.pattern) for each in policy.filters) > MAX_FILTER_CHARACTERS:
        raise InvalidFieldError("content_filters", f"must have at most {MAX_FILTER_CHARACTERS} characters together")
    for index, each in enumerate(policy.filters):
        if not each.pattern or "\0" in each.pattern:
            raise InvalidFieldError(f"content_filters[{index}].pattern", "must be a regular expression")
        checked_text(f"content_filters[{index}].label", each.label, 0, MAX_LABEL)
    slugs_seen = [each.slug for each in policy.builtins]
    for index, slug in enumerate(slugs_seen):
        if slug in slugs_seen[:index]:
            raise InvalidFieldError(f"content_filter_builtins[{index}].slug", "is there twice")
    checked_rate_limits("rate_limits", policy.rate_limits)
    return policy


def checked_subjects(field: str, values: Sequence[str]) -> list[str]:
    """Return names of keys or members, each once.

    Raises:
        InvalidFieldError: too many, or one that nobody can have.
    """
    if len(values) > MAX_SUBJECTS:
        raise InvalidFieldError(field, f"must have at most {MAX_SUBJECTS} entries")
    for index, value in enumerate(values):
        checked_text(f"{field}[{index}]", value, 1, 100)
    return list(dict.fromkeys(values))
