"""The request of the Converse API, out of the caller's."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

import msgspec

from dialects.anthropic.caching import MAX_CACHE_MARKS, read_cache_mark
from dialects.anthropic.documents import written
from dialects.anthropic.formats import answer_instruction, answer_schema, wanted_schema
from dialects.anthropic.requests import check_prefill, output_limit, sampling, stop_sequences
from dialects.anthropic.turns import Block, Conversation, read_conversation
from dialects.bedrock.blocks import ConverseBlocks
from dialects.bedrock.reasoning import REASONING_OBJECT, ReasoningPlan, is_claude, plan_reasoning
from dialects.bedrock.tools import declares_tools, forces_a_tool, write_tool_config
from dialects.chat import ChatRequest
from dialects.parameters import supports
from dialects.upstream import Target

# The word of the catalogue: the model has a prompt cache that takes markers.
CACHE_POINTS = "cache-points"
# A document on its own is refused.
_BESIDE_A_DOCUMENT = "(The document is attached.)"
_SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)

_encode = msgspec.json.Encoder().encode


def request_path(target: Target) -> str:
    """The path of a call. Names may be ARNs, with slashes and colons in them."""
    return f"/model/{quote(target.model, safe='')}/{'converse-stream' if target.stream else 'converse'}"


def build_request(request: ChatRequest, target: Target) -> bytes:
    """Return the body as JSON.

    Raises:
        UnsupportedRequestError: something that must not be dropped cannot be said.
    """
    tools = declares_tools(request, target)
    blocks = ConverseBlocks(
        cache_points=CACHE_POINTS in target.quirks,
        signed_reasoning=is_claude(target),
        encrypted_reasoning=is_claude(target) or REASONING_OBJECT in target.quirks,
        tools=tools,
    )
    conversation = read_conversation(request, blocks)
    check_prefill(conversation, target)
    config = write_tool_config(request, target, blocks) if tools else None
    plan = plan_reasoning(
        request.body,
        target,
        output_limit(request, target),
        possible=not (forces_a_tool(config) or conversation.is_prefill),
        whole=not (tools and conversation.answers_calls_without_reasoning),
    )
    instruction = answer_instruction(request.body, target.supported)
    if instruction:
        conversation.system.append({"text": instruction})
    conversation.turns[-1].blocks += blocks.cache_point(read_cache_mark(request.document))
    _keep_last_points([config["tools"]] if config else [], conversation)
    body: dict[str, Any] = {
        "messages": [{"role": turn.role, "content": _with_text(turn.blocks)} for turn in conversation.turns]
    }
    if conversation.system:
        body["system"] = conversation.system
    if config is not None:
        body["toolConfig"] = config
    _add_limits(body, request, target, plan)
    _add_output(body, request, target, plan)
    return _encode(body)


def _add_limits(body: dict[str, Any], request: ChatRequest, target: Target, plan: ReasoningPlan) -> None:
    taken = {} if plan.unlimited else sampling(request, target, thinks=plan.limits_sampling)
    inference: dict[str, Any] = {}
    known = request.body.output_limit is not None or target.max_completion_tokens
    # Without a limit the model writes up to its own; only a budget cannot do without.
    if plan.needs_limit or (known and not plan.unlimited):
        inference["maxTokens"] = output_limit(request, target)
    if "temperature" in taken:
        inference["temperature"] = taken["temperature"]
    if "top_p" in taken:
        inference["topP"] = taken["top_p"]
    stop = stop_sequences(request)
    if stop and supports("stop", target.supported):
        inference["stopSequences"] = stop
    if inference:
        body["inferenceConfig"] = inference
    fields = {**plan.fields, **({"top_k": taken["top_k"]} if "top_k" in taken else {})}
    if fields:
        body["additionalModelRequestFields"] = fields


def _add_output(body: dict[str, Any], request: ChatRequest, target: Target, plan: ReasoningPlan) -> None:
    output: dict[str, Any] = {"effort": plan.effort} if plan.effort else {}
    schema, wanted = answer_schema(request.body, target.supported), wanted_schema(request.body)
    if schema is not None and wanted is not None:
        definition = {"schema": written(schema)}
        if _SCHEMA_NAME.fullmatch(wanted.name):
            definition["name"] = wanted.name
        if wanted.description:
            definition["description"] = wanted.description
        output["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    if output:
        body["outputConfig"] = output


def _with_text(blocks: list[Block]) -> list[Block]:
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        return [{"text": _BESIDE_A_DOCUMENT}, *blocks]
    return blocks


def _keep_last_points(tools: list[list[Block]], conversation: Conversation) -> None:
    """Take markers away from the front until the API takes their number: a later one covers the prefix of an earlier one."""
    parts = [*tools, conversation.system, *(turn.blocks for turn in conversation.turns)]
    extra = sum("cachePoint" in block for part in parts for block in part) - MAX_CACHE_MARKS
    for part in parts:
        for block in [block for block in part if "cachePoint" in block][: max(0, extra)]:
            # Markers are equal to each other: this one is taken away by what it is, not by its value.
            del part[next(position for position, other in enumerate(part) if other is block)]
            extra -= 1
