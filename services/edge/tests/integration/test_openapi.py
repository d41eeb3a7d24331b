"""The description of the API, as it is served."""

from __future__ import annotations

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from edge.testing.stack import EdgeStack


async def test_the_document_is_served_below_each_prefix_and_at_the_root(edge: EdgeStack) -> None:
    root = edge.url.removesuffix("/api/v1")
    documents = [
        (await edge.call("GET", root + path, key="")).document
        for path in ("/openapi.json", "/v1/openapi.json", "/api/v1/openapi.json")
    ]
    assert documents[0] == documents[1] == documents[2]
    assert documents[0]["openapi"] == "3.1.0"


async def test_every_operation_says_what_it_is(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len(operations) >= 10
    for operation in operations:
        assert operation["summary"]
        assert not operation["summary"].endswith(".")
        assert operation["tags"]
        assert operation["responses"]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)


async def test_s40_every_page_of_a_list_is_bounded(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    bounds = {
        (path, parameter["name"]): parameter["schema"].get("maximum")
        for path, methods in document["paths"].items()
        for operation in methods.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and parameter["name"] in ("limit", "offset")
    }
    assert len(bounds) > 20
    for (path, name), most in bounds.items():
        assert most is not None, (path, name)
        assert most <= (1_000 if name == "limit" else 10**9), (path, name)


async def test_s41_no_operation_tries_out_or_runs_what_a_caller_sends(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    for path in document["paths"]:
        assert not {"test", "eval", "exec", "run", "execute", "render", "proxy", "plugin", "plugins", "debug"} & set(
            path.split("/")
        )


async def test_what_validates_a_request_is_what_describes_it(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    create = document["paths"]["/chat/completions"]["post"]
    reference = create["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    body = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert body["required"] == ["messages"]
    (temperature, _) = body["properties"]["temperature"]["anyOf"]
    assert (await edge.chat(temperature=temperature["maximum"])).status == 200
    refused = await edge.chat(temperature=temperature["maximum"] + 1)
    assert (refused.status, refused.error["metadata"]["param"]) == (400, "temperature")
    (parameter,) = [each for each in document["paths"]["/models"]["get"]["parameters"] if each["name"] == "limit"]
    assert (await edge.call("GET", f"/models?limit={parameter['schema']['maximum']}")).status == 200
    assert (await edge.call("GET", f"/models?limit={parameter['schema']['maximum'] + 1}")).status == 400


async def test_an_answer_that_is_not_as_described_is_noticed(edge: EdgeStack) -> None:
    check = edge.conformance.check
    good = (await edge.call("GET", "/models")).body
    check("GET", "/v1/models", 200, "application/json", good)
    with pytest.raises(AssertionError, match="answered 418"):
        check("GET", "/v1/models", 418, "application/json", good)
    with pytest.raises(AssertionError, match="text/plain"):
        check("GET", "/v1/models", 200, "text/plain", good)
    with pytest.raises(AssertionError, match="not of the type"):
        check("GET", "/v1/models", 200, "application/json", good.replace(b'"total_count"', b'"total"'))
    with pytest.raises(AssertionError, match="not of the type"):
        check("GET", "/v1/models", 200, "application/json", good.replace(b'"links":{', b'"links":{"more":1,', 1))


class _Reader(HTMLParser):
    """Notes what a page holds: tags, the addresses that it fetches or leads to, its own anchors and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        members = dict(attrs)
        self.fetched.extend(value for name, value in attrs if name in ("src", "srcset", "data", "action") and value)
        if tag == "link":
            self.fetched.append(members.get("href") or "")
        if tag == "a":
            self.links.append(members.get("href") or "")
        if members.get("id"):
            self.anchors.append(members["id"] or "")
        assert not [name for name, _ in attrs if name == "style" or name.startswith("on")]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["style"] and data.strip():
            self.styles.append(data)
            self.tags.append("/style")


async def test_the_page_stands_alone_and_leads_nowhere_else(edge: EdgeStack) -> None:
    root = edge.url.removesuffix("/api/v1")
    answer = await edge.call("GET", root + "/docs", key="")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert (await edge.call("GET", "/docs", key="")).body == answer.body
    reader = _Reader()
    reader.feed(answer.body.decode())
    assert not {"script", "img", "iframe", "object", "form"} & set(reader.tags)
    assert reader.fetched == []
    assert {link for link in reader.links if not link.startswith("#")} == {"/openapi.json"}
    # Every link within the page has its target, and no two things have the same name.
    assert {link[1:] for link in reader.links if link.startswith("#")} <= set(reader.anchors)
    assert len(set(reader.anchors)) == len(reader.anchors)
    policy = answer.headers["Content-Security-Policy"]
    (style,) = reader.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    # Light and dark.
    assert "prefers-color-scheme: dark" in style


async def test_the_page_has_every_operation_and_type(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    reader = _Reader()
    reader.feed((await edge.call("GET", "/docs")).body.decode())
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert {each["operationId"] for each in operations} <= set(reader.anchors)
    types = [anchor for anchor in reader.anchors if anchor.startswith("type-")]
    assert len(types) == len(document["components"]["schemas"])
