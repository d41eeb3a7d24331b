"""The published example payloads: one JSON file a message under `protos/examples/<message>`.

Producers' tests show that they can emit an equal message, consumers' tests that they accept it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

M = TypeVar("M", bound=Message)

FOLDERS = {
    "UsageEvent": "usage_event",
    "EndpointVerdict": "endpoint_verdict",
    "Observation": "observation",
    "KeyRecord": "key_record",
    "OrgRecord": "org_record",
    "GuardrailRecord": "guardrail_record",
    "EndpointStats": "endpoint_stats",
}


def iter_examples(message_type: type[M], root: Path) -> Iterator[tuple[str, M]]:
    """Yield every example of a message as (name, message).

    Args:
        message_type: a message that is published on a topic.
        root: the folder `protos/examples`.

    Raises:
        KeyError: no examples are published for the type.
        google.protobuf.json_format.ParseError: a file is not such a message.
    """
    for path in sorted((root / FOLDERS[message_type.__name__]).glob("*.json")):
        yield path.stem, json_format.Parse(path.read_text(encoding="utf-8"), message_type())
