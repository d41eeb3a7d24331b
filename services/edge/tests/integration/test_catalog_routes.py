"""Models and endpoints, unknown paths and methods."""

from __future__ import annotations

import pytest

from edge.settings import RouterSettings
from edge.testing.router import model
from edge.testing.stack import EdgeStack, OpenEdge, chat_body
from edge.testing.waiting import eventually


async def test_models_need_no_key_and_have_openrouters_members(edge: EdgeStack) -> None:
    answer = await edge.call("GET", "/models", key="")
    assert answer.status == 200
    document = answer.document
    (row,) = document["data"]
    assert (row["id"], row["canonical_slug"], row["context_length"]) == ("acme/one", "acme/one-20260101", 8192)
    assert row["pricing"] == {"prompt": "0.000001", "completion": "0.000002"}
    assert row["architecture"]["input_modalities"] == ["text"]
    assert row["supported_parameters"] == ["max_tokens", "temperature"]
    assert (document["total_count"], document["links"]) == (1, {"next": None})


async def test_endpoints_of_a_model(edge: EdgeStack) -> None:
    data = (await edge.call("GET", "/models/acme/one/endpoints", key="")).document["data"]
    (endpoint,) = data["endpoints"]
    assert (endpoint["provider_name"], endpoint["tag"], endpoint["quantization"]) == ("Acme", "acme", "fp8")
    assert endpoint["pricing"]["completion"] == "0.000002"
    assert endpoint["max_completion_tokens"] == 2048
    same = (await edge.call("GET", "/models/acme/one-20260101/endpoints")).document["data"]
    assert same == data
    suffixed = (await edge.call("GET", "/models/acme/one:nitro/endpoints")).document["data"]
    assert suffixed == data
    without = (await edge.call("GET", "/models/acme/one:free/endpoints")).document["data"]
    assert without["endpoints"] == []
    single = (await edge.call("GET", "/model/acme/one")).document["data"]
    assert single["id"] == "acme/one"


async def test_what_cannot_be_served_is_not_among_the_models_but_its_price_can_be_seen(edge: EdgeStack) -> None:
    router = edge.around.router
    router.models = [model(), model("acme/two", routable=False), model("acme/three")]
    router.version = "2"

    async def listed() -> list[str]:
        return [row["id"] for row in (await edge.call("GET", "/models")).document["data"]]

    async def is_new() -> bool:
        return await listed() == ["acme/one", "acme/three"]

    await eventually(is_new)
    (endpoint,) = (await edge.call("GET", "/models/acme/two/endpoints")).document["data"]["endpoints"]
    assert (endpoint["status"], endpoint["pricing"]["prompt"]) == (-10, "0.000001")
    (usable,) = (await edge.call("GET", "/models/acme/one/endpoints")).document["data"]["endpoints"]
    assert usable["status"] == 0
    assert (await edge.call("GET", "/model/acme/two")).status == 404
    assert (await edge.call("GET", "/models/acme/nothing/endpoints")).status == 404


async def test_models_come_in_pages_when_asked_for(edge: EdgeStack) -> None:
    edge.around.router.models = [model(f"acme/{name}") for name in "abcde"]
    edge.around.router.version = "2"

    async def has_five() -> bool:
        return len((await edge.call("GET", "/models")).document["data"]) == 5

    await eventually(has_five)
    first = (await edge.call("GET", "/models?limit=2")).document
    assert [row["id"] for row in first["data"]] == ["acme/a", "acme/b"]
    assert first["total_count"] == 5
    base = edge.url.removesuffix("/api/v1")
    second = (await edge.call("GET", base + first["links"]["next"])).document
    last = (await edge.call("GET", base + second["links"]["next"])).document
    assert [row["id"] for row in last["data"]] == ["acme/e"]
    assert last["links"]["next"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "offset=1&offset=2"])
async def test_a_bad_page_is_400(query: str, edge: EdgeStack) -> None:
    answer = await edge.call("GET", f"/models?{query}")
    assert answer.status == 400
    assert answer.error["metadata"]["param"] == query.partition("=")[0]


async def test_models_are_served_while_the_router_is_away_once_they_were_seen(open_edge: OpenEdge) -> None:
    edge = await open_edge()
    assert (await edge.call("GET", "/models")).status == 200
    edge.around.router.down = True
    listed = edge.around.router.listed
    await eventually(lambda: edge.around.router.listed > listed + 1)
    assert (await edge.call("GET", "/models")).status == 200


async def test_without_any_catalogue_everything_that_needs_one_is_503(open_edge: OpenEdge) -> None:
    edge = await open_edge(router=RouterSettings(target="127.0.0.1:1"))
    for answer in (
        await edge.call("GET", "/models"),
        await edge.call("GET", "/models/acme/one/endpoints"),
        await edge.chat(),
        await edge.chat(stream=True),
    ):
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "", 404, None),
        ("GET", "/models/", 404, None),
        ("GET", "/models/nobody/nothing/endpoints", 404, None),
        ("GET", "/models//one/endpoints", 404, None),
        ("GET", "/models/acme/one/endpoints/x", 404, None),
        ("GET", "/chat/completions", 405, "POST"),
        ("PUT", "/models", 405, "GET, HEAD"),
        ("OPTIONS", "/chat/completions", 405, "POST"),
        ("PUT", "/keys/x", 405, "DELETE, GET, PATCH, HEAD"),
    ],
)
async def test_unknown_paths_and_methods(
    method: str, path: str, status: int, allow: str | None, edge: EdgeStack
) -> None:
    answer = await edge.call(method, path)
    assert answer.status == status
    assert answer.error
    assert answer.headers.get("Allow") == allow


async def test_head_is_answered_where_get_is(edge: EdgeStack) -> None:
    answer = await edge.call("HEAD", "/models")
    assert (answer.status, answer.body) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


async def test_the_same_api_is_under_v1(edge: EdgeStack) -> None:
    base = edge.url.removesuffix("/api/v1") + "/v1"
    assert (await edge.call("GET", base + "/models")).document == (await edge.call("GET", "/models")).document
    answer = await edge.call("POST", base + "/chat/completions", chat_body())
    assert answer.document["choices"][0]["message"]["content"] == "Hello world"


async def test_s36_no_origin_is_allowed_to_read_answers(edge: EdgeStack) -> None:
    answer = await edge.call("GET", "/models", headers={"Origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
