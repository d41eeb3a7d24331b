"""`POST /images/generations`."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from dialects.answers import Answer, Usage
from dialects.errors import UnsupportedRequestError, UpstreamAnswerError
from dialects.json_values import objects_in
from dialects.openai_compatible.operations.reading import answered, read_document, read_token_usage
from dialects.operations.media import picture_type
from dialects.operations.products import Image, Images
from dialects.operations.requests import ImagesBody
from dialects.upstream import Target, UpstreamRequest

PATH = "/images/generations"

_encode = msgspec.json.Encoder().encode

# Pixels of the shapes that a tier of size is normalised to, from the shorter side.
_SIDES = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
_PASSED_ON = ("quality", "background", "output_format", "output_compression", "seed")


def write(body: ImagesBody, target: Target) -> UpstreamRequest:
    """Write a request.

    Raises:
        UnsupportedRequestError: it has reference pictures, or wants more than one picture where one is made at a time.
    """
    if body.input_references:
        raise UnsupportedRequestError("input_references: this provider makes pictures of text only")
    if body.most_images > 1 and "n" not in target.supported:
        raise UnsupportedRequestError("n: this provider makes one picture at a time")
    document: dict[str, Any] = {"model": target.model, "prompt": body.prompt}
    if "n" in target.supported:
        document["n"] = body.most_images
    size = size_of(body)
    if size and "size" in target.supported:
        document["size"] = size
    for name in _PASSED_ON:
        value = getattr(body, name)
        if value is not None and name in target.supported:
            document[name] = value
    if "response_format" in target.supported:
        document["response_format"] = "b64_json"
    return UpstreamRequest(PATH, _encode(document), read=_reader(body.most_images, "completion" in target.priced))


def size_of(body: ImagesBody) -> str:
    """The size in pixels or `auto`; empty when the caller does not say."""
    tier: str | None = body.resolution
    if body.size is not None:
        if body.size not in _SIDES:
            return body.size
        tier = tier or body.size
    ratio = body.aspect_ratio
    if tier is None and ratio in (None, "auto"):
        return ratio or ""
    short = _SIDES[tier or "1K"]
    across, _, down = ("1:1" if ratio in (None, "auto") else str(ratio)).partition(":")
    wide, high = float(across), float(down)
    if wide >= high:
        return f"{_even(short * wide / high)}x{short}"
    return f"{short}x{_even(short * high / wide)}"


def _even(pixels: float) -> int:
    return round(pixels / 16) * 16


def _reader(most: int, must_say_tokens: bool) -> Callable[[bytes, str], Answer]:
    def read(body: bytes, media_type: str) -> Answer:
        document, failed = read_document(body)
        if failed is not None:
            return failed
        rows = objects_in(document, "data")
        if not 1 <= len(rows) <= most:
            raise UpstreamAnswerError(f"{len(rows)} pictures of {most}")
        images = tuple(_image(row) for row in rows)
        usage = read_token_usage(document)
        if must_say_tokens and usage is None:
            raise UpstreamAnswerError("no token counts")
        counted = replace(usage or Usage(prompt=0, completion=0), images=len(images))
        return answered(Images(images), counted, document.get("id"))

    return read


def _image(row: dict[str, Any]) -> Image:
    try:
        data = b64decode(row.get("b64_json") or "", validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise UpstreamAnswerError("a picture is not base64") from None
    if not data:
        # An address is not followed: it could point anywhere.
        raise UpstreamAnswerError("a picture is missing")
    return Image(data, picture_type(data))
