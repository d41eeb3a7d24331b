"""LangChain's package for OpenRouter."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openrouter import ChatOpenRouter
from pydantic import BaseModel
from scenes import AGENT, BASE_URL, CUT, KEY, LOREM, NOBODY, PIECES_BEFORE_LEAVING, QUESTION, SMOLLM2, tell


class Weather(BaseModel):
    """Weather of a city."""

    city: str
    days: int


@tool
def get_weather(city: str, days: int) -> str:
    """Weather of a city."""
    return f"{city}: sunny for {days} days"


def model(name: str, key: str = KEY, **more: Any) -> ChatOpenRouter:
    return ChatOpenRouter(model=name, api_key=key, base_url=BASE_URL, max_retries=0, **more)


small = model(SMOLLM2, max_tokens=32, temperature=0)
answer = small.invoke(QUESTION)
tell(
    "whole",
    text=answer.content,
    output_tokens=answer.usage_metadata["output_tokens"],
    id=answer.response_metadata["id"],
)

chunks = list(small.stream(QUESTION))
pieces = [chunk.content for chunk in chunks if chunk.content]
whole = chunks[0]
for chunk in chunks[1:]:
    whole += chunk
tell(
    "stream",
    pieces=len(pieces),
    text="".join(pieces),
    whole=whole.content,
    output_tokens=whole.usage_metadata["output_tokens"],
)

agent = model(AGENT).bind_tools([get_weather])
asked = HumanMessage("Weather?")
called = agent.invoke([asked])
(call,) = called.tool_calls
after = agent.invoke([asked, called, ToolMessage(get_weather.invoke(call["args"]), tool_call_id=call["id"])])
tell(
    "tools",
    name=call["name"],
    arguments=call["args"],
    reason=called.response_metadata["finish_reason"],
    text=after.content,
)

tell(
    "structured", value=model(AGENT).with_structured_output(Weather, method="json_schema").invoke(QUESTION).model_dump()
)

for scene, broken in (("error", model(NOBODY)), ("unauthorized", model(SMOLLM2, "tp_live_wrong"))):
    try:
        broken.invoke(QUESTION)
    except Exception as error:
        tell(scene, kind=type(error).__name__, status=getattr(error, "status_code", 0))
# This client hands the end of a broken stream on as the finish reason of its last piece but one.
reasons = [chunk.response_metadata.get("finish_reason") for chunk in model(CUT).stream(QUESTION)]
tell("broken", kind=next(reason for reason in reasons if reason))

running = model(LOREM).stream(QUESTION)
for number, _ in enumerate(running):
    if number == PIECES_BEFORE_LEAVING:
        running.close()
        # Its pieces do not say which generation they are of.
        tell("cancel", id=None)
        break
