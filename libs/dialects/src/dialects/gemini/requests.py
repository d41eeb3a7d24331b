"""Making the body of a request."""

from __future__ import annotations

from typing import Any

from dialects.chat import ChatBody, ChatRequest, GrammarFormat, JsonObjectFormat, JsonSchemaFormat, PythonFormat
from dialects.errors import UnsupportedRequestError
from dialects.gemini.contents import Conversation
from dialects.gemini.schemas import plain_schema
from dialects.gemini.thinking import thinking_config, thinks_by_level
from dialects.gemini.tools import tool_members
from dialects.parameters import supports
from dialects.upstream import Target

# Members that differ only in their name.
_NAMES = {
    "temperature": "temperature",
    "top_p": "topP",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
MAX_CANDIDATES = 8
MAX_STOP_SEQUENCES = 5
# A seed has 32 bits; a longer one is folded, so that equal seeds stay equal.
_SEED_MASK = 0x7FFFFFFF


def build_request(request: ChatRequest, target: Target) -> dict[str, Any]:
    """Return the body of a request.

    Raises:
        UnsupportedRequestError: it says what the API has no place for.
    """
    by_level = thinks_by_level(target)
    conversation = Conversation(request, by_level=by_level)
    body: dict[str, Any] = {"contents": conversation.contents}
    if conversation.instructions:
        body["systemInstruction"] = {"parts": conversation.instructions}
    tools = tool_members(request.body, target.supported)
    body.update(tools)
    config = _generation_config(request.body, target)
    if tools and "responseMimeType" in config and not by_level:
        raise UnsupportedRequestError("this model has no structured output together with tools")
    if config:
        body["generationConfig"] = config
    return body


def _generation_config(body: ChatBody, target: Target) -> dict[str, Any]:
    supported = target.supported
    config: dict[str, Any] = {}
    for ours, theirs in _NAMES.items():
        value = getattr(body, ours)
        if value is not None and supports(ours, supported):
            config[theirs] = value
    # Zero means all tokens, which is what the API does when it is told nothing.
    if body.top_k and supports("top_k", supported):
        config["topK"] = body.top_k
    if body.seed is not None and supports("seed", supported):
        config["seed"] = body.seed & _SEED_MASK
    if body.output_limit is not None and supports("max_tokens", supported):
        config["maxOutputTokens"] = body.output_limit
    if body.n is not None and body.n > 1 and supports("n", supported):
        if body.n > MAX_CANDIDATES:
            raise UnsupportedRequestError(f"this provider gives no more than {MAX_CANDIDATES} choices")
        config["candidateCount"] = body.n
    stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
    stops = [stop for stop in stops if stop]
    if stops and supports("stop", supported):
        config["stopSequences"] = stops[:MAX_STOP_SEQUENCES]
    if body.logprobs and supports("logprobs", supported):
        config["responseLogprobs"] = True
        if body.top_logprobs:
            config["logprobs"] = body.top_logprobs
    _add_response_format(config, body, target)
    _add_modalities(config, body, target)
    thinking = thinking_config(body, target)
    if thinking:
        config["thinkingConfig"] = thinking
    return config


def _add_response_format(config: dict[str, Any], body: ChatBody, target: Target) -> None:
    wanted = body.response_format
    if wanted is None or not supports("response_format", target.supported):
        return
    if isinstance(wanted, GrammarFormat | PythonFormat):
        raise UnsupportedRequestError("this provider has no such form of an answer")
    if isinstance(wanted, JsonObjectFormat | JsonSchemaFormat):
        config["responseMimeType"] = "application/json"
    if isinstance(wanted, JsonSchemaFormat) and wanted.json_schema.schema:
        config["responseJsonSchema"] = plain_schema(wanted.json_schema.schema)


def _add_modalities(config: dict[str, Any], body: ChatBody, target: Target) -> None:
    if body.modalities and supports("modalities", target.supported):
        config["responseModalities"] = [modality.upper() for modality in body.modalities]
        voice = (body.audio or {}).get("voice")
        if "audio" in body.modalities and isinstance(voice, str):
            config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    if body.image_config and supports("image_config", target.supported):
        wanted = {
            "aspectRatio": body.image_config.get("aspect_ratio"),
            "imageSize": body.image_config.get("image_size"),
        }
        image = {name: value for name, value in wanted.items() if isinstance(value, str)}
        if image:
            config["imageConfig"] = image
