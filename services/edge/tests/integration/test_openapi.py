"""The description of the API, as it is served."""

from __future__ import annotations

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
