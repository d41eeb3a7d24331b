"""The simulator as a process, spoken to over real sockets."""

from __future__ import annotations

import asyncio
import email.utils
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio

pytestmark = pytest.mark.asyncio(loop_scope="module")

Json = dict[str, Any]


@asynccontextmanager
async def sim_process(*arguments: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sim", "--port", "0", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        assert line.startswith("sim: listening on "), line
        yield line.removeprefix("sim: listening on ").strip()
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base_url() -> AsyncIterator[str]:
    async with sim_process("--seed", "7") as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def session(base_url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(base_url=f"{base_url}/") as opened:
        yield opened


def body(model: str, *, stream: bool = False, **more: object) -> Json:
    return {"model": model, "messages": [{"role": "user", "content": "a b c"}], "stream": stream} | more


async def events(response: aiohttp.ClientResponse) -> list[str]:
    text = (await response.read()).decode()
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]


def text_of(chunks: Sequence[str]) -> str:
    decoded = [msgspec.json.decode(chunk) for chunk in chunks if chunk != "[DONE]"]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in decoded if chunk["choices"])


async def test_an_answer_is_labelled_and_counted(session: aiohttp.ClientSession) -> None:
    async with session.post("chat/completions", json=body("sim-echo")) as response:
        answer = await response.json()
    assert answer["system_fingerprint"] == "simulated"
    assert answer["choices"][0]["message"]["content"] == "[simulated] a b c"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["prompt_tokens"] == 4
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["usage"]["total_tokens"] == 8


async def test_a_stream_says_the_same_as_the_json_answer(session: aiohttp.ClientSession) -> None:
    model = "sim-lorem?tokens=20&gap_ms=1&reasoning=3"
    async with session.post("chat/completions", json=body(model)) as response:
        whole = await response.json()
    options = {"include_usage": True}
    async with session.post("chat/completions", json=body(model, stream=True, stream_options=options)) as response:
        assert response.content_type == "text/event-stream"
        chunks = await events(response)
    assert chunks[-1] == "[DONE]"
    assert text_of(chunks) == whole["choices"][0]["message"]["content"]
    last = msgspec.json.decode(chunks[-2])
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert whole["usage"]["completion_tokens"] == 23
    assert "usage" not in msgspec.json.decode(chunks[-3])


async def test_no_usage_in_a_stream_that_did_not_ask(session: aiohttp.ClientSession) -> None:
    async with session.post("chat/completions", json=body("sim-echo", stream=True)) as response:
        assert not any('"usage"' in event for event in await events(response))


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_error_statuses(session: aiohttp.ClientSession, status: int) -> None:
    async with session.post("chat/completions", json=body(f"sim-echo?fault=error-{status}")) as response:
        assert response.status == status
        assert "simulated" in (await response.json())["error"]["message"]


async def test_forms_of_retry_after(session: aiohttp.ClientSession) -> None:
    async with session.post("chat/completions", json=body("sim-echo?fault=error-429&retry_after=9")) as response:
        assert response.headers["Retry-After"] == "9"
    async with session.post("chat/completions", json=body("sim-echo?fault=error-429&retry_after=none")) as response:
        assert "Retry-After" not in response.headers
    async with session.post("chat/completions", json=body("sim-echo?fault=error-529&retry_after=date-600")) as response:
        at = email.utils.parsedate_to_datetime(response.headers["Retry-After"])
        assert 300 < at.timestamp() - time.time() < 900


async def test_an_error_that_repeats_what_was_sent(session: aiohttp.ClientSession) -> None:
    headers = {"Authorization": "Bearer of the caller"}
    sent = body("sim-echo?fault=echo-400")
    async with session.post("chat/completions", json=sent, headers=headers) as response:
        assert response.status == 400
        message = (await response.json())["error"]["message"]
    assert message.startswith("simulated: error 400: Bearer of the caller {")
    assert json.dumps(sent) in message


async def test_a_rate_limit_refuses_the_rest(session: aiohttp.ClientSession) -> None:
    statuses: list[int] = []
    for _ in range(3):
        async with session.post("chat/completions", json=body("sim-echo?rate_limit=1&first_ms=1")) as response:
            statuses.append(response.status)
            if response.status == 429:
                assert response.headers["Retry-After"] == "1"
    assert statuses[0] == 200
    assert 429 in statuses


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reset_breaks_the_connection(session: aiohttp.ClientSession, stream: bool) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.post("chat/completions", json=body("sim-echo?fault=reset", stream=stream))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["cut", "wrong-content-length"])
async def test_a_body_that_is_cut_short(session: aiohttp.ClientSession, fault: str, stream: bool) -> None:
    model = f"sim-lorem?fault={fault}&after=2"
    async with session.post("chat/completions", json=body(model, stream=stream)) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_answers_that_are_not_completions(session: aiohttp.ClientSession) -> None:
    async with session.post("chat/completions", json=body("sim-echo?fault=html-200")) as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with session.post("chat/completions", json=body("sim-echo?fault=empty-body")) as response:
        assert (response.status, await response.read()) == (200, b"")
    async with session.post("chat/completions", json=body("sim-echo?fault=empty")) as response:
        answer = await response.json()
        assert answer["choices"][0]["message"]["content"] == ""
        assert answer["usage"]["completion_tokens"] == 0
    async with session.post("chat/completions", json=body("sim-echo?fault=missing-usage")) as response:
        assert "usage" not in await response.json()
    async with session.post("chat/completions", json=body("sim-echo?fault=error-after-200")) as response:
        assert (response.status, "error" in await response.json()) == (200, True)
    for fault in ("truncated", "malformed-event"):
        async with session.post("chat/completions", json=body(f"sim-echo?fault={fault}")) as response:
            with pytest.raises(msgspec.DecodeError):
                msgspec.json.decode(await response.read())


