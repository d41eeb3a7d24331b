"""What happens to a request between its dialect and the router: presets, plugins, checks of its attachments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dialects.healing import wants_json
from dialects.images import check_images
from dialects.plugins import plugins_of
from dialects.presets import CACHE_MEMBERS, preset_use, with_preset
from edge.api.inference.amendments import Amendments, Stage
from edge.api.inference.chat.skin import ChatSkinRequest
from edge.api.inference.skin import SkinRequest
from edge.document_reading import DocumentReading, Reading
from edge.domain.principal import Principal
from edge.preset_cache import PresetCache


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the router gets it.

    Attributes:
        request: in its dialect.
        cache_wishes: what the preset says of the cache of answers.
        amendments: what is added to the answer.
    """

    request: SkinRequest
    cache_wishes: Mapping[str, Any]
    amendments: Amendments


class Preparation:
    """Prepares requests."""

    def __init__(self, presets: PresetCache, documents: DocumentReading) -> None:
        """Make the stage.

        Args:
            presets: those that requests may name.
            documents: reads those of requests.
        """
        self._presets = presets
        self._documents = documents

    async def prepare(self, principal: Principal, request: SkinRequest) -> Prepared:
        """Prepare a request.

        Raises:
            InvalidRequestError: it is not valid.
            InvalidInputError: a document in it cannot be read.
            NotFoundError: it names a preset that is not there.
            DependencyError: it names a preset that nobody can say anything of.
        """
        wishes: dict[str, Any] = {}
        use = preset_use(request.chat)
        if use is not None:
            preset = await self._presets.get(principal.org.org_id, use.slug)
            config = preset.config or {}
            request = request.with_chat(with_preset(request.chat, use, config, preset.system_prompt))
            wishes = {name: config[name] for name in CACHE_MEMBERS if name in config}
        check_images(request.chat.body)
        plugins = plugins_of(request.chat.body)
        reading = await self._documents.read(request.chat, plugins)
        if reading.figures:
            request = request.with_chat(reading.request)
        heals = plugins.heals and not request.streamed and wants_json(request.chat.body)
        # Only a chat completion has a place for what a document says.
        annotations = reading.annotations if isinstance(request, ChatSkinRequest) else ()
        return Prepared(request, wishes, Amendments(_stages(reading), annotations, heals))


def _stages(reading: Reading) -> tuple[Stage, ...]:
    if not reading.figures:
        return ()
    figures = dict(reading.figures)
    return (Stage("plugin", "file-parser", f"Documents put into words: {figures['documents']}", figures),)
