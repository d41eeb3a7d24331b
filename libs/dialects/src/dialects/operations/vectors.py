"""Vectors of providers, as numbers or in base64, made one: 32-bit floats, little-endian."""

from __future__ import annotations

import binascii
import math
import sys
from array import array
from base64 import b64decode
from collections.abc import Iterable

from dialects.errors import UpstreamAnswerError

MAX_DIMENSIONS = 65_536
_FLOAT_BYTES = 4


def vector_from(value: object) -> bytes:
    """Read one vector.

    Raises:
        UpstreamAnswerError: it is none: empty, too long, not finite, or neither numbers nor base64 of them.
    """
    floats = array("f")
    if isinstance(value, str):
        try:
            floats.frombytes(b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise UpstreamAnswerError("a vector is not base64 of 32-bit floats") from None
        if sys.byteorder == "big":
            floats.byteswap()
    elif isinstance(value, list):
        try:
            floats.extend(value)
        except (TypeError, OverflowError):
            raise UpstreamAnswerError("a vector has something else than numbers") from None
    else:
        raise UpstreamAnswerError("a vector is missing")
    if not 1 <= len(floats) <= MAX_DIMENSIONS:
        raise UpstreamAnswerError("a vector has no possible length")
    # A sum is finite when every part is, or overflows: then each is looked at.
    if not math.isfinite(sum(floats)) and not all(map(math.isfinite, floats)):
        raise UpstreamAnswerError("a vector is not finite")
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


def vectors_from(values: Iterable[object], count: int, dimensions: int | None) -> tuple[bytes, ...]:
    """Read the vectors of an answer.

    Args:
        values: in the order of the inputs.
        count: how many there must be.
        dimensions: how long each must be, None where all of the same length will do.

    Raises:
        UpstreamAnswerError: too few, too many, or of a wrong length.
    """
    vectors = tuple(vector_from(value) for value in values)
    if len(vectors) != count:
        raise UpstreamAnswerError(f"{len(vectors)} vectors for {count} inputs")
    length = (dimensions or len(vectors[0]) // _FLOAT_BYTES) * _FLOAT_BYTES
    if any(len(vector) != length for vector in vectors):
        raise UpstreamAnswerError("a vector has another length than was asked for")
    return vectors


def floats_of(vector: bytes) -> list[float]:
    """The numbers of a vector, each exactly the value of its 32 bits."""
    floats = array("f", vector)
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tolist()
