"""What every client is put through, and how a program says what it saw: a JSON object a line.

These programs run in environments of their own, each with one client as it is published, so they import nothing of Turnpike's.
"""

from __future__ import annotations

import json
import os
from typing import Any

ROOT_URL = os.environ["TURNPIKE_ROOT_URL"]
BASE_URL = f"{ROOT_URL}/api/v1"
KEY = os.environ["TURNPIKE_API_KEY"]

SMOLLM2 = "huggingfacetb/smollm2-135m-instruct"
E5 = "intfloat/multilingual-e5-small"
AGENT = "sim/agent"
LOREM = "sim/lorem"
CUT = "sim/cut"
NOBODY = "nobody/nothing"

QUESTION = "What is the capital of France? Answer in one sentence."
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather of a city", "parameters": WEATHER},
}
# Enough pieces to know that a stream runs, few enough that most of it is still to come.
PIECES_BEFORE_LEAVING = 5


def tell(scene: str, **facts: Any) -> None:
    """Say what was seen in a scene."""
    print(json.dumps({"scene": scene, **facts}), flush=True)
