"""The official `anthropic` package."""

from __future__ import annotations

from typing import Any

import anthropic
from anthropic import Anthropic
from pydantic import BaseModel
from scenes import AGENT, CUT, KEY, LOREM, NOBODY, PIECES_BEFORE_LEAVING, QUESTION, ROOT_URL, SMOLLM2, WEATHER, tell


class Weather(BaseModel):
    city: str
    days: int


client = Anthropic(base_url=f"{ROOT_URL}/api", api_key=KEY, max_retries=0)
asked: list[Any] = [{"role": "user", "content": QUESTION}]

answer = client.messages.create(model=SMOLLM2, messages=asked, max_tokens=32)
tell("whole", text=answer.content[0].text, output_tokens=answer.usage.output_tokens, id=answer.id)

with client.messages.stream(model=SMOLLM2, messages=asked, max_tokens=32) as stream:
    pieces = list(stream.text_stream)
    final = stream.get_final_message()
tell(
    "stream",
    pieces=len(pieces),
    text="".join(pieces),
    whole=final.content[0].text,
    output_tokens=final.usage.output_tokens,
)

tool: Any = {"name": "get_weather", "description": "Weather of a city", "input_schema": WEATHER}
conversation: list[Any] = [{"role": "user", "content": "Weather?"}]
with client.messages.stream(model=AGENT, messages=conversation, max_tokens=500, tools=[tool]) as stream:
    called = stream.get_final_message()
(use,) = [block for block in called.content if block.type == "tool_use"]
result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "sunny"}]}
conversation += [{"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
after = client.messages.create(model=AGENT, messages=conversation, max_tokens=500, tools=[tool])
tell("tools", name=use.name, arguments=use.input, reason=called.stop_reason, text=after.content[0].text)

parsed = client.messages.parse(model=AGENT, messages=asked, max_tokens=500, output_format=Weather).parsed_output
tell("structured", value=parsed.model_dump())

try:
    client.messages.create(model=NOBODY, messages=asked, max_tokens=5)
except anthropic.BadRequestError as error:
    tell("error", kind=type(error).__name__, status=error.status_code, error_type=error.body["error"]["error_type"])
try:
    Anthropic(base_url=f"{ROOT_URL}/api", api_key="tp_live_wrong", max_retries=0).messages.create(
        model=SMOLLM2, messages=asked, max_tokens=5
    )
except anthropic.AuthenticationError as error:
    tell("unauthorized", kind=type(error).__name__, status=error.status_code)
try:
    with client.messages.stream(model=CUT, messages=asked, max_tokens=500) as stream:
        stream.until_done()
except anthropic.APIError as error:
    tell("broken", kind=type(error).__name__)

with client.messages.stream(model=LOREM, messages=asked, max_tokens=500) as stream:
    for number, _ in enumerate(stream.text_stream):
        if number == PIECES_BEFORE_LEAVING:
            tell("cancel", id=stream.current_message_snapshot.id)
            break

with Anthropic(base_url=f"{ROOT_URL}/api", auth_token=KEY, max_retries=0) as bearer:
    count = bearer.messages.count_tokens(model=SMOLLM2, messages=asked)
tell("count", input_tokens=count.input_tokens)

with client.messages.stream(
    model="sim/thinker", messages=asked, max_tokens=2_000, thinking={"type": "enabled", "budget_tokens": 1_024}
) as stream:
    thought = stream.get_final_message()
again = client.messages.create(
    model="sim/thinker",
    max_tokens=2_000,
    messages=[*asked, {"role": "assistant", "content": thought.content}, {"role": "user", "content": "Go on"}],
)
tell("thinking", kinds=[block.type for block in thought.content], again=[block.type for block in again.content])
