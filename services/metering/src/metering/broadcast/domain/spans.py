"""A generation as a span, by OpenTelemetry's conventions for generative AI.

The names are those of version 1.41 of the conventions, which receivers know; everything else is in our own namespace.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from metering.broadcast.domain.targets import Target
from metering.domain.usage import UsageRow

Value = str | bool | int | float | tuple[str, ...]
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"
_NANO: Final = Decimal(10**9)
_OPERATIONS: Final = {
    "completion": "chat",
    "embeddings": "embeddings",
    "rerank": "rerank",
    "speech": "generate_content",
    "transcription": "generate_content",
    "images": "generate_content",
}


@dataclass(frozen=True, slots=True)
class GenerationSpan:
    """A generation. Ids in hexadecimal, times in nanoseconds of Unix time; `error` empty for none.

    The ids follow from the generation's, so a repeat is the same span.
    """

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    end_ns: int
    error: str
    attributes: Mapping[str, Value] = field(repr=False)


def span_of(row: UsageRow, key_name: str, target: Target, content: Mapping[str, Any] | None) -> GenerationSpan:
    """Make the span of a generation, with what its destination is to know.

    Args:
        row: the usage event.
        key_name: what the owner calls the key.
        target: says what may be sent.
        content: what was said; None where that was not kept, or is not to be sent.
    """
    hashed = hashlib.sha256(row.generation_id.encode()).hexdigest()
    operation = _OPERATIONS.get(row.operation, row.operation)
    model = row.model or row.requested_model
    attributes = {**_generation(row, operation), **_usage(row)}
    if target.sends_cost:
        attributes |= _cost(row)
    if target.sends_identity:
        attributes |= _identity(row, key_name)
    if target.sends_request_context:
        attributes |= _request_context(row)
    if content is not None:
        attributes |= _content(content, row.finish_reason)
    return GenerationSpan(
        trace_id=hashed[:32],
        span_id=hashed[32:48],
        name=f"{operation} {model}".strip(),
        start_ns=row.started_at * 1_000_000,
        end_ns=row.ended_at * 1_000_000,
        error=row.error_type or ("error" if row.status == "failed" else ""),
        attributes={name: value for name, value in attributes.items() if value not in ("", (), None)},
    )


def facts_of(row: UsageRow, key_name: str, content: Mapping[str, Any] | None) -> dict[str, str | Decimal]:
    """Return what filter rules can be about; a text that is empty does not exist."""
    texts = {
        "model": row.model or row.requested_model,
        "provider": row.provider,
        "session_id": row.session_id,
        "user_id": row.external_user,
        "api_key_name": key_name,
        "finish_reason": row.finish_reason,
    }
    if content is not None:
        texts |= {
            "input": "\n".join(_text(each.get("content")) for each in _messages(content)),
            "output": _text(_output(content).get("completion")),
        }
    numbers = {
        "total_cost": Decimal(row.cost_nano_usd) / _NANO,
        "total_tokens": Decimal(row.prompt_tokens + row.completion_tokens),
        "prompt_tokens": Decimal(row.prompt_tokens),
        "completion_tokens": Decimal(row.completion_tokens),
    }
    return {**{name: text for name, text in texts.items() if text}, **numbers}


def _generation(row: UsageRow, operation: str) -> dict[str, Value]:
    reasons = (row.finish_reason,) if row.finish_reason else ()
    found: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": row.provider,
        "gen_ai.request.model": row.requested_model,
        "gen_ai.request.stream": row.streamed,
        "gen_ai.response.id": row.generation_id,
        "gen_ai.response.model": row.model,
        "gen_ai.response.finish_reasons": reasons,
        "gen_ai.conversation.id": row.session_id,
        "session.id": row.session_id,
        "user.id": row.external_user,
        "error.type": row.error_type,
        "turnpike.generation.status": row.status,
        "turnpike.generation.attempts": len(row.attempts),
        "turnpike.endpoint.id": row.endpoint_id,
        "turnpike.service_tier": row.service_tier,
        "turnpike.tool_calls": row.tool_calls,
    }
    if row.first_token_ms:
        found["gen_ai.response.time_to_first_chunk"] = row.first_token_ms / 1000
    return found


def _usage(row: UsageRow) -> dict[str, Value]:
    return {
        "gen_ai.usage.input_tokens": row.prompt_tokens,
        "gen_ai.usage.output_tokens": row.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": row.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": row.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": row.reasoning_tokens,
    }


def _cost(row: UsageRow) -> dict[str, Value]:
    """Exact: whole nano-dollars, and the same in dollars as a decimal text."""
    return {
        "turnpike.cost.nano_usd": row.cost_nano_usd,
        "turnpike.cost.usd": format(Decimal(row.cost_nano_usd) / _NANO, "f"),
        "turnpike.cost.provider_nano_usd": row.provider_cost_nano_usd if row.is_byok else 0,
        "turnpike.is_byok": row.is_byok,
    }


def _identity(row: UsageRow, key_name: str) -> dict[str, Value]:
    return {
        "turnpike.org.id": row.org_id,
        "turnpike.workspace.id": row.workspace_id,
        "turnpike.api_key.id": row.key_id,
        "turnpike.api_key.name": key_name,
        "turnpike.member.id": row.member_id,
    }


def _request_context(row: UsageRow) -> dict[str, Value]:
    return {
        "turnpike.request.id": row.request_id,
        "turnpike.app.title": row.app_title,
        "turnpike.app.categories": tuple(row.app_categories),
        "http.request.header.referer": (row.http_referer,) if row.http_referer else (),
        "user_agent.original": row.user_agent,
        "turnpike.region": row.region,
    }


def _content(content: Mapping[str, Any], finish_reason: str) -> dict[str, Value]:
    """What was said, in the JSON of the conventions."""
    output, parts = _output(content), []
    if output.get("reasoning"):
        parts.append({"type": "reasoning", "content": output["reasoning"]})
    if output.get("completion"):
        parts.append({"type": "text", "content": output["completion"]})
    said: dict[str, Value] = {"gen_ai.input.messages": _json([_message(each) for each in _messages(content)])}
    if parts:
        said["gen_ai.output.messages"] = _json(
            [{"role": "assistant", "parts": parts, "finish_reason": finish_reason or "stop"}]
        )
    return said


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content, parts = str(message.get("role", "user")), message.get("content"), []
    if role == "tool":
        parts.append({"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content})
        return {"role": role, "parts": parts}
    if isinstance(content, str):
        parts.append({"type": "text", "content": content})
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and part.get("type") == "text":
                parts.append({"type": "text", "content": part.get("text")})
            else:
                parts.append(part)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(
            {
                "type": "tool_call",
                "id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments"),
            }
        )
    return {"role": role, "parts": parts}


def _messages(content: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = (content.get("input") or {}).get("messages")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _output(content: Mapping[str, Any]) -> Mapping[str, Any]:
    found = content.get("output")
    return found if isinstance(found, dict) else {}


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(text for text in texts if isinstance(text, str))
    return ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
