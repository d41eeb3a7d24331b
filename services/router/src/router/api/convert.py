"""Between the wire's messages and the domain's values, and nothing else."""

from __future__ import annotations

import msgspec

from contracts import ids
from contracts.catalog import Endpoint
from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from dialects.answers import ChoiceDelta
from dialects.chat import decode_chat_request
from dialects.errors import InvalidRequestError
from router.domain.demand import Demand
from router.domain.policy import ANYWHERE, RoutingPolicy
from router.domain.progress import Command, Ending, Progress, Route
from router.domain.selection import Choice
from router.domain.settlement import Caller
from router.domain.shares import expected_cost
from router.usage_conversion import STATUSES, attempt_to_proto, tokens_to_proto
from turnpike.router.v1 import completion_pb2, policy_pb2, router_service_pb2

_encode = msgspec.json.Encoder().encode


def command_from_proto(request: router_service_pb2.CompleteRequest, deadline: float) -> Command:
    """Read a request to complete.

    Raises:
        InvalidRequestError: a member is missing or wrong.
    """
    try:
        generation_id = ids.parse_generation_id(request.generation_id)
    except ValueError as error:
        raise InvalidRequestError(str(error), "generation_id") from None
    return Command(
        generation_id=generation_id,
        caller=caller_from_proto(request.caller),
        request=decode_chat_request(request.request_json),
        deadline=deadline,
        with_metadata=request.with_metadata,
    )


def caller_from_proto(caller: completion_pb2.Caller) -> Caller:
    """Read who calls.

    Raises:
        InvalidRequestError: it is not said.
    """
    if not caller.org_id or not caller.key_id:
        raise InvalidRequestError("the caller must have an org_id and a key_id", "caller")
    return Caller(
        OrgId(caller.org_id),
        KeyId(caller.key_id),
        http_referer=caller.http_referer,
        app_title=caller.app_title,
        workspace_id=caller.workspace_id,
        member_id=caller.member_id,
        user_agent=caller.user_agent,
        request_id=caller.request_id,
        app_categories=tuple(caller.app_categories),
        country=caller.country,
        private=caller.private,
        byok_revision=caller.byok_revision,
        byok_fee_ppm=caller.byok_fee_ppm,
        data_region=caller.data_region,
        policy=_policy_from_proto(caller.policy) if caller.HasField("policy") else ANYWHERE,
        lease_id=caller.lease_id,
        hold=NanoUsd(caller.hold_nano_usd),
        max_output_tokens=caller.max_output_tokens,
        started_ms=caller.started_unix_ms,
    )


def _policy_from_proto(message: policy_pb2.RoutingPolicy) -> RoutingPolicy:
    return RoutingPolicy(
        allowed_models=tuple(frozenset(each.names) for each in message.allowed_models),
        ignored_models=frozenset(message.ignored_models),
        allowed_providers=tuple(frozenset(each.names) for each in message.allowed_providers),
        ignored_providers=frozenset(message.ignored_providers),
        zero_retention=frozenset(message.zero_retention_groups),
        deny_paid_training=message.deny_paid_training,
        deny_free_training=message.deny_free_training,
        deny_free_publication=message.deny_free_publication,
    )


def progress_to_proto(progress: Progress, region: str) -> router_service_pb2.CompleteResponse:
    """Put what is new of an answer on the wire; `region` is the router's."""
    message = router_service_pb2.CompleteResponse(deltas=[_delta_to_proto(delta) for delta in progress.deltas])
    if progress.route is not None:
        message.route.CopyFrom(route_to_proto(progress.route, region))
    if progress.ending is not None:
        message.outcome.CopyFrom(ending_to_proto(progress.ending))
    return message


def _delta_to_proto(delta: ChoiceDelta) -> completion_pb2.ChoiceDelta:
    message = completion_pb2.ChoiceDelta(
        index=delta.index,
        content=delta.content,
        reasoning=delta.reasoning,
        refusal=delta.refusal,
        finish_reason=delta.finish_reason,
        native_finish_reason=delta.native_finish_reason,
        stop_sequence=delta.stop_sequence,
    )
    for piece in delta.tool_calls:
        message.tool_calls.add(
            index=piece.index, id=piece.id, type=piece.type, name=piece.name, arguments=piece.arguments
        )
    if delta.extra is not None:
        message.extra_json = _encode(delta.extra)
    if delta.logprobs is not None:
        message.logprobs_json = _encode(delta.logprobs)
    return message


