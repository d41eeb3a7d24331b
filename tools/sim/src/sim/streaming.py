"""Server-sent events, paced and spoiled as asked."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from sim.answer import Answer, Json
from sim.behaviour import SLOW_FIRST_MS, SLOW_GAP_MS, Behaviour, Fault

EVENT_ERROR = msgspec.json.encode(
    {"error": {"message": "simulated: failed while answering", "type": "server_error", "param": None, "code": 502}}
)
_DONE = b"data: [DONE]\n\n"
_BROKEN = b'data: {"id": "chatcmpl-sim", "choices": [{"delta": \n\n'

# These strike once `after` tokens are out.
_WITHIN = {
    Fault.FIRST_THEN_ERROR,
    Fault.STALL_WITHIN,
    Fault.TRUNCATED,
    Fault.CUT,
    Fault.MALFORMED_EVENT,
    Fault.WRONG_CONTENT_LENGTH,
}


async def stream_answer(
    request: web.Request, answer: Answer, behaviour: Behaviour, fault: Fault | None, *, with_usage: bool
) -> web.StreamResponse:
    """Stream an answer, a token an event. With no gap between tokens everything goes out in one write."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    if fault is Fault.WRONG_CONTENT_LENGTH:
        response.content_length = 1_000_000
    gap = token_gap_ms(behaviour, fault) / 1000
    if first := first_token_ms(behaviour, fault):
        await asyncio.sleep(first / 1000)
    await response.prepare(request)
    if fault is Fault.ERROR_AFTER_200:
        await response.write(b"data: " + EVENT_ERROR + b"\n\n")
        return response
    tokens = [_event(answer.chunk(delta)) for delta in answer.deltas()]
    opening = _event(answer.chunk({"role": "assistant", "content": ""}))
    ending = _event(answer.chunk({}, answer.finish_reason))
    if with_usage:
        ending += _event(answer.usage_chunk())
    ending += _DONE * (2 if fault is Fault.DUPLICATE_DONE else 1)
    if fault in _WITHIN:
        await _write_paced(response, opening, tokens[: behaviour.after], gap)
        if not await _spoil(request, response, behaviour, fault):
            return response
        opening, tokens = b"", tokens[behaviour.after :]
    await _write_paced(response, opening, tokens, gap, ending)
    return response


def first_token_ms(behaviour: Behaviour, fault: Fault | None) -> int:
    """How long the first token takes."""
    return behaviour.first_ms + (SLOW_FIRST_MS if fault is Fault.SLOW else 0)


def token_gap_ms(behaviour: Behaviour, fault: Fault | None) -> int:
    """How long each further token takes."""
    return behaviour.gap_ms + (SLOW_GAP_MS if fault is Fault.SLOW else 0)


async def _write_paced(
    response: web.StreamResponse, opening: bytes, tokens: list[bytes], gap: float, ending: bytes = b""
) -> None:
    if not gap:
        await response.write(b"".join((opening, *tokens, ending)))
        return
    # Against the clock and not from one write to the next: else the pace would drift by what each write takes.
    loop = asyncio.get_running_loop()
    start = loop.time()
    for number, token in enumerate(tokens):
        if number:
            await asyncio.sleep(start + number * gap - loop.time())
        await response.write(token if number else opening + token)
    if ending:
        await response.write(ending if tokens else opening + ending)


async def _spoil(request: web.Request, response: web.StreamResponse, behaviour: Behaviour, fault: Fault | None) -> bool:
    """Do what goes wrong in mid-stream; say whether the stream goes on."""
    if fault is Fault.FIRST_THEN_ERROR:
        await response.write(b"data: " + EVENT_ERROR + b"\n\n")
        return False
    if fault is Fault.MALFORMED_EVENT:
        await response.write(_BROKEN)
        return True
    if fault is Fault.STALL_WITHIN:
        await asyncio.sleep(behaviour.stall_ms / 1000)
    if fault in {Fault.STALL_WITHIN, Fault.CUT, Fault.WRONG_CONTENT_LENGTH} and request.transport is not None:
        request.transport.close()
    # What is left is a stream that ends in order, only too early.
    return False


def _event(chunk: Json) -> bytes:
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"
