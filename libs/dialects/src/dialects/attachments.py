"""Images, recordings, videos and documents of a request, as most providers want them: base64, or an address."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes, urlsplit

from dialects.errors import UnsupportedRequestError

_HEAD = re.compile(
    r"data:(?P<media_type>[\w.+-]+/[\w.+-]+)?(?P<parameters>(?:;[\w.+=\"-]+)*),", re.ASCII | re.IGNORECASE
)
# No address has a longer head; a pattern over megabytes of base64 would be slow.
_MAX_HEAD = 256
# What a PDF begins with, in base64: some clients send a document without the head of a data URL.
_PDF_BASE64 = "JVBERi0"
_MEDIA_TYPES = {
    "aac": "audio/aac",
    "aiff": "audio/aiff",
    "avif": "image/avif",
    "csv": "text/csv",
    "flac": "audio/flac",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
    "xml": "text/xml",
}
_FORMAT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,31}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One of `base64` and `url` is empty.

    Attributes:
        media_type: in lower case, without parameters; empty when it is not known.
        base64: its bytes, in standard base64.
        url: an https address that a provider may fetch.
    """

    media_type: str
    base64: str = field(default="", repr=False)
    url: str = field(default="", repr=False)


def read_attachment(url: str, what: str) -> Attachment:
    """Read an address of an attachment: a data URL, the bare base64 of a PDF, or an https address.

    Args:
        url: the address.
        what: what it is, for the error's message, such as `image`.

    Raises:
        UnsupportedRequestError: it is none of these.
    """
    match = _HEAD.match(url[:_MAX_HEAD])
    if match is not None:
        media_type = (match["media_type"] or "text/plain").lower()
        content = url[match.end() :]
        if ";base64" in match["parameters"].lower():
            return Attachment(media_type, base64=content)
        return Attachment(media_type, base64=base64.b64encode(unquote_to_bytes(content)).decode())
    if url[:8].lower() == "https://":
        return Attachment(_media_type_of(url), url=url)
    if url.startswith(_PDF_BASE64):
        return Attachment("application/pdf", base64=url)
    raise UnsupportedRequestError(f"the address of the {what} is neither https nor a data URL")


def recording(data: str, format: str) -> Attachment:
    """Make an attachment of the base64 of a recording in a format such as `wav`.

    Raises:
        UnsupportedRequestError: the format is no word.
    """
    if not _FORMAT.fullmatch(format):
        raise UnsupportedRequestError("the format of the recording is not known")
    return Attachment(_MEDIA_TYPES.get(format.lower(), f"audio/{format.lower()}"), base64=data)


def _media_type_of(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        raise UnsupportedRequestError("the address of an attachment is not valid") from None
    return _MEDIA_TYPES.get(path.rpartition(".")[2].lower(), "")
