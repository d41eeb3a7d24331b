"""The `plugins` of a request: which are known, which have an effect here, and what they ask for.

Source of names and members: OpenRouter's published API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from contracts.error_types import ErrorType
from dialects.chat import ChatBody
from dialects.errors import InvalidRequestError

PdfEngine = Literal["text", "native"]

_FILE_PARSER: Final = "file-parser"
_HEALING: Final = "response-healing"
_COMPRESSION: Final = "context-compression"
_OFFERED: Final = frozenset({_FILE_PARSER, _HEALING, _COMPRESSION})
# They tune models that choose among models, which are not on offer; a request that names one is refused for that.
_WITHOUT_EFFECT: Final = frozenset({"auto-router", "auto-beta-router", "pareto-router"})
# Leaving these out in silence would give an answer that is not what was asked for.
_REFUSED: Final = {
    "web": "web search is not offered here",
    "web-fetch": "fetching pages is not offered here",
    "moderation": "moderation is not offered here",
    "fusion": "fusion is not offered here",
    "alignment": "alignment is not offered here",
}
_MIDDLE_OUT: Final = "middle-out"
# Every engine that reads a PDF's text is one here; `native` hands the document to the model.
_ENGINES: Final[Mapping[str, PdfEngine]] = {
    "pdf-text": "text", "cloudflare-ai": "text", "mistral-ocr": "text", "native": "native",
}  # fmt: skip
_ONLINE: Final = ":online"


@dataclass(frozen=True, slots=True)
class Plugins:
    """What a request asks for.

    Attributes:
        pdf_engine: how documents are read; None where the request does not say.
        parses_files: whether documents may be read at all.
        heals: whether a broken JSON answer is mended.
    """

    pdf_engine: PdfEngine | None = None
    parses_files: bool = True
    heals: bool = False


def plugins_of(body: ChatBody) -> Plugins:
    """Read the plugins of a request.

    Raises:
        InvalidRequestError: one is not known, not offered, or has a member that is wrong; or a model's name asks for a web search.
    """
    for name, slugs in (("model", [body.model]), ("models", body.models or [])):
        if any(slug is not None and slug.endswith(_ONLINE) for slug in slugs):
            raise InvalidRequestError(f"{name}: {_REFUSED['web']}, so there is no {_ONLINE}", name)
    engine: PdfEngine | None = None
    parses, heals = True, False
    for number, plugin in enumerate(body.plugins or ()):
        where = f"plugins[{number}]"
        kind, enabled = _kind(plugin, where), _enabled(plugin, where)
        if kind == _FILE_PARSER:
            parses = enabled
            engine = _engine(plugin, where)
        elif kind == _HEALING:
            heals = enabled
        elif kind == _COMPRESSION:
            _check_compression(plugin, where)
        elif kind in _REFUSED and enabled:
            error_type = ErrorType.PERMISSION_DENIED if kind == "alignment" else ErrorType.INVALID_REQUEST
            raise InvalidRequestError(f"{where}.id: {_REFUSED[kind]}", f"{where}.id", error_type)
    return Plugins(engine, parses, heals)


def _kind(plugin: Mapping[str, Any], where: str) -> str:
    kind = plugin.get("id")
    if not isinstance(kind, str):
        raise InvalidRequestError(f"{where}.id: required", f"{where}.id")
    if kind not in _OFFERED and kind not in _WITHOUT_EFFECT and kind not in _REFUSED:
        raise InvalidRequestError(f"{where}.id: not the id of a plugin", f"{where}.id")
    return kind


def _enabled(plugin: Mapping[str, Any], where: str) -> bool:
    enabled = plugin.get("enabled")
    if enabled is not None and not isinstance(enabled, bool):
        raise InvalidRequestError(f"{where}.enabled: expected boolean", f"{where}.enabled")
    return enabled is not False


def _engine(plugin: Mapping[str, Any], where: str) -> PdfEngine | None:
    options = plugin.get("pdf")
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise InvalidRequestError(f"{where}.pdf: expected object", f"{where}.pdf")
    engine = options.get("engine")
    if engine is None:
        return None
    found = _ENGINES.get(engine) if isinstance(engine, str) else None
    if found is None:
        raise InvalidRequestError(f"{where}.pdf.engine: not one of {', '.join(_ENGINES)}", f"{where}.pdf.engine")
    return found


def _check_compression(plugin: Mapping[str, Any], where: str) -> None:
    if plugin.get("engine", _MIDDLE_OUT) not in (None, _MIDDLE_OUT):
        raise InvalidRequestError(f"{where}.engine: expected {_MIDDLE_OUT}", f"{where}.engine")
