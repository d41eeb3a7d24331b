"""What can be known to be wrong with the images of a request without fetching anything and without decoding a pixel."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from contracts.error_types import ErrorType
from dialects.chat import ChatBody, ImagePart
from dialects.errors import InvalidRequestError

# What the media types that some model reads begin with. None: the container is not looked into.
_BEGINNINGS: Final = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/jpg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "image/bmp": (b"BM",),
    "image/tiff": (b"II*\x00", b"MM\x00*"),
    "image/avif": None,
    "image/heic": None,
    "image/heif": None,
}
# The longest edge that any model reads; a header that states more is a bomb or a mistake. Source: Anthropic (8,000), OpenAI
# and Gemini scale larger ones down; twice the strictest is refused here, and the rest is for the provider to say.
MAX_EDGE: Final = 16_384
# Base64 of the longest beginning that is looked at, in whole quanta.
_HEAD_LENGTH: Final = 64


def check_images(body: ChatBody) -> None:
    """Check every image of a request.

    Raises:
        InvalidRequestError: one cannot be read by any model; `error_type` says what is wrong with it.
    """
    for number, message in enumerate(body.messages):
        if message.content is None or isinstance(message.content, str):
            continue
        for place, part in enumerate(message.content):
            if isinstance(part, ImagePart):
                _check(part.image_url.url, f"messages[{number}].content[{place}].image_url.url")


def _check(url: str, param: str) -> None:
    scheme = url[:8].lower()
    if scheme.startswith("https://"):
        return
    if scheme.startswith("http://"):
        raise _refusal("providers fetch https addresses only", param, ErrorType.IMAGE_DOWNLOAD_FAILED)
    if not scheme.startswith("data:"):
        raise _refusal("neither an https address nor a data URL", param, ErrorType.INVALID_IMAGE)
    head, comma, data = url[5:].partition(",")
    media_type, _, parameters = head.lower().partition(";")
    if not comma or "base64" not in parameters.split(";"):
        raise _refusal("a data URL of an image is data:image/<format>;base64,<data>", param, ErrorType.INVALID_IMAGE)
    if media_type not in _BEGINNINGS:
        raise _refusal(
            "the format is none of png, jpeg, gif, webp, bmp, tiff, avif, heic and heif",
            param,
            ErrorType.UNSUPPORTED_IMAGE_FORMAT,
        )
    _check_content(media_type, data, param)


def _check_content(media_type: str, data: str, param: str) -> None:
    try:
        # The whole of it is decoded only to see that it is base64; the copy is gone at once.
        size = len(base64.b64decode(data, validate=True))
        head = base64.b64decode(data[:_HEAD_LENGTH])
    except (binascii.Error, ValueError):
        raise _refusal("not valid base64", param, ErrorType.INVALID_IMAGE) from None
    beginnings = _BEGINNINGS[media_type]
    if not size or (beginnings is not None and not head.startswith(beginnings)):
        raise _refusal("the data is not of the format that its media type names", param, ErrorType.INVALID_IMAGE)
    edges = _edges(head)
    if edges is None:
        return
    if min(edges) < 1:
        raise _refusal("the image has no pixels", param, ErrorType.IMAGE_TOO_SMALL)
    if max(edges) > MAX_EDGE:
        raise _refusal(f"the image has more than {MAX_EDGE} pixels on an edge", param, ErrorType.IMAGE_TOO_LARGE)


def _edges(head: bytes) -> tuple[int, int] | None:
    """Width and height where the first bytes state them."""
    if head.startswith(b"\x89PNG") and head[12:16] == b"IHDR" and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith(b"GIF8") and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    return None


def _refusal(complaint: str, param: str, error_type: ErrorType) -> InvalidRequestError:
    return InvalidRequestError(f"{param}: {complaint}", param, error_type)
