"""What the types of answers have in common."""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct


class Answer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object of an answer. It has the members that are declared and no others.

    A member without a default is always there; official clients demand that, so what is unknown is null rather than absent.
    Amounts of money are exact decimal numbers in dollars, rendered as text and described as `float`.
    """


T = TypeVar("T")


class Data(Answer, Generic[T], frozen=True, kw_only=True):
    """Most answers are in an envelope."""

    data: T


class Page(Answer, Generic[T], frozen=True, kw_only=True):
    """A part of a list. `total_count` counts what there is in all."""

    data: list[T]
    total_count: int
