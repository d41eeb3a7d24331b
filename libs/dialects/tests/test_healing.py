"""Mending JSON answers."""

from __future__ import annotations

import json

import pytest

from dialects.healing import MAX_LENGTH, heal


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('```json\n{"city": "Berlin"}\n```', {"city": "Berlin"}),
        ("```\n[1, 2]\n```", [1, 2]),
        ('{"city": "Berlin", "river": "Spree",}', {"city": "Berlin", "river": "Spree"}),
        ('{"city": "Berlin", "rivers": ["Spree", "Havel"', {"city": "Berlin", "rivers": ["Spree", "Havel"]}),
        ("{'city': 'Berlin'}", {"city": "Berlin"}),
        ('{city: "Berlin"}', {"city": "Berlin"}),
        ('Here it is:\n{"city": "Zürich"}', {"city": "Zürich"}),
        ('{"open": True, "closed": False, "rest": None}', {"open": True, "closed": False, "rest": None}),
    ],
)
def test_what_is_nearly_json_becomes_json(text: str, expected: object) -> None:
    healed = heal(text)
    assert healed is not None
    assert json.loads(healed) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"city": "Berlin"}',
        " [1, 2] ",
        '"a string"',
        "7",
        "",
        "I would rather not say.",
        "x" * (MAX_LENGTH + 1),
        "```\n```",
    ],
)
def test_what_is_json_or_cannot_be_stays(text: str) -> None:
    assert heal(text) is None
