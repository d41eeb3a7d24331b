"""What every PresetLibrary does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack

import grpc
import pytest

from edge.adapters.preset_library import GrpcPresetLibrary
from edge.domain.errors import DependencyError, NotFoundError
from edge.ports import NewPreset, PresetLibrary
from edge.testing.presets import MemoryPresets, register_presets
from servicekit.durations import parse_duration
from servicekit.testing import run_servicer


@pytest.fixture
def presets() -> MemoryPresets:
    return MemoryPresets()


@pytest.fixture
async def library(kind: str, presets: MemoryPresets, opened: AsyncExitStack) -> PresetLibrary:
    if kind == "double":
        return presets

    def register(server: grpc.aio.Server) -> Sequence[str]:
        register_presets(server, presets)
        return []

    return GrpcPresetLibrary(await opened.enter_async_context(run_servicer(register)), parse_duration("20s"))


def new(slug: str = "mail", prompt: str | None = "Be brief.") -> NewPreset:
    return NewPreset("org-1", slug, b'{"model":"acme/one"}', prompt, "key-1")


async def test_what_is_kept_is_found_with_all_its_versions(library: PresetLibrary) -> None:
    await library.save(new())
    kept = await library.save(new(prompt=None))
    assert (kept.designated.version, kept.designated.HasField("system_prompt")) == (2, False)
    assert await library.get("org-1", "mail") == kept
    first = await library.version("org-1", "mail", 1)
    assert (first.system_prompt, first.config_json, first.creator_id) == ("Be brief.", b'{"model":"acme/one"}', "key-1")
    listed = await library.versions("org-1", "mail", 0, 1)
    assert (list(listed.versions), listed.total_count) == ([first], 2)
    await library.save(new("other"))
    page = await library.list("org-1", 0, 10)
    assert ([preset.slug for preset in page.presets], page.total_count) == (["other", "mail"], 2)
    assert (await library.list("org-2", 0, 10)).total_count == 0


async def test_what_is_not_there_is_said_to_be_so(library: PresetLibrary) -> None:
    await library.save(new())
    for call in (
        library.get("org-1", "none"),
        library.get("org-2", "mail"),
        library.versions("org-1", "none", 0, 1),
        library.version("org-1", "mail", 2),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_a_library_that_does_not_answer_is_a_dependency_that_is_away(
    library: PresetLibrary, presets: MemoryPresets
) -> None:
    presets.down = True
    with pytest.raises(DependencyError):
        await library.get("org-1", "mail")
