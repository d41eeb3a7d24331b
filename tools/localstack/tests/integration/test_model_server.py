"""The real model, as a process, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest_asyncio

from localstack.model_server import check_available, find_weights
from localstack.ports import free_ports
from localstack.probes import http_status

KEY = "a-key-for-this-test-only"
ALIAS = "smollm2-135m-instruct"
QUESTION = {
    "model": ALIAS,
    "temperature": 0,
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


async def start(weights: Path, port: int, folder: Path) -> asyncio.subprocess.Process:
    key_file = folder / "key"
    key_file.write_text(KEY)
    arguments = ["--model", str(weights), "--alias", ALIAS, "--port", str(port), "--api-key-file", str(key_file)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "localstack.model_server",
        *arguments,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest_asyncio.fixture
async def base_url(tmp_path: Path) -> AsyncIterator[str]:
    """A server that answers; it is stopped as the supervisor does, and must then end well."""
    port = free_ports(1, Random())[0]
    process = await start(check_available(), port, tmp_path)
    try:
        while await http_status(f"http://127.0.0.1:{port}/health") != 200:
            assert process.returncode is None, "the model server does not run on this machine"
            await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


async def ask(base_url: str, body: Mapping[str, Any], key: str = KEY) -> tuple[int, str]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        async with session.post(f"{base_url}/chat/completions", json=body) as response:
            return response.status, await response.text()


async def test_model_answers_whole_streamed_and_many_at_once(base_url: str) -> None:
    status, text = await ask(base_url, {**QUESTION, "max_tokens": 16})
    answer = json.loads(text)
    assert status == 200
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["model"] == ALIAS
    usage = answer["usage"]
    assert 1 <= usage["completion_tokens"] <= 16
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]

    body = {**QUESTION, "max_tokens": 16, "stream": True, "stream_options": {"include_usage": True}}
    status, text = await ask(base_url, body)
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    chunks = [json.loads(each) for each in data[:-1]]
    streamed = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert streamed == answer["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["total_tokens"] == usage["total_tokens"]

    # More than it decodes at a time: the others wait for their turn.
    answers = await asyncio.gather(*(ask(base_url, {**QUESTION, "max_tokens": 4}) for _ in range(8)))
    assert [status for status, _ in answers] == [200] * 8


async def test_stranger_is_refused(base_url: str) -> None:
    status, text = await ask(base_url, {**QUESTION, "max_tokens": 1}, key="another")
    assert status == 401
    assert KEY not in text


async def test_prompt_longer_than_a_slot_is_the_callers_fault(base_url: str) -> None:
    status, text = await ask(base_url, {"model": ALIAS, "messages": [{"role": "user", "content": "word " * 3000}]})
    assert status == 400, text
    assert json.loads(text)["error"]["type"] == "exceed_context_size_error"


async def test_file_that_is_no_model_ends_the_process(tmp_path: Path) -> None:
    weights = tmp_path / "bad.gguf"
    weights.write_text("no weights")
    process = await start(weights, free_ports(1, Random())[0], tmp_path)
    _, said = await process.communicate()
    assert process.returncode == 1
    # The engine writes from threads of its own, so that the line need not begin where a line begins.
    assert "model server: it does not start; why is said above" in said.decode()
    assert KEY not in said.decode()


async def test_key_file_that_is_not_there_ends_the_process(tmp_path: Path) -> None:
    arguments = [
        "--model",
        str(find_weights()),
        "--alias",
        ALIAS,
        "--port",
        "1",
        "--api-key-file",
        str(tmp_path / "no"),
    ]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localstack.model_server", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().count("\n") == 1
    assert "No such file or directory" in said.decode()
