"""Forty-odd kinds of bad input: each gets its 4xx in the envelope, and none a 500."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from e2e_support.stack import SMOLLM2, Stack

CHAT = "/chat/completions"
HELLO = [{"role": "user", "content": "hello"}]


@dataclass(frozen=True)
class Bad:
    """A request that must be refused, and the status that says so."""

    name: str
    status: int
    body: bytes | None = None
    method: str = "POST"
    path: str = CHAT
    headers: dict[str, str] = field(default_factory=dict)
    authorization: str | None = "valid"


def chat(**changes: Any) -> bytes:
    return json.dumps({"model": SMOLLM2, "messages": HELLO, **changes}).encode()


def nested(depth: int) -> bytes:
    return b'{"model":"' + SMOLLM2.encode() + b'","messages":[],"x":' + b"[" * depth + b"]" * depth + b"}"


CASES = [
    Bad("empty body", 400, b""),
    Bad("malformed JSON", 400, b'{"model": '),
    Bad("JSON with a trailing comma", 400, b'{"model": "a/b",}'),
    Bad("an array instead of an object", 400, b"[]"),
    Bad("a string instead of an object", 400, b'"hello"'),
    Bad("null", 400, b"null"),
    Bad("invalid UTF-8", 400, b'{"model": "\xff\xfe", "messages": []}'),
    Bad("a NUL character", 400, b'{"model": "a\x00b"}'),
    Bad("NaN", 400, b'{"model": "' + SMOLLM2.encode() + b'", "messages": [], "temperature": NaN}'),
    Bad("no messages", 400, json.dumps({"model": SMOLLM2}).encode()),
    Bad("empty messages", 400, chat(messages=[])),
    Bad("messages as an object", 400, chat(messages={})),
    Bad("message without a role", 400, chat(messages=[{"content": "x"}])),
    Bad("message with an unknown role", 400, chat(messages=[{"role": "wizard", "content": "x"}])),
    Bad("content as a number", 400, chat(messages=[{"role": "user", "content": 7}])),
    Bad("content part of an unknown type", 400, chat(messages=[{"role": "user", "content": [{"type": "smell"}]}])),
    Bad("tool message without an id", 400, chat(messages=[{"role": "tool", "content": "x"}])),
    Bad("2,001 messages", 400, chat(messages=HELLO * 2001)),
    Bad("model as a number", 400, chat(model=7)),
    Bad("unknown model", 400, chat(model="nobody/nothing")),
    Bad("models as a string", 400, chat(models="a/b")),
    Bad("negative max_tokens", 400, chat(max_tokens=-1)),
    Bad("zero max_tokens", 400, chat(max_tokens=0)),
    Bad("max_tokens as text", 400, chat(max_tokens="many")),
    Bad("max_tokens as a fraction", 400, chat(max_tokens=1.5)),
    Bad("temperature above 2", 400, chat(temperature=2.5)),
    Bad("negative temperature", 400, chat(temperature=-0.1)),
    Bad("temperature as text", 400, chat(temperature="hot")),
    Bad("top_p above 1", 400, chat(top_p=1.5)),
    Bad("presence_penalty below -2", 400, chat(presence_penalty=-3)),
    Bad("top_logprobs above 20", 400, chat(logprobs=True, top_logprobs=21)),
    Bad("five stop sequences", 400, chat(stop=["a", "b", "c", "d", "e"])),
    Bad("stream as text", 400, chat(stream="yes")),
    Bad("tools as an object", 400, chat(tools={})),
    Bad("tool without a function", 400, chat(tools=[{"type": "function"}])),
    Bad("unknown response_format", 400, chat(response_format={"type": "poem"})),
    Bad("provider as a string", 400, chat(provider="local-a")),
    Bad("17 metadata pairs", 400, chat(metadata={str(n): "x" for n in range(17)})),
    Bad("session_id of 257 characters", 400, chat(session_id="s" * 257)),
    Bad("JSON nested 65 deep", 400, nested(65)),
    Bad("JSON nested 100,000 deep", 400, nested(100_000)),
    Bad("body of more than 10 MiB", 413, chat(messages=[{"role": "user", "content": "x" * (10 << 20)}])),
    Bad("compressed body", 415, gzip.compress(chat()), headers={"Content-Encoding": "gzip"}),
    Bad("form instead of JSON", 415, b"model=x", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Bad("no key", 401, chat(), authorization=None),
    Bad("key of another scheme", 401, chat(), authorization="Basic dXNlcjpwYXNz"),
    Bad("empty bearer", 401, chat(), authorization="Bearer "),
    Bad("key of another system", 401, chat(), authorization="Bearer sk-or-v1-0123456789abcdef"),
    Bad("key with a bad check sum", 401, chat(), authorization="Bearer tp_live_" + "a" * 36),
    Bad("management key for a completion", 403, chat(), authorization="management"),
    Bad("inference key for the credits", 403, method="GET", path="/credits"),
    Bad("inference key for the keys", 403, method="GET", path="/keys"),
    Bad("wrong method", 405, method="GET", path=CHAT),
    Bad("unknown path", 404, method="GET", path="/nothing"),
    Bad("generation without an id", 400, method="GET", path="/generation"),
    Bad("generation id of another form", 400, method="GET", path="/generation?id=../etc/passwd"),
    Bad("unknown generation", 404, method="GET", path="/generation?id=gen-1-aaaaaaaaaaaaaaaaaaaa"),
    Bad("endpoints of an unknown model", 404, method="GET", path="/models/nobody/nothing/endpoints"),
]


@pytest.fixture(autouse=True, scope="module")
def reading(stack: Stack) -> None:
    """Other tests stop parts of the stack; until metering reads again it cannot say that there is no such generation."""
    stack.wait_reading()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_input_gets_its_status_in_the_envelope(case: Bad, stack: Stack) -> None:
    authorization = {
        "valid": f"Bearer {stack.api_key}",
        "management": f"Bearer {stack.run['management_key']}",
    }.get(case.authorization or "", case.authorization)
    headers = {"Content-Type": "application/json", **case.headers}
    if authorization is not None:
        headers["Authorization"] = authorization
    # As a file, because the client warns of large bodies that would block its loop.
    body = None if case.body is None else io.BytesIO(case.body)
    async with (
        aiohttp.ClientSession() as session,
        session.request(case.method, stack.base_url + case.path, data=body, headers=headers) as answer,
    ):
        text = await answer.text()
        assert answer.status == case.status, text
        error = json.loads(text)["error"]
        assert error["code"] == case.status
        assert error["message"]


async def test_the_server_still_answers_after_all_of_it(stack: Stack, http: aiohttp.ClientSession) -> None:
    async with http.post(
        stack.base_url + CHAT, data=chat(max_tokens=4), headers={"Content-Type": "application/json"}
    ) as answer:
        assert answer.status == 200, await answer.text()
