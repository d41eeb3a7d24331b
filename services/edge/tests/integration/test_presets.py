"""Presets through the real HTTP port."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.domain.errors import NotFoundError
from edge.ports import NewPreset
from edge.preset_cache import PresetCache
from edge.testing.presets import MemoryPresets
from edge.testing.stack import EdgeStack, chat_body
from edge.testing.waiting import eventually
from servicekit.durations import parse_duration
from servicekit.testing import ManualClock, running

SKINS = ("chat/completions", "messages", "responses")


def asked(edge: EdgeStack) -> dict[str, Any]:
    """What the router was asked last."""
    document: dict[str, Any] = json.loads(edge.around.router.requests[-1].request_json)
    return document


def function(name: str, description: str = "") -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description}}


async def save(edge: EdgeStack, slug: str, **members: Any) -> dict[str, Any]:
    body = {"model": "acme/one", "temperature": 0.25, **members}
    answer = await edge.call("POST", f"/presets/{slug}/chat/completions", body)
    assert answer.status == 200, answer.body
    data: dict[str, Any] = answer.document["data"]
    return data


@pytest.mark.parametrize("skin", SKINS)
async def test_a_request_of_each_dialect_is_kept_without_its_text(edge: EdgeStack, skin: str) -> None:
    texts: dict[str, dict[str, Any]] = {
        "chat/completions": {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
        },
        "messages": {"system": "Be brief.", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]},
        "responses": {"instructions": "Be brief.", "input": "Hi"},
    }
    body = {"model": "acme/one", "temperature": 0.25, "stream": True, **texts[skin]}
    answer = await edge.call("POST", f"/presets/mail/{skin}", body)
    assert answer.status == 200, answer.body
    preset = answer.document["data"]
    version = preset["designated_version"]
    assert (preset["slug"], preset["status"], version["version"]) == ("mail", "active", 1)
    assert version["system_prompt"] == "Be brief."
    assert (version["config"]["model"], version["config"]["temperature"]) == ("acme/one", 0.25)
    assert not {"messages", "stream", "input", "instructions"} & version["config"].keys()
    got = await edge.call("GET", "/presets/mail")
    assert got.document["data"] == preset


async def test_a_body_without_its_text_is_kept_as_well(edge: EdgeStack) -> None:
    for skin in SKINS:
        answer = await edge.call("POST", f"/presets/x/{skin}", {"model": "acme/one"})
        assert answer.status == 200, answer.body


async def test_versions_are_kept_and_the_newest_is_used(edge: EdgeStack) -> None:
    await save(edge, "a", top_p=0.5)
    second = await save(edge, "a", top_p=0.25)
    await save(edge, "b")
    assert second["designated_version"]["version"] == 2
    listed = (await edge.call("GET", "/presets")).document
    assert ([each["slug"] for each in listed["data"]], listed["total_count"]) == (["b", "a"], 2)
    versions = (await edge.call("GET", "/presets/a/versions?limit=1")).document
    assert ([each["config"]["top_p"] for each in versions["data"]], versions["total_count"]) == ([0.5], 2)
    first = (await edge.call("GET", "/presets/a/versions/1")).document["data"]
    assert first["config"]["top_p"] == 0.5
    assert (await edge.chat(model="@preset/a")).status == 200
    assert asked(edge)["top_p"] == 0.25
    for path in ("/presets/none", "/presets/none/versions", "/presets/a/versions/3", "/presets/a/versions/x"):
        missing = await edge.call("GET", path)
        assert (missing.status, missing.error["metadata"]["error_type"]) == (404, "not_found")


@pytest.mark.parametrize(
    "naming",
    [{"model": "@preset/mail"}, {"model": None, "preset": "mail"}, {"model": "@preset/mail", "preset": "mail"}],
)
async def test_a_preset_is_put_under_the_request(edge: EdgeStack, naming: dict[str, Any]) -> None:
    tools = [function("look", "old"), function("find")]
    await save(edge, "mail", messages=[{"role": "system", "content": "Be brief."}], top_p=0.5, tools=tools)
    answer = await edge.chat(**naming, temperature=1, tools=[function("look", "new")])
    assert answer.status == 200, answer.body
    document = asked(edge)
    assert (document["model"], document["temperature"], document["top_p"]) == ("acme/one", 1, 0.5)
    assert document["messages"] == [{"role": "system", "content": "Be brief."}, *chat_body()["messages"]]
    assert document["tools"] == [function("find"), function("look", "new")]


async def test_a_model_before_the_preset_wins(edge: EdgeStack) -> None:
    await save(edge, "mail", model="acme/other")
    assert (await edge.chat(model="acme/one@preset/mail")).status == 200
    assert (asked(edge)["model"], asked(edge)["temperature"]) == ("acme/one", 0.25)


@pytest.mark.parametrize(
    ("members", "status", "param"),
    [
        ({"model": "@preset/"}, 400, "model"),
        ({"model": "@preset/a", "preset": "b"}, 400, "preset"),
        ({"preset": ""}, 400, "preset"),
        ({"model": "@preset/unknown"}, 404, None),
    ],
)
async def test_a_preset_that_cannot_be_used_is_refused(
    edge: EdgeStack, members: dict[str, Any], status: int, param: str | None
) -> None:
    answer = await edge.chat(**members)
    assert answer.status == status
    assert answer.error["metadata"].get("param") == param


async def test_s09_a_preset_of_another_organisation_does_not_exist(edge: EdgeStack) -> None:
    await save(edge, "mail")
    other = edge.around.accounts.add_org()
    key, record = edge.around.accounts.add_key(other.org_id)
    await edge.publisher.publish(other, record)
    assert (await edge.chat(model="@preset/mail", key=key)).status == 404
    assert (await edge.call("GET", "/presets/mail", key=key)).status == 404
    assert (await edge.call("GET", "/presets", key=key)).document["data"] == []


async def test_a_known_preset_works_while_accounts_is_down_and_an_unknown_one_is_503(edge: EdgeStack) -> None:
    await save(edge, "mail")
    edge.around.presets.down = True
    assert (await edge.chat(model="@preset/mail")).status == 200
    assert (await edge.chat(model="@preset/other")).status == 503
    assert (await edge.call("GET", "/presets/mail")).status == 503


async def test_what_is_no_request_is_not_kept(edge: EdgeStack) -> None:
    wrong = await edge.call("POST", "/presets/mail/chat/completions", {"temperature": "hot"})
    assert (wrong.status, wrong.error["metadata"]["param"]) == (400, "temperature")
    large = await edge.call("POST", "/presets/mail/chat/completions", {"stop": "x" * 300_000})
    assert large.status == 400


async def test_a_known_preset_never_waits_and_is_looked_at_beside_the_requests() -> None:
    library, clock = MemoryPresets(), ManualClock()
    cache = PresetCache(library, clock, fresh=parse_duration("5s"), stale=parse_duration("60s"))

    async def keep(text: str) -> None:
        await library.save(NewPreset("o", "mail", b"{}", text, "k"))

    async with running(cache):
        await keep("one")
        assert (await cache.get("o", "mail")).system_prompt == "one"
        await keep("two")
        assert (await cache.get("o", "mail")).system_prompt == "one"
        await clock.advance(6)
        # Old, and used at once; the next one is new.
        assert (await cache.get("o", "mail")).system_prompt == "one"
        await eventually(lambda: len(library.asked) == 2)
        assert (await cache.get("o", "mail")).system_prompt == "two"
        await keep("three")
        await clock.advance(61)
        assert (await cache.get("o", "mail")).system_prompt == "three"
        library.down = True
        await clock.advance(61)
        assert (await cache.get("o", "mail")).system_prompt == "three"
        library.down = False
        with pytest.raises(NotFoundError):
            await cache.get("o", "other")
