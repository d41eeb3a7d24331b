"""The `openrouter_metadata` object: how a request was routed, for callers that ask for it."""

from __future__ import annotations

from typing import Any

import msgspec

from turnpike.router.v1 import completion_pb2, policy_pb2

_encode = msgspec.json.Encoder().encode
# What an attempt that failed without an answer is shown as: there was no status.
_NO_STATUS = 0
_OK = 200


def metadata_json(route: completion_pb2.Route) -> bytes | None:
    """Render it, or None where the router was not asked for it.

    The members are OpenRouter's; `strategy` there is how the model was found, so what ordered the endpoints is `params.order`.
    """
    if not route.HasField("metadata"):
        return None
    metadata = route.metadata
    available = [
        {
            "provider": option.provider_name,
            "model": option.model,
            "selected": option.endpoint_id == route.endpoint_id,
        }
        for option in metadata.options
    ]
    names = {option.endpoint_id: option for option in metadata.options}
    attempts = [
        {
            "provider": names[failed.endpoint_id].provider_name if failed.endpoint_id in names else failed.provider,
            "model": names[failed.endpoint_id].model if failed.endpoint_id in names else route.model,
            "status": failed.status_code or _NO_STATUS,
        }
        for failed in route.failed_attempts
    ]
    attempts.append({"provider": route.provider_name, "model": route.model, "status": _OK})
    return _encode(
        {
            "requested": metadata.requested_model,
            "strategy": metadata.resolution,
            "region": metadata.region or None,
            "summary": f"available={len(available)}, selected={route.provider_name}",
            "attempt": len(attempts),
            "is_byok": route.is_byok,
            "endpoints": {"total": metadata.endpoints_total, "available": available},
            "attempts": attempts,
            "params": {"order": metadata.strategy},
            "pipeline": [_stage_json(stage) for stage in metadata.pipeline],
        }
    )


def _stage_json(stage: policy_pb2.PipelineStage) -> dict[str, Any]:
    document: dict[str, Any] = {"type": stage.type, "name": stage.name}
    for name, value in (
        ("summary", stage.summary),
        ("guardrail_id", stage.guardrail_id),
        ("guardrail_scope", stage.guardrail_scope),
        ("data", msgspec.Raw(stage.data_json) if stage.data_json else None),
    ):
        if value:
            document[name] = value
    return document
