"""What can be asked of the list of models. Source: OpenRouter's published OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

MAX_PAGE: Final = 1_000
DEFAULT_PAGE: Final = 500
_MAX_OFFSET: Final = 1_000_000
_INPUTS: Final = "text|image|audio|file|video"
_OUTPUTS: Final = "text|image|audio|video|embeddings|rerank|speech|transcription|all"

Offset = Annotated[int, Meta(ge=0, le=_MAX_OFFSET, description="Models to pass over.")]
Limit = Annotated[
    int,
    Meta(
        ge=1,
        le=MAX_PAGE,
        description=f"Most models of a page, {DEFAULT_PAGE} unless said. Without it and `offset`: all.",
    ),
]
OutputModalities = Annotated[
    str,
    Meta(
        pattern=f"^({_OUTPUTS})(,({_OUTPUTS}))*$",
        description="What the model writes, separated by commas; `all` for every model. `text` unless said.",
    ),
]
NotNegative = Annotated[float, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Days = Annotated[int, Meta(ge=0, le=1_000_000)]
Names = Annotated[str, Meta(max_length=1_024, description="Separated by commas.")]

Category = Literal[
    "programming",
    "roleplay",
    "marketing",
    "marketing/seo",
    "technology",
    "science",
    "translation",
    "legal",
    "finance",
    "health",
    "trivia",
    "academia",
]
Sort = Literal[
    "most-popular",
    "newest",
    "top-weekly",
    "pricing-low-to-high",
    "pricing-high-to-low",
    "context-high-to-low",
    "throughput-high-to-low",
    "latency-low-to-high",
    "intelligence-high-to-low",
    "coding-high-to-low",
    "agentic-high-to-low",
    "design-arena-elo-high-to-low",
]


class PageQuery(Struct, frozen=True, kw_only=True):
    """A part of a list of models."""

    offset: Offset | None = None
    limit: Limit | None = None


class CountQuery(Struct, frozen=True, kw_only=True):
    """Which models are counted."""

    output_modalities: OutputModalities | None = None


class ModelsQuery(PageQuery, frozen=True, kw_only=True):
    """Which models, in which order and form.

    A model of which a figure is not known meets no bound on it.
    """

    output_modalities: OutputModalities | None = None
    input_modalities: (
        Annotated[str, Meta(pattern=f"^({_INPUTS})(,({_INPUTS}))*$", description="What it must read.")] | None
    ) = None
    supported_parameters: Annotated[str, Meta(description="All that it must honour, separated by commas.")] | None = (
        None
    )
    q: Annotated[str, Meta(description="Words of its name or slug.")] | None = None
    context: Annotated[int, Meta(ge=1, description="Shortest context in tokens.")] | None = None
    arch: Annotated[str, Meta(description="Family, such as Claude: its tokenizer, or a word of its name.")] | None = (
        None
    )
    model_authors: Names | None = None
    providers: (
        Annotated[str, Meta(description="Names or slugs, separated by commas; one of them must offer it.")] | None
    ) = None
    category: Category | None = None
    distillable: Literal["true", "false"] | None = None
    zdr: Annotated[Literal["true"], Meta(description="An endpoint must keep no prompts.")] | None = None
    region: Annotated[Literal["eu", "us"], Meta(description="An endpoint must run wholly in it.")] | None = None
    min_price: Annotated[float, Meta(ge=0, description="Dollars per million tokens of prompt.")] | None = None
    max_price: Annotated[float, Meta(ge=0, description="Dollars per million tokens of prompt.")] | None = None
    min_output_price: Annotated[float, Meta(ge=0, description="Dollars per million tokens of output.")] | None = None
    max_output_price: Annotated[float, Meta(ge=0, description="Dollars per million tokens of output.")] | None = None
    min_age_days: Days | None = None
    max_age_days: Days | None = None
    min_intelligence_index: NotNegative | None = None
    max_intelligence_index: NotNegative | None = None
    min_coding_index: NotNegative | None = None
    max_coding_index: NotNegative | None = None
    min_agentic_index: NotNegative | None = None
    max_agentic_index: NotNegative | None = None
    min_tool_success_rate: Share | None = None
    max_tool_success_rate: Share | None = None
    sort: Sort | None = None
    use_rss: Annotated[bool, Meta(description="As an RSS feed.")] | None = None
    use_rss_chat_links: (
        Annotated[bool, Meta(description="In the feed, link to a chat rather than to a page.")] | None
    ) = None
