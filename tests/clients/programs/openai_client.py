"""The official `openai` package."""

from __future__ import annotations

import json
from typing import Any

import openai
from openai import OpenAI
from pydantic import BaseModel
from scenes import (
    AGENT,
    BASE_URL,
    CUT,
    E5,
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


client = OpenAI(base_url=BASE_URL, api_key=KEY, max_retries=0)
asked: list[Any] = [{"role": "user", "content": QUESTION}]

answer = client.chat.completions.create(model=SMOLLM2, messages=asked, max_tokens=32, temperature=0)
tell("whole", text=answer.choices[0].message.content, output_tokens=answer.usage.completion_tokens, id=answer.id)

with client.chat.completions.stream(model=SMOLLM2, messages=asked, max_tokens=32, temperature=0) as stream:
    pieces = [event.delta for event in stream if event.type == "content.delta"]
    final = stream.get_final_completion()
tell("stream", pieces=len(pieces), text="".join(pieces), whole=final.choices[0].message.content,
     output_tokens=final.usage.completion_tokens)  # fmt: skip

conversation: list[Any] = [{"role": "user", "content": "Weather?"}]
with client.chat.completions.stream(model=AGENT, messages=conversation, tools=[WEATHER_TOOL]) as stream:
    called = stream.get_final_completion().choices[0]
(call,) = called.message.tool_calls
conversation += [
    called.message.model_dump(exclude_none=True),
    {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
]
after = client.chat.completions.create(model=AGENT, messages=conversation, tools=[WEATHER_TOOL])
tell("tools", name=call.function.name, arguments=json.loads(call.function.arguments), reason=called.finish_reason,
     text=after.choices[0].message.content)  # fmt: skip

parsed = client.chat.completions.parse(model=AGENT, messages=asked, response_format=Weather).choices[0].message.parsed
tell("structured", value=parsed.model_dump())

try:
    client.chat.completions.create(model=NOBODY, messages=asked)
except openai.BadRequestError as error:
    tell("error", kind=type(error).__name__, status=error.status_code, error_type=error.body["metadata"]["error_type"])
try:
    OpenAI(base_url=BASE_URL, api_key="tp_live_wrong", max_retries=0).models.list()
    OpenAI(base_url=BASE_URL, api_key="tp_live_wrong", max_retries=0).chat.completions.create(
        model=SMOLLM2, messages=asked
    )
except openai.AuthenticationError as error:
    tell("unauthorized", kind=type(error).__name__, status=error.status_code)
try:
    for _ in client.chat.completions.create(model=CUT, messages=asked, stream=True):
        pass
except openai.APIError as error:
    tell("broken", kind=type(error).__name__)

told = client.responses.create(model=SMOLLM2, input=QUESTION, max_output_tokens=32, temperature=0)
with client.responses.stream(model=SMOLLM2, input=QUESTION, max_output_tokens=32, temperature=0) as stream:
    pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
    final = stream.get_final_response()
tell("responses", text=told.output_text, pieces=len(pieces), streamed="".join(pieces), whole=final.output_text,
     output_tokens=final.usage.output_tokens)  # fmt: skip

running = client.chat.completions.create(model=LOREM, messages=asked, stream=True)
for number, chunk in enumerate(running):
    if number == PIECES_BEFORE_LEAVING:
        running.close()
        tell("cancel", id=chunk.id)
        break

found = client.embeddings.create(model=E5, input=["a cat", "a kitten"])
tell("embeddings", sizes=[len(each.embedding) for each in found.data], tokens=found.usage.prompt_tokens)
tell("models", ids=[model.id for model in client.models.list()])