async def test_streams_that_go_wrong(session: aiohttp.ClientSession) -> None:
    found: dict[str, list[str]] = {}
    faults = ("error-after-200", "first-then-error", "truncated", "malformed-event", "duplicate-done", "missing-usage")
    for fault in faults:
        asked = body(f"sim-lorem?fault={fault}&after=2", stream=True, stream_options={"include_usage": True})
        async with session.post("chat/completions", json=asked) as response:
            found[fault] = await events(response)
    assert "error" in msgspec.json.decode(found["error-after-200"][0])
    assert "error" in msgspec.json.decode(found["first-then-error"][-1])
    assert len(text_of(found["first-then-error"][:-1]).split()) == 2
    assert "[DONE]" not in found["truncated"]
    assert len(text_of(found["truncated"]).split()) == 2
    broken = [event for event in found["malformed-event"][:-1] if not event.endswith("}")]
    assert len(broken) == 1
    assert found["duplicate-done"][-2:] == ["[DONE]", "[DONE]"]
    assert not any('"usage"' in event for event in found["missing-usage"])


@pytest.mark.parametrize("model", ["sim-lorem?fault=stall-before", "sim-lorem?fault=stall-within&after=1"])
async def test_a_client_that_leaves_a_stall_is_seen_to_leave(session: aiohttp.ClientSession, model: str) -> None:
    with pytest.raises(asyncio.TimeoutError):
        async with session.post(
            "chat/completions", json=body(model, stream=True), timeout=aiohttp.ClientTimeout(total=0.3)
        ) as response:
            await response.read()
    for _ in range(250):
        if (await counts(session))[model]["cancelled"]:
            return
        await asyncio.sleep(0.02)
    pytest.fail("the simulator did not notice")


async def test_a_stall_ends_with_a_broken_connection(session: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.post("chat/completions", json=body("sim-echo?fault=stall-before&stall_ms=10"))


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"[]", b'{"model": 5, "messages": []}', b'{"messages": []}', b'{"model": "\xff"}']
)
async def test_bad_requests_are_the_callers_fault(session: aiohttp.ClientSession, payload: bytes) -> None:
    async with session.post("chat/completions", data=payload) as response:
        assert response.status == 400


async def test_unknown_models_and_lists(session: aiohttp.ClientSession, base_url: str) -> None:
    async with session.post("chat/completions", json=body("gpt-4")) as response:
        assert response.status == 404
    async with session.get("models") as response:
        assert [row["id"] for row in (await response.json())["data"]] == ["sim-echo", "sim-lorem", "sim-agent"]
    async with session.get(base_url.removesuffix("/v1") + "/health") as response:
        assert response.status == 200


async def test_a_key_is_wanted_when_one_is_set() -> None:
    async with sim_process("--api-key", "secret") as url, aiohttp.ClientSession() as session:
        for key, status in (("", 401), ("Bearer other", 401), ("Bearer secret", 200)):
            headers = {"Authorization": key} if key else {}
            async with session.post(f"{url}/chat/completions", json=body("sim-echo"), headers=headers) as response:
                assert response.status == status


async def counts(session: aiohttp.ClientSession) -> dict[str, dict[str, int]]:
    async with session.get("/counts") as response:
        found: dict[str, dict[str, int]] = await response.json()
        return found


async def test_an_agent_calls_its_tool_in_pieces(session: aiohttp.ClientSession) -> None:
    tool = {
        "type": "function",
        "function": {"name": "look", "parameters": {"properties": {"place": {"const": "here"}}}},
    }
    async with session.post("chat/completions", json=body("sim-agent", stream=True, tools=[tool])) as response:
        *chunks, done = await events(response)
    assert done == "[DONE]"
    choices = [choice for chunk in chunks for choice in msgspec.json.decode(chunk)["choices"]]
    pieces = [piece for choice in choices for piece in choice["delta"].get("tool_calls", [])]
    assert pieces[0]["function"]["name"] == "look"
    assert "".join(piece["function"].get("arguments", "") for piece in pieces) == '{"place":"here"}'
    assert choices[-1]["finish_reason"] == "tool_calls"
