"""A real model through the router: one server, called as an Anthropic provider and as an OpenAI one."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from localstack.model_server import check_available
from localstack.ports import free_ports
from localstack.probes import http_status
from router.testing.catalogs import Offer
from router.testing.router_process import router_process
from router.testing.stack import Completed, RouterStack, UsageReader, write_files
from servicekit.testing import BrokerProcess
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2

KEY = "a-key-for-this-test-only"
ALIAS = "smollm2-135m-instruct"
DIALECTS = {"anthropic": "anthropic", "openai": "openai-compatible"}
QUESTIONS = ("What is the capital of France?", "And in which country is it?")


@asynccontextmanager
async def model_server(folder: Path) -> AsyncIterator[str]:
    """Serve the model, and give the server's origin."""
    port = free_ports(1, Random())[0]
    key_file = folder / "model-key"
    key_file.write_text(KEY)
    arguments = ["--model", str(check_available()), "--alias", ALIAS, "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "localstack.model_server", *arguments, "--api-key-file", str(key_file),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    origin = f"http://127.0.0.1:{port}"
    try:
        while await http_status(f"{origin}/health") != 200:
            assert process.returncode is None, "the model server does not run on this machine"
            await asyncio.sleep(0.05)
        yield origin
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0, said.decode()


@dataclass
class Talk:
    """Two turns: what was asked and answered, and what each turn counted."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    turns: list[Completed] = field(default_factory=list)

    @property
    def answers(self) -> list[str]:
        """The texts."""
        return [turn.text for turn in self.turns]


async def talk(router: RouterStack, provider: str, *, stream: bool) -> Talk:
    """Have the conversation with one provider, who must be shown what it has said before."""
    said = Talk([{"role": "system", "content": "Answer in one short sentence."}])
    for question in QUESTIONS:
        said.messages.append({"role": "user", "content": question})
        turn = await router.complete(
            messages=said.messages, stream=stream, temperature=0, max_tokens=24, provider={"only": [provider]}
        )
        said.messages.append({"role": "assistant", "content": turn.text})
        said.turns.append(turn)
    return said


async def test_the_same_conversation_works_through_both_dialects(tmp_path: Path, broker: BrokerProcess) -> None:
    async with model_server(tmp_path) as origin:
        offers = [
            Offer("anthropic", url=origin, dialect="anthropic", upstream_model=ALIAS, context_length=2048),
            Offer("openai", url=f"{origin}/v1", upstream_model=ALIAS, context_length=2048),
        ]
        write_files(tmp_path, offers)
        (tmp_path / "keys.yaml").write_text(yaml.safe_dump(dict.fromkeys(DIALECTS, KEY)))
        async with router_process(tmp_path, broker.bootstrap) as (_, router):
            talks = {
                (provider, stream): await talk(router, provider, stream=stream)
                for provider in DIALECTS
                for stream in (True, False)
            }
            turns = [turn for each in talks.values() for turn in each.turns]
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(*[turn.generation_id for turn in turns], seconds=30)
    # The model is the same and so are its words, whoever carries them.
    (answers,) = {tuple(each.answers) for each in talks.values()}
    assert "Paris" in answers[0]
    assert "France" in answers[1]
    for (provider, stream), each in talks.items():
        for turn in each.turns:
            assert turn.route.provider == provider
            assert (len(turn.responses) > 1) is stream
            assert turn.outcome.status == usage_event_pb2.GENERATION_STATUS_COMPLETED
            (event,) = reader.events[turn.generation_id]
            assert event.usage.source == token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
            assert event.usage.prompt_tokens > 10
            assert 0 < event.usage.completion_tokens <= 24
            assert event.finish_reason in ("stop", "length")
            assert event.cost_nano_usd == turn.outcome.cost_nano_usd > 0
    # What was said before is in the second prompt, and both dialects count it alike.
    (counts,) = {tuple(turn.outcome.usage.prompt_tokens for turn in each.turns) for each in talks.values()}
    assert counts[1] > counts[0] + 10


@pytest.mark.parametrize("provider", DIALECTS)
async def test_a_wrong_key_is_the_operators_trouble_and_not_the_callers(
    tmp_path: Path, broker: BrokerProcess, provider: str
) -> None:
    async with model_server(tmp_path) as origin:
        offers = [
            Offer(name, url=origin if name == "anthropic" else f"{origin}/v1", dialect=dialect, upstream_model=ALIAS)
            for name, dialect in DIALECTS.items()
        ]
        write_files(tmp_path, offers)
        (tmp_path / "keys.yaml").write_text(yaml.safe_dump(dict.fromkeys(DIALECTS, KEY) | {provider: "another"}))
        async with router_process(tmp_path, broker.bootstrap) as (_, router):
            done = await router.complete(stream=True, max_tokens=4, provider={"order": [provider]})
    assert done.text
    assert [(attempt.provider, attempt.status_code) for attempt in done.route.failed_attempts] == [(provider, 401)]
