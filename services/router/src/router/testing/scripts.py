"""What scripted providers do: answer well, or in each of the ways in which providers fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from router.testing.scripted_provider import Exchange, Script

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def delta(content: str | None = None, finish_reason: str | None = None, **members: Any) -> dict[str, Any]:
    """An event of a stream."""
    body = members if content is None else {"content": content, **members}
    return {"id": "up-1", "choices": [{"index": 0, "delta": body, "finish_reason": finish_reason}]}


def answer(content: str | None, finish_reason: str = "stop", usage: Any = USAGE, **members: Any) -> dict[str, Any]:
    """A whole answer."""
    message = {"role": "assistant", "content": content, **members}
    document = {"id": "up-1", "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}]}
    return document if usage is None else {**document, "usage": usage}


def speak(words: Sequence[str], usage: Any = USAGE, gap: float = 0.0) -> Script:
    """Say these words, streamed or not, and end well."""

    async def script(exchange: Exchange) -> None:
        if not exchange.streams:
            await exchange.reply(answer("".join(words), usage=usage))
            return
        await exchange.begin_stream()
        await exchange.event(delta(role="assistant", content=""))
        for word in words:
            await exchange.event(delta(word))
            if gap:
                await asyncio.sleep(gap)
        await exchange.event(delta(finish_reason="stop"))
        if usage is not None:
            await exchange.event({"id": "up-1", "choices": [], "usage": usage})
        await exchange.event(b"[DONE]")
        await exchange.end_stream()

    return script


def refuse(status: int, document: Any = None, headers: Mapping[str, str] | None = None) -> Script:
    """Answer with an error status."""

    async def script(exchange: Exchange) -> None:
        await exchange.reply(document or {"error": {"message": "no"}}, status, headers)

    return script


def reply(document: Any, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> Script:
    """Answer 200 with a body, whatever was asked."""

    async def script(exchange: Exchange) -> None:
        await exchange.reply(document, 200, headers, kind)

    return script


def stream(*events: Any, end: bool = True) -> Script:
    """Stream these events; with `end` the body ends properly, else the connection breaks."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for event in events:
            await exchange.event(event)
        if end:
            await exchange.end_stream()
        else:
            exchange.reset()

    return script


async def reset(exchange: Exchange) -> None:
    """Break the connection instead of an answer."""
    exchange.reset()


async def silence(exchange: Exchange) -> None:
    """Never answer."""
    await exchange.gone()


def stall_after(*events: Any) -> Script:
    """Stream these events and then nothing, without an end."""

    async def script(exchange: Exchange) -> None:
        await exchange.begin_stream()
        for event in events:
            await exchange.event(event)
        await exchange.gone()

    return script


def short_body(document: bytes) -> Script:
    """Promise more bytes than come."""

    async def script(exchange: Exchange) -> None:
        await exchange.head(
            200,
            {
                "Content-Type": "text/event-stream" if exchange.streams else "application/json",
                "Content-Length": str(len(document) + 100),
            },
        )
        await exchange.send(document)
        exchange.reset()

    return script


def in_turn(*scripts: Script) -> Script:
    """One script after another, the last one for ever."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


def slowly(script: Script) -> Script:
    """The same events, each after a while: the first one is shown before the next one comes."""

    async def slow(exchange: Exchange) -> None:
        send = exchange.event

        async def event(document: Any) -> None:
            await send(document)
            await asyncio.sleep(0.02)

        exchange.event = event  # type: ignore[method-assign]  # the same sending, with a pause
        await script(exchange)

    return slow
