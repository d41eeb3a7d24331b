"""Query parameters, checked."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from dialects.errors import InvalidRequestError
from dialects.request_reading import convert_request
from edge.domain.errors import InvalidInputError

_MAX_NUMBER_LENGTH = 9
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_MAX_PARAMETER_LENGTH = 1_024

T = TypeVar("T", bound=msgspec.Struct)


def read_query(request: web.BaseRequest, kind: type[T]) -> T:
    """Read the query into a struct; what it does not declare is ignored, an empty parameter counts as absent.

    Raises:
        InvalidInputError: a parameter is given more than once, is missing or too long, or its value is not valid.
    """
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    given = {name: value for name in known if (value := text_parameter(request, name)) is not None}
    for name, value in given.items():
        if len(value) > _MAX_PARAMETER_LENGTH:
            raise InvalidInputError(f"{name}: longer than {_MAX_PARAMETER_LENGTH} characters", name)
    try:
        return convert_request(given, kind, strict=False)
    except InvalidRequestError as found:
        raise InvalidInputError(found.message.replace(", got string", ""), found.param) from None


def text_parameter(request: web.BaseRequest, name: str) -> str | None:
    """Return a parameter; None when it is absent or empty.

    Raises:
        InvalidInputError: it is given more than once.
    """
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise InvalidInputError(f"{name}: given more than once", name)
    return values[0] if values and values[0] else None


def number_parameter(request: web.BaseRequest, name: str, *, lowest: int, highest: int) -> int | None:
    """Return a whole number; None when it is absent.

    Raises:
        InvalidInputError: not a whole number, or out of range.
    """
    text = text_parameter(request, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_NUMBER_LENGTH:
        raise InvalidInputError(f"{name}: expected a whole number", name)
    number = int(text)
    if not lowest <= number <= highest:
        raise InvalidInputError(f"{name}: expected a number from {lowest} to {highest}", name)
    return number


def flag_parameter(request: web.BaseRequest, name: str) -> bool | None:
    """Return a truth value; None when it is absent.

    Raises:
        InvalidInputError: neither `true` nor `false`.
    """
    text = text_parameter(request, name)
    if text is None:
        return None
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise InvalidInputError(f"{name}: expected true or false", name)
    return value
