"""Documents of requests, put into words for models that read none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dialects.chat import ChatBody, ChatRequest, FilePart
from dialects.documents import Document, annotation, documents_of, framed, known_texts, with_texts
from dialects.plugins import Plugins
from edge.catalog import CatalogMirror
from edge.domain.errors import InvalidInputError
from edge.ports import DocumentTexts

_MAX_DOCUMENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """A request whose documents were read.

    Attributes:
        request: with their texts in their places.
        annotations: of those that were read now, and not taken from an earlier answer.
        figures: documents and pages that were read, for whoever wants to know.
    """

    request: ChatRequest
    annotations: Sequence[dict[str, Any]] = field(default=(), repr=False)
    figures: Mapping[str, int] = field(default_factory=dict)


class DocumentReading:
    """Reads documents where the model cannot, or the caller wants it."""

    def __init__(self, texts: DocumentTexts, mirror: CatalogMirror) -> None:
        """Make the use case.

        Args:
            texts: reads a document.
            mirror: knows what models read.
        """
        self._texts = texts
        self._mirror = mirror

    async def read(self, request: ChatRequest, plugins: Plugins) -> Reading:
        """Read the documents of a request.

        Raises:
            InvalidInputError: one cannot be read; names it.
            InvalidRequestError: one is not valid.
            BusyError: too many documents are being read.
        """
        if not plugins.parses_files or plugins.pdf_engine == "native" or not _has_files(request.body):
            return Reading(request)
        if plugins.pdf_engine is None and self._is_read_by_models(request.body):
            return Reading(request)
        documents = documents_of(request)
        if len(documents) > _MAX_DOCUMENTS:
            raise InvalidInputError(f"messages: at most {_MAX_DOCUMENTS} documents", "messages")
        if not documents:
            return Reading(request)
        known = known_texts(request)
        places: dict[tuple[int, int], Sequence[str]] = {}
        annotations: list[dict[str, Any]] = []
        pages = 0
        for document in documents:
            texts = known.get(document.hash)
            if texts is None:
                texts, count = await self._read(document)
                pages += count
                known[document.hash] = texts
                annotations.append(annotation(document, texts))
            places[document.message, document.part] = texts
        figures = {"documents": len(documents), "read": len(annotations), "pages": pages}
        return Reading(with_texts(request, places), annotations, figures)

    async def _read(self, document: Document) -> tuple[list[str], int]:
        try:
            found = await self._texts.read(document.data)
        except InvalidInputError as error:
            raise InvalidInputError(f"{document.param}: {error}", document.param) from None
        return framed(document.name, found.text), found.pages

    def _is_read_by_models(self, body: ChatBody) -> bool:
        """Whether every model that may answer reads documents itself."""
        catalog = self._mirror.catalog
        if catalog is None:
            return False
        models = [catalog.find(slug) for slug in (body.model, *(body.models or ())) if slug]
        return bool(models) and all(model is not None and "file" in model.input_modalities for model in models)


def _has_files(body: ChatBody) -> bool:
    return any(
        isinstance(part, FilePart)
        for message in body.messages
        if message.content is not None and not isinstance(message.content, str)
        for part in message.content
    )
