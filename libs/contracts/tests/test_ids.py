from __future__ import annotations

from random import Random
from uuid import UUID, uuid5

import pytest

from contracts import ids


def test_generation_id_has_the_public_form_and_reads_back() -> None:
    generation_id = ids.new_generation_id(1_795_514_400, Random(7))
    assert generation_id.startswith("gen-1795514400-")
    assert len(generation_id.rsplit("-", 1)[1]) == 20
    assert ids.parse_generation_id(generation_id) == generation_id


@pytest.mark.parametrize(
    "text",
    ["", "gen-1-short", "gen--aaaaaaaaaaaaaaaaaaaa", "gen-1-aaaaaaaaaaaaaaaaaaa/", "GEN-1-aaaaaaaaaaaaaaaaaaaa\n"],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a generation id"):
        ids.parse_generation_id(text)


def test_usage_event_id_is_the_same_for_every_repeat_and_never_changes() -> None:
    # The literal pins the namespace: with another one a replayed spool would be counted twice.
    assert ids.usage_event_id("gen-1795514400-0hVb3n8QkZr2LxTd7WyA") == "a75614b4-ce3f-5c85-b583-93162479c014"


def test_usage_event_id_is_the_version_5_uuid_of_the_generation_id() -> None:
    namespace = UUID("6f0d1f52-5b0e-5f0c-9a51-7c1d6f0b8f21")
    for seconds in range(500):  # far more than there are variants
        generation_id = ids.new_generation_id(seconds, Random(seconds))
        assert ids.usage_event_id(generation_id) == str(uuid5(namespace, generation_id))
