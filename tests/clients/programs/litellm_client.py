"""LiteLLM as a client of an OpenRouter."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import litellm
from pydantic import BaseModel
from scenes import (
    AGENT,
    BASE_URL,
    CUT,
    KEY,
    LOREM,
    NOBODY,
    PIECES_BEFORE_LEAVING,
    QUESTION,
    SMOLLM2,
    WEATHER_TOOL,
    tell,
)


class Weather(BaseModel):
    city: str
    days: int


def ask(model: str, messages: Any = None, key: str = KEY, **more: Any) -> Any:
    messages = messages or [{"role": "user", "content": QUESTION}]
    return litellm.completion(
        model=f"openrouter/{model}", messages=messages, api_base=BASE_URL, api_key=key, num_retries=0, **more
    )


answer = ask(SMOLLM2, max_tokens=32, temperature=0)
tell("whole", text=answer.choices[0].message.content, output_tokens=answer.usage.completion_tokens, id=answer.id)

chunks = list(ask(SMOLLM2, max_tokens=32, temperature=0, stream=True, stream_options={"include_usage": True}))
pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
whole = litellm.stream_chunk_builder(chunks)
tell("stream", pieces=len(pieces), text="".join(pieces), whole=whole.choices[0].message.content,
     output_tokens=whole.usage.completion_tokens)  # fmt: skip

conversation: list[Any] = [{"role": "user", "content": "Weather?"}]
called = ask(AGENT, conversation, tools=[WEATHER_TOOL]).choices[0]
(call,) = called.message.tool_calls
conversation += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
after = ask(AGENT, conversation, tools=[WEATHER_TOOL])
tell("tools", name=call.function.name, arguments=json.loads(call.function.arguments), reason=called.finish_reason,
     text=after.choices[0].message.content)  # fmt: skip

formed = ask(AGENT, response_format=Weather)
tell("structured", value=json.loads(formed.choices[0].message.content))

for scene, model, key in (("error", NOBODY, KEY), ("unauthorized", SMOLLM2, "tp_live_wrong")):
    try:
        ask(model, key=key)
    except Exception as error:
        tell(scene, kind=type(error).__name__, status=getattr(error, "status_code", 0))
try:
    list(ask(CUT, stream=True))
except Exception as error:
    tell("broken", kind=type(error).__name__)


async def leave() -> None:
    """Break a stream off as an application does whose own caller has gone."""
    stream = await litellm.acompletion(
        model=f"openrouter/{LOREM}",
        messages=[{"role": "user", "content": QUESTION}],
        api_base=BASE_URL,
        api_key=KEY,
        stream=True,
    )
    number = 0
    async for chunk in stream:
        number += 1
        if number == PIECES_BEFORE_LEAVING:
            await stream.aclose()
            tell("cancel", id=chunk.id)
            return


asyncio.run(leave())
