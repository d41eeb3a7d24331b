"""The words and forms that catalogue files may use. OpenRouter's, where it has one for the thing."""

from __future__ import annotations

import re

SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
SLUG_FORM = "a slug: lower-case letters, digits and inner dashes, at most 64"
# A suffix that chooses a way of routing (:nitro, :floor, :exacto, :online) is no part of a model's name.
MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,126}(?::(?:free|batch|thinking|extended))?")
MODEL_ID_FORM = (
    "author/slug in lower case, with at most :free, :batch, :thinking or :extended"
    " (:nitro, :floor, :exacto and :online work with every model and are no part of its name)"
)
ALIAS = re.compile(r"~?[a-z0-9][a-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,126}")
ALIAS_FORM = "author/slug in lower case, possibly after a ~"
TAG = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:/[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?)?")
TAG_FORM = "the provider's slug, with /suffix where it has several endpoints"
UPSTREAM_MODEL = re.compile(r"[!-~]{1,256}")
UPSTREAM_MODEL_FORM = "a name of printable characters without spaces"
COUNTRY = re.compile(r"[A-Z]{2}")
COUNTRY_FORM = "a country code of two capital letters"
REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
REGION_FORM = "a region: lower-case letters, digits and inner dashes, at most 32"
CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")
CLOCK_FORM = "a time of day from 00:00 to 23:59"
DECIMAL = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,30})?")

SERVICE_TIERS = ("priority", "flex")
MODALITIES = ("text", "image", "file", "audio", "video", "embeddings", "rerank", "speech", "transcription")
QUANTIZATIONS = (
    "unknown", "int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32",
)  # fmt: skip
PARAMETERS = frozenset(
    """
    temperature top_p top_k min_p top_a frequency_penalty presence_penalty repetition_penalty max_tokens
    max_completion_tokens logit_bias logprobs top_logprobs prediction seed response_format structured_outputs stop
    tools tool_choice parallel_tool_calls include_reasoning reasoning reasoning_effort web_search_options verbosity
    dimensions encoding_format input_type speed language timestamp_granularities n size quality background output_format
    output_compression input_references
    """.split()  # noqa: SIM905 - a paragraph of words is easier to compare with OpenRouter's list than 39 lines
)
