"""Documents of a request, read and put into words; and what a caller may send back so that they are not read again.

Source of the annotation's form: recorded answers of OpenRouter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dialects.chat import ChatRequest, FilePart
from dialects.errors import InvalidRequestError

_PDF: Final = b"%PDF-"
# The mark may come after some rubbish, as readers of PDFs accept.
_HEAD_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Document:
    """A PDF in a request.

    Attributes:
        message, part: where it is.
        name: as the caller calls it.
        hash: SHA-256 of its bytes in hexadecimal: what an annotation names it by.
    """

    message: int
    part: int
    name: str
    data: bytes = field(repr=False)
    hash: str

    @property
    def param(self) -> str:
        """Path of the member that holds it."""
        return f"messages[{self.message}].content[{self.part}].file.file_data"


def documents_of(request: ChatRequest) -> list[Document]:
    """Find the PDFs that come within the request. What is only an address, or no PDF, is not among them.

    Raises:
        InvalidRequestError: one is not valid base64.
    """
    found: list[Document] = []
    for number, message in enumerate(request.body.messages):
        if message.content is None or isinstance(message.content, str):
            continue
        for place, part in enumerate(message.content):
            if not isinstance(part, FilePart) or not part.file.file_data:
                continue
            param = f"messages[{number}].content[{place}].file.file_data"
            data = _bytes_of(part.file.file_data, param)
            if data is not None and _PDF in data[:_HEAD_BYTES]:
                digest = hashlib.sha256(data).hexdigest()
                found.append(Document(number, place, part.file.filename or "document.pdf", data, digest))
    return found


def known_texts(request: ChatRequest) -> dict[str, list[str]]:
    """The texts of documents that an earlier answer's annotations hold, by hash."""
    found: dict[str, list[str]] = {}
    for message in request.document["messages"]:
        annotations = message.get("annotations") if isinstance(message, Mapping) else None
        for annotation in annotations if isinstance(annotations, list) else ():
            file = annotation.get("file") if isinstance(annotation, Mapping) else None
            if not isinstance(file, Mapping) or not isinstance(file.get("hash"), str):
                continue
            content = file.get("content")
            parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
            texts = [part["text"] for part in parts if isinstance(part.get("text"), str)]
            if texts:
                found[file["hash"]] = texts
    return found


def with_texts(request: ChatRequest, texts: Mapping[tuple[int, int], Sequence[str]]) -> ChatRequest:
    """Put texts where documents were; the names of the texts are the places of the documents."""
    messages = [dict(message) for message in request.document["messages"]]
    for number in {place[0] for place in texts}:
        content: list[Any] = []
        for place, part in enumerate(messages[number]["content"]):
            replacement = texts.get((number, place))
            content += [part] if replacement is None else [{"type": "text", "text": text} for text in replacement]
        messages[number]["content"] = content
    return request.with_members({"messages": messages})


def framed(name: str, text: str) -> list[str]:
    """A document's text as a model gets it."""
    label = "".join(character for character in name if character.isprintable() and character not in '<>"')
    return [f'<file name="{label}">', text, "</file>"]


def annotation(document: Document, texts: Sequence[str]) -> dict[str, Any]:
    """What the answer says of a document that was read."""
    content = [{"type": "text", "text": text} for text in texts]
    return {"type": "file", "file": {"hash": document.hash, "name": document.name, "content": content}}


def _bytes_of(address: str, param: str) -> bytes | None:
    if address[:5].lower() == "data:":
        head, comma, data = address[5:].partition(",")
        if not comma or ";base64" not in head.lower():
            return None
    elif address.startswith("JVBERi0"):
        # Some clients send the base64 of a PDF without the head of a data URL.
        data = address
    else:
        return None
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError(f"{param}: not valid base64", param) from None
