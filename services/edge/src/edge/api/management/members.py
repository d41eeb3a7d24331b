"""Members of a JSON body of the control plane, read one by one. A member that nobody asked for is refused (S12)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec

from contracts import money
from contracts.money import NanoUsd
from dialects.request_reading import convert_request, parse_request
from edge.domain.errors import InvalidInputError

T = TypeVar("T")
# What the wire can carry; the owner of what is managed has lower bounds of its own.
_MAX_AMOUNT: Final = 2**63 - 1
_MAX_ENTRIES: Final = 10_000
_decode = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode


class JsonMembers:
    """A JSON object. Every reader names the member that is wrong; None is an absent or a null one."""

    def __init__(self, document: Mapping[str, Any], known: Collection[str], path: str = "") -> None:
        """Hold an object.

        Args:
            document: the object.
            known: the members that it may have.
            path: names the object within the body, such as `rate_limits[0].`; empty for the body itself.

        Raises:
            InvalidInputError: it has another member.
        """
        self._document = document
        self._path = path
        for name in document:
            if name not in known:
                shown = path + (name if len(name) <= 100 and name.isprintable() else "...")
                raise InvalidInputError(f"{shown}: unknown member", shown)

    def has(self, name: str) -> bool:
        """Whether the member is there, null included."""
        return name in self._document

    def is_null(self, name: str) -> bool:
        """Whether the member is there and null."""
        return name in self._document and self._document[name] is None

    def wrong(self, name: str, rule: str) -> InvalidInputError:
        """Make the error that says what is wrong with a member."""
        return InvalidInputError(f"{self._path}{name}: {rule}", f"{self._path}{name}")

    def text(self, name: str, *, most: int | None = None) -> str | None:
        """Return a string that is not blank."""
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(name, "expected a string that is not empty")
        if most is not None and len(value) > most:
            raise self.wrong(name, f"expected at most {most} characters")
        return value

    def required_text(self, name: str, *, most: int | None = None) -> str:
        """Return a string that is not blank and must be there."""
        value = self.text(name, most=most)
        if value is None:
            raise self.wrong(name, "required")
        return value

    def flag(self, name: str) -> bool | None:
        """Return a truth value."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "expected boolean")
        return value

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal) or value != int(value):
            raise self.wrong(name, "expected a whole number")
        number = int(value)
        if abs(number) > _MAX_AMOUNT:
            raise self.wrong(name, "too large")
        return number

    def dollars(self, name: str) -> NanoUsd | None:
        """Return an amount of dollars that is not negative."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.wrong(name, "expected number")
        try:
            amount = money.nano_from_usd(Decimal(value))
        except ValueError:
            raise self.wrong(name, "expected dollars with at most nine decimals") from None
        if amount < 0:
            raise self.wrong(name, "must not be negative")
        if amount > _MAX_AMOUNT:
            raise self.wrong(name, "too large")
        return amount

    def instant(self, name: str) -> datetime | None:
        """Return a moment, in UTC."""
        value = self._document.get(name)
        if value is None:
            return None
        try:
            instant = msgspec.convert(value, datetime)
            in_utc = instant.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            raise self.wrong(name, "expected a time such as 2030-12-31T23:59:59Z") from None
        if instant.tzinfo is None:
            raise self.wrong(name, "expected a time with its zone, such as 2030-12-31T23:59:59Z")
        return in_utc

    def choice(self, name: str, choices: Mapping[str, T]) -> T | None:
        """Return what one of several words stands for."""
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or value not in choices:
            raise self.wrong(name, f"expected one of {', '.join(choices)}")
        return choices[value]

    def optional_text(self, name: str, *, most: int) -> str:
        """Return a string that may be blank."""
        value = self._document.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "expected a string")
        if len(value) > most:
            raise self.wrong(name, f"expected at most {most} characters")
        return value

    def number(self, name: str) -> Decimal | None:
        """Return a number."""
        value = self._document.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.wrong(name, "expected number")
        return Decimal(value)

    def wholes(self, name: str) -> list[int] | None:
        """Return whole numbers; the list may be empty."""
        values = self._list(name)
        if values is None:
            return None
        for index, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int):
                raise self.wrong(f"{name}[{index}]", "expected a whole number")
        return list(values)

    def texts(self, name: str, *, may_be_empty: bool = False) -> tuple[str, ...] | None:
        """Return strings, none of them empty. Where null is what restricts nothing, the list must not be empty."""
        values = self._list(name)
        if values is None:
            return None
        if not values and not may_be_empty:
            raise self.wrong(name, "expected at least one entry; null means no restriction")
        for index, value in enumerate(values):
            if not isinstance(value, str) or not value:
                raise self.wrong(f"{name}[{index}]", "expected a string that is not empty")
        return tuple(values)

    def objects(self, name: str, known: Collection[str]) -> list[JsonMembers] | None:
        """Return the objects of a list, which may be empty."""
        values = self._list(name)
        if values is None:
            return None
        objects = []
        for index, value in enumerate(values):
            if not isinstance(value, dict):
                raise self.wrong(f"{name}[{index}]", "expected an object")
            objects.append(JsonMembers(value, known, f"{self._path}{name}[{index}]."))
        return objects

    def _list(self, name: str) -> Sequence[Any] | None:
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.wrong(name, "expected array")
        if len(value) > _MAX_ENTRIES:
            raise self.wrong(name, f"expected at most {_MAX_ENTRIES} entries")
        return value


def read_body(data: bytes, kind: type[msgspec.Struct]) -> JsonMembers:
    """Read a body that is of a type, which also describes it in the OpenAPI document.

    Raises:
        InvalidInputError: it has a member that the type does not have.
        InvalidRequestError: not a JSON object, or not of the type.
    """
    document = parse_request(data)
    members = read_members(data, [field.encode_name for field in msgspec.structs.fields(kind)])
    convert_request(document, kind)
    return members


def read_members(data: bytes, known: Collection[str]) -> JsonMembers:
    """Read a body.

    Raises:
        InvalidInputError: not a JSON object, or one with a member that is not known.
        InvalidRequestError: not JSON, or nested too deep.
    """
    # Also bounds the numbers, whose exponents Decimal would take at their word.
    document = parse_request(data)
    if not isinstance(document, dict):
        raise InvalidInputError("the body must be a JSON object")
    return JsonMembers(_decode(data), known)
