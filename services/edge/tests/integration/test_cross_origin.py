"""Pages of other origins: refused unless an operator allows them (S36)."""

from __future__ import annotations

import pytest

from edge.settings import HttpSettings
from edge.testing.stack import Answer, EdgeStack, OpenEdge

PAGE = "https://app.example"
ASKS = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
}


def cross_origin_headers(answer: Answer) -> list[str]:
    """Names of the headers that loosen a browser's rules."""
    return [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_s36_without_a_setting_no_origin_is_allowed(edge: EdgeStack) -> None:
    assert (await edge.call("OPTIONS", "/chat/completions", headers=ASKS)).status == 405
    answer = await edge.call("GET", "/models", headers={"Origin": PAGE})
    assert (answer.status, cross_origin_headers(answer)) == (200, [])


async def test_s36_only_the_origins_of_the_setting_are_allowed(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, cors_origins=(PAGE, "http://localhost:3000")))
    allowed = await edge.call("OPTIONS", "/chat/completions", key="", headers=ASKS)
    assert (allowed.status, allowed.body) == (204, b"")
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert allowed.headers["Access-Control-Allow-Methods"] == "POST"
    assert allowed.headers["Access-Control-Allow-Headers"] == ASKS["Access-Control-Request-Headers"]
    assert allowed.headers["Vary"] == "Origin"
    # Never: a page may not use what a browser holds for somebody.
    assert "Access-Control-Allow-Credentials" not in allowed.headers
    for stranger in ("https://evil.example", "https://app.example.evil.example", "null", "http://app.example"):
        refused = await edge.call("OPTIONS", "/chat/completions", headers={**ASKS, "Origin": stranger})
        assert (refused.status, cross_origin_headers(refused)) == (405, [])
        answer = await edge.call("GET", "/models", headers={"Origin": stranger})
        assert cross_origin_headers(answer) == []
    same = await edge.call("GET", "/models")
    assert cross_origin_headers(same) == []


async def test_answers_streams_and_errors_can_be_read_with_their_headers(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, cors_origins=(PAGE,)))
    body = {"model": "acme/one", "messages": [{"role": "user", "content": "Hi"}]}
    for answer in (
        await edge.call("POST", "/chat/completions", body, headers={"Origin": PAGE}),
        await edge.call("POST", "/chat/completions", {**body, "stream": True}, headers={"Origin": PAGE}),
        await edge.call("POST", "/chat/completions", {}, headers={"Origin": PAGE}),
        await edge.call("GET", "/nothing", headers={"Origin": PAGE}),
        await edge.call("GET", "/key", key="", headers={"Origin": PAGE}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"X-Generation-Id", "X-Provider-Name", "Retry-After"} <= set(exposed)


async def test_every_origin_when_the_setting_says_so(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, cors_origins=("*",)))
    answer = await edge.call("GET", "/models", headers={"Origin": "https://anywhere.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    odd = {**ASKS, "Access-Control-Request-Headers": "x-a: b\tc"}
    asked = await edge.call("OPTIONS", "/models/acme/one/endpoints", headers=odd)
    assert (asked.status, asked.headers["Access-Control-Allow-Methods"]) == (204, "GET, HEAD")
    assert "Access-Control-Allow-Headers" not in asked.headers
    # Nothing is at this path, and a question that no browser asks is an ordinary one.
    assert (await edge.call("OPTIONS", "/nothing", headers=ASKS)).status == 404
    assert (await edge.call("OPTIONS", "/models", headers={"Origin": PAGE})).status == 405


@pytest.mark.parametrize("origin", ["app.example", "https://app.example/", "https://App.example", "ftp://a", "**", ""])
def test_an_origin_that_no_browser_sends_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValueError, match="expected origins"):
        HttpSettings(cors_origins=(origin,))
