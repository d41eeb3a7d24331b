"""The catalogue that Turnpike comes with."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
import yaml

from contracts.catalog import Catalog, Dialect, Endpoint, Quirk, parse_catalog
from contracts.catalog.price_schedule import KINDS
from contracts.operations import Operation

FOLDER = Path(__file__).parents[3] / "catalog"
FILES = [(str(path.relative_to(FOLDER)), path.read_text()) for path in sorted(FOLDER.rglob("*.yaml"))]


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return parse_catalog(FILES)


def completions(shipped: Catalog) -> list[Endpoint]:
    """The endpoints of models that are asked for completions."""
    return [
        endpoint
        for model in shipped.models.values()
        if Operation.COMPLETION in model.operations
        for endpoint in model.endpoints
    ]


def test_there_are_sixty_models_that_several_providers_offer(shipped: Catalog) -> None:
    competing = [
        model
        for model in shipped.models.values()
        if len({endpoint.provider.slug for endpoint in model.endpoints}) >= 2 and len(model.endpoints) <= 8
    ]
    assert len(competing) >= 60
    assert all(1 <= len(model.endpoints) <= 8 for model in shipped.models.values())


def test_every_well_known_author_is_there(shipped: Catalog) -> None:
    authors = {model.id.partition("/")[0] for model in shipped.models.values()}
    assert authors >= {
        "amazon", "anthropic", "cohere", "deepseek", "google", "meta-llama", "microsoft", "minimax", "mistralai",
        "moonshotai", "nvidia", "openai", "qwen", "x-ai", "z-ai",
    }  # fmt: skip


def test_a_file_holds_the_models_of_the_author_that_it_is_named_for() -> None:
    models = [(name, text) for name, text in FILES if name.startswith("models/")]
    assert models
    for name, text in models:
        authors = set(re.findall(r"^  - id: ([^/]+)/", text, re.MULTILINE))
        assert authors == {Path(name).stem}


def test_every_permaslug_has_a_date(shipped: Catalog) -> None:
    undated = [
        model.canonical_slug
        for model in shipped.models.values()
        if not re.search(r"-20\d\d-?\d\d-?\d\d(?::\w+)?$", model.canonical_slug)
    ]
    assert undated == []


def test_every_price_says_when_and_where_it_was_read(shipped: Catalog) -> None:
    assert all(endpoint.price_as_of and endpoint.price_source for endpoint in shipped.endpoints.values())


def test_no_answer_is_made_up(shipped: Catalog) -> None:
    assert not any(provider.simulated for provider in shipped.providers.values())


def test_only_free_variants_are_free(shipped: Catalog) -> None:
    chatting = set(completions(shipped))
    free = {endpoint.model_id for endpoint in chatting if endpoint.price.completion == 0}
    assert free
    assert all(model_id.endswith(":free") for model_id in free)
    for endpoint in set(shipped.endpoints.values()) - chatting:
        assert any(getattr(endpoint.price, kind) for kind in KINDS), endpoint.id


def test_every_operation_is_offered_and_paid_by_what_it_counts(shipped: Catalog) -> None:
    offered = {operation for model in shipped.models.values() for operation in model.operations}
    assert offered == set(Operation)
    paid_by = {
        Operation.EMBEDDINGS: {"prompt"},
        Operation.RERANK: {"prompt", "search_unit"},
        Operation.SPEECH: {"character"},
        Operation.TRANSCRIPTION: {"prompt", "completion", "second"},
        Operation.IMAGES: {"prompt", "completion", "image"},
    }
    for model in shipped.models.values():
        for operation in model.operations & paid_by.keys():
            for endpoint in model.endpoints:
                paid = {kind for kind in KINDS if getattr(endpoint.price, kind)}
                # What is not stated costs what its plain kind costs.
                assert paid - {"reasoning", "cached", "cache_write"} <= paid_by[operation], endpoint.id


def test_no_two_prices_are_swapped(shipped: Catalog) -> None:
    # What is read from a cache is never dearer than what is not, nor an input token dearer than an output token.
    for endpoint in completions(shipped):
        assert endpoint.price.cached <= endpoint.price.prompt <= endpoint.price.completion, endpoint.id


def test_longer_prompts_cost_more_at_some_endpoints(shipped: Catalog) -> None:
    tiered = [endpoint for endpoint in shipped.endpoints.values() if endpoint.price_schedule]
    assert len(tiered) >= 10
    for endpoint in tiered:
        assert endpoint.price_schedule is not None
        assert endpoint.price_schedule.prices[-1].prompt > endpoint.price.prompt, endpoint.id


def test_aliases_follow_the_newest_of_a_family(shipped: Catalog) -> None:
    aliases = {alias: model for model in shipped.models.values() for alias in model.aliases if alias.startswith("~")}
    assert len(aliases) >= 10
    assert all(re.fullmatch(r"~[a-z-]+/[a-z-]+-latest", alias) for alias in aliases)
    for alias, model in aliases.items():
        assert alias[1:].partition("/")[0] == model.id.partition("/")[0]
    opus = [model for model in shipped.models.values() if model.id.startswith("anthropic/claude-opus")]
    assert aliases["~anthropic/claude-opus-latest"] is max(opus, key=lambda model: model.created)


def test_every_dialect_but_that_of_a_local_server_is_used(shipped: Catalog) -> None:
    assert {provider.dialect for provider in shipped.providers.values()} == set(Dialect) - {Dialect.OLLAMA}
    used = {endpoint.provider.slug for endpoint in shipped.endpoints.values()}
    assert used == set(shipped.providers), "a provider without a model is of no use"


def test_addresses_end_where_their_dialect_goes_on(shipped: Catalog) -> None:
    endings = ("/chat/completions", "/messages", "/chat", "/models", "/converse", "/openai")
    for provider in shipped.providers.values():
        assert provider.base_url.startswith("https://")
        if provider.dialect is not Dialect.OPENAI_COMPATIBLE:
            assert not provider.base_url.endswith(endings), provider.slug
        assert not provider.base_url.endswith("/chat/completions")


def test_some_data_policies_are_known_and_the_rest_is_assumed_to_be_the_worse(shipped: Catalog) -> None:
    policies = {slug: provider.data_policy for slug, provider in shipped.providers.items()}
    assert not policies["fireworks"].retains_prompts
    assert not policies["openai"].trains_on_prompts
    assert policies["openai"].retention_days == 30
    assert policies["deepseek"].trains_on_prompts
    assert any(not endpoint.data_policy.retains_prompts for endpoint in shipped.endpoints.values())


def test_the_union_has_endpoints_of_its_own(shipped: Catalog) -> None:
    european = [each for each in shipped.endpoints.values() if each.datacenters and "US" not in each.datacenters]
    assert {endpoint.region for endpoint in european} >= {"eu"}
    assert all(endpoint.upstream_model.startswith("eu.") for endpoint in european if endpoint.region == "eu")


def endpoints_of(catalog: Catalog, dialect: Dialect, model: str = "") -> list[Endpoint]:
    found = [
        each
        for each in catalog.endpoints.values()
        if each.provider.dialect is dialect and re.match(model, each.model_id)
    ]
    assert found
    return found


def test_claude_thinks_in_the_way_of_its_version(shipped: Catalog) -> None:
    adaptive = r"anthropic/claude-(?:(?:opus|sonnet)-4\.[678]|(?:sonnet|fable)-5)$"
    for dialect in (Dialect.ANTHROPIC, Dialect.BEDROCK):
        for endpoint in endpoints_of(shipped, dialect, "anthropic/claude"):
            newer = re.match(adaptive, endpoint.model_id) is not None
            assert (Quirk.ADAPTIVE_THINKING in endpoint.quirks) == newer, endpoint.id
            assert (Quirk.NO_PREFILL in endpoint.quirks) == newer, endpoint.id
            assert (Quirk.NO_XHIGH_EFFORT in endpoint.quirks) == endpoint.model_id.endswith("4.6"), endpoint.id
            assert (Quirk.THINKING_TOGGLE in endpoint.quirks) == endpoint.model_id.endswith("sonnet-5"), endpoint.id
            if dialect is Dialect.BEDROCK:
                assert (Quirk.THINKING_BUDGET in endpoint.quirks) != newer, endpoint.id


def test_bedrock_takes_cache_markers_where_a_cache_has_a_price(shipped: Catalog) -> None:
    for endpoint in endpoints_of(shipped, Dialect.BEDROCK):
        cached = endpoint.price.cached < endpoint.price.prompt
        ours = endpoint.model_id.startswith(("anthropic/", "amazon/"))
        assert (Quirk.CACHE_POINTS in endpoint.quirks) == (cached and ours), endpoint.id
        claude = endpoint.model_id.startswith("anthropic/")
        assert (Quirk.TOOL_CACHE_POINTS in endpoint.quirks) == claude, endpoint.id


def test_gemini_thinks_by_budget_before_3_and_by_level_since(shipped: Catalog) -> None:
    for endpoint in set(endpoints_of(shipped, Dialect.GEMINI)) & set(completions(shipped)):
        older = "gemini-2.5" in endpoint.model_id
        assert (Quirk.THINKING_BUDGET in endpoint.quirks) == older, endpoint.id
        assert (Quirk.ALWAYS_REASONS in endpoint.quirks) == endpoint.model_id.endswith("2.5-pro"), endpoint.id
        assert not older or Quirk.MINIMAL_THINKING not in endpoint.quirks, endpoint.id
        assert "reasoning" in endpoint.supported_parameters, "without it none of this would be said"


def test_a_server_that_refuses_what_it_does_not_know_is_told_to_reason_in_its_own_way(shipped: Catalog) -> None:
    # The member `reasoning` is the public API's: without a quirk it goes upstream as it came.
    ways = {Quirk.REASONING_EFFORT, Quirk.THINKING_TYPE, Quirk.ENABLE_THINKING}
    strict = {"openai", "azure", "cerebras", "fireworks", "groq", "mistral", "nvidia", "xai"}
    told = [
        each
        for each in shipped.endpoints.values()
        if each.provider.slug in strict and "reasoning" in each.supported_parameters
    ]
    assert {each.provider.slug for each in told} >= {"openai", "azure", "fireworks", "groq"}
    for endpoint in told:
        assert endpoint.quirks & ways, endpoint.id


def test_no_endpoint_is_told_in_two_ways_to_reason(shipped: Catalog) -> None:
    ways = {Quirk.REASONING_EFFORT, Quirk.THINKING_TYPE, Quirk.ENABLE_THINKING, Quirk.REASONING_OBJECT,
            Quirk.REASONING_CONFIG, Quirk.THINKING_BUDGET, Quirk.ADAPTIVE_THINKING}  # fmt: skip
    doubly = [each.id for each in shipped.endpoints.values() if len(each.quirks & ways) > 1]
    # Novita has a switch for every model that thinks; this one has efforts as well.
    assert doubly == ["openai/gpt-oss-20b@novita"]


def test_what_has_no_address_of_its_own_cannot_be_called(shipped: Catalog) -> None:
    assert {slug for slug, provider in shipped.providers.items() if not provider.has_address} == {
        "azure",
        "azure-anthropic",
    }


def stated_prices() -> Iterator[tuple[str, str, str]]:
    """Every price of every endpoint as `model@tag`, the kind, and its line in the file with the line above it."""
    for name, text in FILES:
        if not name.startswith("models/"):
            continue
        lines = text.splitlines()
        for model in members(yaml.compose(text, Loader=yaml.SafeLoader))["models"][1].value:
            fields = members(model)
            for endpoint in fields["endpoints"][1].value:
                place = members(endpoint)
                tag = place.get("tag", place["provider"])[1].value
                for kind, (line, _) in members(place["price"][1]).items():
                    yield f"{fields['id'][1].value}@{tag}", kind, "\n".join(lines[line - 1 : line + 1])


def members(node: yaml.Node | None) -> dict[str, tuple[int, yaml.Node]]:
    assert isinstance(node, yaml.MappingNode)
    return {key.value: (key.start_mark.line, value) for key, value in node.value}


def test_a_price_far_from_those_of_others_says_why(shipped: Catalog) -> None:
    lines = {(endpoint, kind): line for endpoint, kind, line in stated_prices()}
    far = []
    for model in shipped.models.values():
        for kind in ("prompt", "completion", "cached", "cache_write"):
            amounts = {each.id: getattr(each.price, kind) for each in model.endpoints if (each.id, kind) in lines}
            middle = median(amounts.values()) if amounts else 0
            far += [(name, kind) for name, amount in amounts.items() if not middle / 20 <= amount <= middle * 20]
    assert far, "that some prices are far apart shows that this looks at them"
    assert [place for place in far if "#" not in lines[place]] == []


def test_the_page_on_the_catalogue_explains_every_quirk_and_dialect() -> None:
    page = (FOLDER.parent / "docs" / "catalog.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted([*Dialect, *Quirk])


def test_the_page_on_the_catalogue_counts_right(shipped: Catalog) -> None:
    page = (FOLDER.parent / "docs" / "catalog.md").read_text()
    counts = f"{len(shipped.models)} well-known models at {len(shipped.endpoints)} endpoints of {len(shipped.providers)} providers"
    assert counts in page


def test_the_example_on_the_page_is_a_catalogue() -> None:
    page = (FOLDER.parent / "docs" / "catalog.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    providers = next(block for block in blocks if block.startswith("providers:"))
    models = next(block for block in blocks if block.startswith("models:"))
    overrides = next(block for block in blocks if block.startswith("overrides:"))
    read = parse_catalog([("providers.yaml", providers), ("models.yaml", models)])
    endpoint = read.model("maker/thing")
    assert endpoint is not None
    assert endpoint.endpoints[0].price_schedule is not None
    many = re.sub(r"          overrides:.*\n.*\n", textwrap.indent(overrides, " " * 10), models).replace(
        "131072", "1000000"
    )
    read = parse_catalog([("providers.yaml", providers), ("models.yaml", many)])
    schedule = next(iter(read.endpoints.values())).price_schedule
    assert schedule is not None
    assert len(schedule.overrides) == 3


def test_the_example_of_an_operators_file_goes_together_with_the_shipped_ones() -> None:
    page = (FOLDER.parent / "docs" / "catalog.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    ours = next(block for block in blocks if block.startswith("provider_overrides:"))
    read = parse_catalog([*FILES, ("ours.yaml", ours)])
    assert read.providers["azure"].has_address
    dedicated = read.endpoint("openai/gpt-4o@azure/dedicated")
    assert dedicated is not None
    assert dedicated.quirks == {Quirk.DEPLOYMENT_PATH, Quirk.PLAIN_MESSAGES}
    assert dedicated.datacenters == ("SE",)
