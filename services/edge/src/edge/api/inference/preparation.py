"""What happens to a request between its dialect and the router: presets, checks of its attachments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dialects.images import check_images
from dialects.presets import CACHE_MEMBERS, preset_use, with_preset
from edge.api.inference.skin import SkinRequest
from edge.domain.principal import Principal
from edge.preset_cache import PresetCache


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as the router gets it.

    Attributes:
        request: in its dialect.
        cache_wishes: what the preset says of the cache of answers.
    """

    request: SkinRequest
    cache_wishes: Mapping[str, Any]


class Preparation:
    """Prepares requests."""

    def __init__(self, presets: PresetCache) -> None:
        """Make the stage.

        Args:
            presets: those that requests may name.
        """
        self._presets = presets

    async def prepare(self, principal: Principal, request: SkinRequest) -> Prepared:
        """Prepare a request.

        Raises:
            InvalidRequestError: it is not valid.
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
        return Prepared(request, wishes)
