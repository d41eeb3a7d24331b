"""`/presets`: configurations that an organisation keeps under a name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import msgspec
from aiohttp import web

from dialects.presets import config_of
from edge.api.http.answer import Data, Page
from edge.api.http.bodies import JsonBodies
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.queries import read_query
from edge.api.http.routes import Access, Route
from edge.api.inference.skin import Skin
from edge.api.presets.answers import DesignatedPreset, Preset, PresetVersion, designated_of, preset_of, version_of
from edge.domain.errors import InvalidInputError, NotFoundError
from edge.ports import NewPreset, PresetLibrary
from edge.preset_cache import PresetCache

_encode = msgspec.json.Encoder().encode
_MAX_BYTES: Final = 256 * 1024
_DEFAULT_PAGE: Final = 50
# Of the dialects whose requests can be kept: the id of the operation, and what may be missing because it is not kept.
_KEPT: Final = {
    "/chat/completions": ("createPresetsChatCompletions", "messages"),
    "/messages": ("createPresetsMessages", "messages"),
    "/responses": ("createPresetsResponses", "input"),
}


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of a list."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="records to pass over")] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="records to return, 50 when it is absent")] | None = (
        None
    )


_LIST: Final = Operation(
    id="listPresets", tag="Presets", summary="List presets", query=PageQuery, answer=Page[Preset], errors=(400,)
)
_GET: Final = Operation(id="getPreset", tag="Presets", summary="Get a preset", answer=Data[DesignatedPreset])
_VERSIONS: Final = Operation(
    id="listPresetVersions",
    tag="Presets",
    summary="List the versions of a preset",
    query=PageQuery,
    answer=Page[PresetVersion],
)
_VERSION: Final = Operation(
    id="getPresetVersion", tag="Presets", summary="Get a version of a preset", answer=Data[PresetVersion]
)


class Presets:
    """Serves presets, and keeps them."""

    def __init__(self, skins: Sequence[Skin], library: PresetLibrary, cache: PresetCache, bodies: JsonBodies) -> None:
        """Make the handler.

        Args:
            skins: dialects that requests to keep may be in.
            library: the owner of presets.
            cache: learns what is kept here at once.
            bodies: reads requests.
        """
        self._skins = skins
        self._library = library
        self._cache = cache
        self._bodies = bodies

    def routes(self) -> Sequence[Route]:
        """Say what is answered here."""
        reading = (
            Route("GET", "/presets", Access.ANY_KEY, self.list, _LIST),
            Route("GET", "/presets/{slug}", Access.ANY_KEY, self.get, _GET),
            Route("GET", "/presets/{slug}/versions", Access.ANY_KEY, self.versions, _VERSIONS),
            Route("GET", "/presets/{slug}/versions/{version}", Access.ANY_KEY, self.version, _VERSION),
        )
        return (*reading, *self._keeping())

    def _keeping(self) -> list[Route]:
        routes = []
        for skin in self._skins:
            spoken = skin.route(self.list)
            kept = _KEPT.get(spoken.path)
            if kept is None:
                continue
            operation = Operation(
                id=kept[0],
                tag="Presets",
                summary=f"Keep a request of POST {spoken.path} as a preset",
                body=spoken.operation.body,
                answer=Data[DesignatedPreset],
                errors=(404, 409),
            )
            handler = partial(self._save, skin, kept[1])
            routes.append(Route("POST", f"/presets/{{slug}}{spoken.path}", Access.ANY_KEY, handler, operation))
        return routes

    async def list(self, exchange: Exchange) -> web.StreamResponse:
        """List the presets of the caller's organisation, the last changed first."""
        query = read_query(exchange.request, PageQuery)
        org_id = exchange.principal.org.org_id
        listed = await self._library.list(org_id, query.offset or 0, query.limit or _DEFAULT_PAGE)
        page = Page(data=[preset_of(each) for each in listed.presets], total_count=listed.total_count)
        return exchange.json(_encode(page))

    async def get(self, exchange: Exchange) -> web.StreamResponse:
        """Return a preset with its designated version."""
        preset = await self._library.get(exchange.principal.org.org_id, exchange.params["slug"])
        return exchange.json(_encode(Data(data=designated_of(preset))))

    async def versions(self, exchange: Exchange) -> web.StreamResponse:
        """List the versions of a preset, the oldest first."""
        query = read_query(exchange.request, PageQuery)
        org_id, slug = exchange.principal.org.org_id, exchange.params["slug"]
        listed = await self._library.versions(org_id, slug, query.offset or 0, query.limit or _DEFAULT_PAGE)
        page = Page(data=[version_of(each) for each in listed.versions], total_count=listed.total_count)
        return exchange.json(_encode(page))

    async def version(self, exchange: Exchange) -> web.StreamResponse:
        """Return one version of a preset.

        Raises:
            NotFoundError: there is none of this number.
        """
        number = exchange.params["version"]
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            raise NotFoundError("Preset version not found")
        version = await self._library.version(exchange.principal.org.org_id, exchange.params["slug"], int(number))
        return exchange.json(_encode(Data(data=version_of(version))))

    async def _save(self, skin: Skin, text_member: str, exchange: Exchange) -> web.StreamResponse:
        """Keep what a request has besides its text.

        Raises:
            InvalidInputError: the body is no JSON object, or too large to be kept.
            InvalidRequestError: it is not valid.
        """
        body = await self._bodies.read(exchange.request)
        request = skin.decode(_with_text(body, text_member), exchange.request.headers)
        config, prompt = config_of(request.chat)
        encoded = _encode(config)
        if len(encoded) > _MAX_BYTES:
            raise InvalidInputError(f"A preset has at most {_MAX_BYTES} bytes")
        principal = exchange.principal
        preset = await self._library.save(
            NewPreset(
                principal.org.org_id, exchange.params["slug"], encoded, prompt, principal.key.key_id, exchange.actor
            )
        )
        self._cache.learn(preset)
        return exchange.json(_encode(Data(data=designated_of(preset))))


def _with_text(body: bytes, member: str) -> bytes:
    """The text of the request is not kept, so it may be missing; what reads the request wants some."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The dialect says what is wrong with it.
        return body
    if not isinstance(document, dict) or document.get(member):
        return body
    document[member] = "-" if member == "input" else [{"role": "user", "content": "-"}]
    return _encode(document)