def route_to_proto(route: Route, region: str) -> completion_pb2.Route:
    """Put where an answer comes from on the wire."""
    endpoint = route.endpoint
    message = completion_pb2.Route(
        model=endpoint.model_id,
        provider_name=endpoint.provider.name,
        provider=endpoint.provider.slug,
        endpoint_id=endpoint.id,
        is_byok=route.is_byok,
        failed_attempts=[attempt_to_proto(attempt) for attempt in route.failed_attempts],
        upstream_bodies=route.upstream_bodies,
    )
    choice = route.choice
    if choice is not None:
        message.metadata.CopyFrom(
            completion_pb2.RouteMetadata(
                requested_model=route.requested_model,
                resolution=resolution_of(choice, route.requested_model, endpoint),
                strategy=choice.strategy,
                region=region,
                endpoints_total=sum(len(model.endpoints) for model in choice.models),
                options=[
                    completion_pb2.RouteOption(
                        provider_name=each.endpoint.provider.name,
                        model=each.endpoint.model_id,
                        endpoint_id=each.endpoint.id,
                    )
                    for each in choice.candidates
                ],
            )
        )
        if route.compressed is not None:
            message.metadata.pipeline.append(_compression_stage(*route.compressed))
    return message


def _compression_stage(before: int, after: int) -> policy_pb2.PipelineStage:
    return policy_pb2.PipelineStage(
        type="context_compression",
        name="context-compression",
        summary=f"The prompt was cut from about {before} to about {after} tokens",
        data_json=_encode({"engine": "middle-out", "original_tokens": before, "tokens": after}),
    )


def resolution_of(choice: Choice, requested_model: str, endpoint: Endpoint) -> str:
    """Say how the model that answers was found."""
    first = choice.models[0]
    if endpoint.model_id != first.id:
        return "fallback"
    return "direct" if requested_model in (first.id, first.canonical_slug) else "alias"


def ending_to_proto(ending: Ending) -> completion_pb2.Outcome:
    """Put how a generation ended on the wire."""
    message = completion_pb2.Outcome(
        status=STATUSES[ending.status],
        usage=tokens_to_proto(ending.tokens),
        cost_nano_usd=ending.cost.total,
        prompt_cost_nano_usd=ending.cost.prompt,
        completion_cost_nano_usd=ending.cost.completion,
        system_fingerprint=ending.system_fingerprint,
        service_tier=ending.service_tier,
        is_byok=ending.is_byok,
        upstream_cost_nano_usd=ending.upstream_cost,
    )
    cut = ending.interruption
    if cut is not None:
        message.error.CopyFrom(
            completion_pb2.StreamError(status_code=cut.status, error_type=cut.error_type, message=cut.message)
        )
    return message


def choice_to_proto(choice: Choice, demand: Demand) -> router_service_pb2.ExplainResponse:
    """Put an explanation on the wire."""
    response = router_service_pb2.ExplainResponse(model_id=choice.models[0].id, strategy=choice.strategy)
    for rank, candidate in enumerate(choice.candidates, start=1):
        state = candidate.state
        response.endpoints.add(
            endpoint_id=candidate.endpoint.id,
            provider_name=candidate.endpoint.provider.name,
            rank=rank,
            share=candidate.share,
            standing=state.standing.name.lower(),
            expected_cost_pico_usd=expected_cost(candidate.endpoint, demand),
            success_rate=state.success,
            first_token_ms=round((state.first_token_seconds or 0.0) * 1000),
            tokens_per_second=state.tokens_per_second or 0.0,
            cache_hit_rate=state.cache_hit_rate or 0.0,
            in_flight=state.in_flight,
        )
    for exclusion in choice.excluded:
        response.endpoints.add(
            endpoint_id=exclusion.endpoint.id,
            provider_name=exclusion.endpoint.provider.name,
            excluded_by=exclusion.reason.value,
            detail=exclusion.detail,
        )
    return response
