"""OpenRouter's official Python package."""

from __future__ import annotations

import json
from typing import Any

from openrouter import OpenRouter, errors
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
    WEATHER,
    WEATHER_TOOL,
    tell,
)

client = OpenRouter(api_key=KEY, server_url=BASE_URL)
asked: list[Any] = [{"role": "user", "content": QUESTION}]

answer = client.chat.send(model=SMOLLM2, messages=asked, max_tokens=32, temperature=0)
tell("whole", text=answer.choices[0].message.content, output_tokens=answer.usage.completion_tokens, id=answer.id)

with client.chat.send(model=SMOLLM2, messages=asked, max_tokens=32, temperature=0, stream=True) as events:
    chunks = list(events)
pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
tell("stream", pieces=len(pieces), text="".join(pieces), output_tokens=chunks[-1].usage.completion_tokens)

conversation: list[Any] = [{"role": "user", "content": "Weather?"}]
called = client.chat.send(model=AGENT, messages=conversation, tools=[WEATHER_TOOL]).choices[0]
(call,) = called.message.tool_calls
conversation += [called.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
after = client.chat.send(model=AGENT, messages=conversation, tools=[WEATHER_TOOL])
tell("tools", name=call.function.name, arguments=json.loads(call.function.arguments), reason=called.finish_reason,
     text=after.choices[0].message.content)  # fmt: skip

form = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
formed = client.chat.send(model=AGENT, messages=asked, response_format=form)
tell("structured", value=json.loads(formed.choices[0].message.content))

try:
    client.chat.send(model=NOBODY, messages=asked)
except errors.BadRequestResponseError as error:
    tell(
        "error", kind=type(error).__name__, status=error.status_code, error_type=error.data.error.metadata["error_type"]
    )
try:
    OpenRouter(api_key="tp_live_wrong", server_url=BASE_URL).chat.send(model=SMOLLM2, messages=asked)
except errors.UnauthorizedResponseError as error:
    tell("unauthorized", kind=type(error).__name__, status=error.status_code)
with client.chat.send(model=CUT, messages=asked, stream=True) as events:
    last = list(events)[-1]
# This client hands the error of a stream on as a member of its last chunk.
tell("broken", kind=type(last.error).__name__)

with client.chat.send(model=LOREM, messages=asked, stream=True) as events:
    for number, chunk in enumerate(events):
        if number == PIECES_BEFORE_LEAVING:
            tell("cancel", id=chunk.id)
            break

tell("models", ids=[model.id for model in client.models.list().result.data])
