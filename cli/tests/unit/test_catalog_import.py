from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from contracts.catalog import parse_catalog
from turnpike_cli.catalog_document import DocumentError
from turnpike_cli.catalog_import import import_facts
from turnpike_cli.catalog_models_dev import Facts, FactsError, read_facts
from turnpike_cli.catalog_names import author_of, offer_name

CATALOG = {
    "providers.yaml": """\
providers:
  - slug: acme
    name: Acme
    base_url: https://api.acme.example/v1
    # An older server.
    quirks: [no-developer-role]

  - slug: bolt
    name: Bolt
    base_url: https://api.bolt.example/v1

  - slug: z-ai
    name: Z.AI
    base_url: https://api.z.ai/api/paas/v4
""",
    "models/maker.yaml": """\
# Prices are facts that age.
models:
  # We know this one well.
  - id: maker/thing-1
    name: "Maker: Thing 1"
    description: Our own words.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    aliases: [~maker/thing-latest]
    supported_parameters: [max_tokens, seed]
    quirks: [reasoning-effort] # with the three efforts
    endpoints:
      # By contract.
      - provider: acme
        tag: acme/turbo
        upstream_model: acme/Thing-1
        region: us
        price:
          prompt: "0.000009"
          completion: "0.000009"
          request: "0.001"
          overrides:
            - {min_prompt_tokens: 7, prompt: "0.00001"}
            - {utc_start: "01:00", utc_end: "05:00", prompt: "0.000001"} # off-peak
          as_of: 2026-01-01
          source: https://github.com/anomalyco/models.dev/tree/dev/providers/acme
        context_length: 1000
        max_completion_tokens: 500
        quantization: fp8
        quirks: [no-stream-options]
""",
}


def offer(price: float | None = 1.0, **changes: Any) -> dict[str, Any]:
    row = {
        "name": "Thing",
        "release_date": "2026-02",
        "reasoning": True,
        "tool_call": True,
        "open_weights": True,
        "limit": {"context": 200_000, "output": 8_000},
        "modalities": {"input": ["text", "pdf"], "output": ["text"]},
    }
    return row | ({} if price is None else {"cost": {"input": price, "output": 3 * price}}) | changes


PROVIDERS: dict[str, Any] = {
    "acme": {
        "models": {
            "acme/Thing-1": offer(
                cost={
                    "input": 0.15,
                    "output": 0.6,
                    "cache_read": 0.0028,
                    "cache_write": 0,
                    "tiers": [
                        {"tier": {"size": 100_000}, "input": 0.3, "output": 0.6},
                        {"tier": {"size": 200_000}, "input": 9},
                    ],
                }
            ),
            "acme/Thing-2": offer(2.0, base_model="maker/thing-2"),
            "acme/only-here": offer(base_model="maker/only-here"),
            "acme/speech": offer(base_model="maker/speech", limit={"context": 0, "output": 0}),
        }
    },
    "bolt": {
        "models": {
            "makers/thing-1-instruct-fp8": offer(0.1),
            "old-thing-1": offer(0.01, status="deprecated", base_model="maker/thing-1"),
            "thing-2": offer(1.0, temperature=False),
        }
    },
    "zai": {"models": {"thing-1": offer(0.0), "thing-1-20260101": offer(None)}},
    "unrelated": {"models": {}},
}
SOURCE = "https://github.com/anomalyco/models.dev (MIT) commit f3fc692299671838c7c65fd8126bf84d81a2e817, 2026-07-02"
DAY = date(2026, 7, 2)


def facts(providers: dict[str, Any] = PROVIDERS) -> Facts:
    return read_facts(json.dumps({"source": SOURCE, "models": {}, "providers": providers}))


def imported(*globs: str, files: dict[str, str] = CATALOG) -> dict[str, str]:
    return {**files, **import_facts(files, facts(), DAY, globs).files}


def test_prices_and_limits_are_brought_up_to_date_and_nothing_else() -> None:
    expected = CATALOG["models/maker.yaml"]
    for old, new in (
        ('prompt: "0.000009"', 'prompt: "0.00000015"'),
        ('completion: "0.000009"', 'completion: "0.0000006"\n          cached: "0.0000000028"'),
        ('min_prompt_tokens: 7, prompt: "0.00001"', 'min_prompt_tokens: 100000, prompt: "0.0000003"'),
        ("as_of: 2026-01-01", "as_of: 2026-07-02"),
        ("tree/dev/", "tree/f3fc692299671838c7c65fd8126bf84d81a2e817/"),
        ("context_length: 1000", "context_length: 200000"),
        ("max_completion_tokens: 500", "max_completion_tokens: 8000"),
    ):
        assert old in expected
        expected = expected.replace(old, new, 1)
    result = import_facts(CATALOG, facts(), DAY)
    assert result.files == {"models/maker.yaml": expected}
    assert result.notes == []


OPERATOR = """\
# Ours.
provider_overrides:
  - slug: bolt
    base_url: https://ours.bolt.example/v1
    quirks: [plain-messages] # it is an old version

endpoints:
  # Dedicated to us.
  - model: maker/thing-1
    provider: bolt
    tag: bolt/dedicated
    upstream_model: makers/thing-1-instruct-fp8
    price:
      prompt: "0.000009"
      completion: "0.000009"
      as_of: 2026-01-01
      source: https://github.com/anomalyco/models.dev/tree/dev/providers/bolt
    context_length: 1000
    max_completion_tokens: 500
    quirks: [no-stream-options]
"""


def test_what_an_operator_says_apart_stays_and_gets_the_newer_prices() -> None:
    expected = OPERATOR
    for old, new in (
        ('prompt: "0.000009"', 'prompt: "0.0000001"'),
        ('completion: "0.000009"', 'completion: "0.0000003"'),
        ("as_of: 2026-01-01", "as_of: 2026-07-02"),
        ("tree/dev/", "tree/f3fc692299671838c7c65fd8126bf84d81a2e817/"),
        ("context_length: 1000", "context_length: 200000"),
        ("max_completion_tokens: 500", "max_completion_tokens: 8000"),
    ):
        assert old in expected
        expected = expected.replace(old, new, 1)
    files = {**CATALOG, "ours.yaml": OPERATOR}
    result = import_facts(files, facts(), DAY)
    assert result.files["ours.yaml"] == expected
    again = import_facts({**files, **result.files}, facts(), DAY)
    assert again.files == {}


def test_quirks_of_every_kind_are_still_there_after_an_import() -> None:
    files = {**CATALOG, "ours.yaml": OPERATOR}
    result = import_facts(files, facts(), DAY, ["maker/*"])
    before, after = parse_catalog(list(files.items())), parse_catalog(list({**files, **result.files}.items()))
    assert {name: endpoint.quirks for name, endpoint in after.endpoints.items() if name in before.endpoints} == {
        name: endpoint.quirks for name, endpoint in before.endpoints.items()
    }
    assert {slug: provider.quirks for slug, provider in after.providers.items()} == {
        slug: provider.quirks for slug, provider in before.providers.items()
    }
    assert "    quirks: [reasoning-effort] # with the three efforts\n" in result.files["models/maker.yaml"]
    found = after.endpoint("maker/thing-2@acme")
    assert found is not None
    assert found.quirks == {"no-developer-role"}, "a new endpoint has those of its provider"


def test_what_is_imported_can_be_read_by_the_services() -> None:
    read = parse_catalog(list(imported("maker/*").items()))
    assert list(read.models) == ["maker/thing-1", "maker/thing-2"]
    endpoint = read.endpoints[next(iter(read.endpoints))]
    assert (endpoint.price.prompt, endpoint.price.cached, endpoint.price.cache_write) == (150_000, 2_800, 150_000)


def test_a_pattern_finds_further_providers_by_whatever_they_call_the_model() -> None:
    read = parse_catalog(list(imported("maker/thing-1").items()))
    model = read.model("maker/thing-1")
    assert model is not None
    acme, bolt = model.endpoints
    assert (acme.tag, acme.region, acme.quantization) == ("acme/turbo", "us", "fp8")
    assert bolt.upstream_model == "makers/thing-1-instruct-fp8"
    assert bolt.quantization == "fp8"
    assert bolt.price.prompt == 100_000, "a withdrawn offer is left out, cheap as it is"
    assert bolt.supported_parameters >= {"tools", "reasoning", "temperature"}
    assert acme.supported_parameters == {"max_tokens", "seed"}
    assert model.description == "Our own words."


def test_a_model_is_added_when_two_providers_offer_it() -> None:
    result = import_facts(CATALOG, facts(), DAY, ["maker/*"])
    assert "maker/only-here: left out, fewer than two providers of the catalogue offer it" in result.notes
    assert "maker/speech: left out, fewer than two providers of the catalogue offer it" in result.notes
    added = result.files["models/maker.yaml"].partition("  - id: maker/thing-2\n")[2]
    assert added.startswith("""\
    canonical_slug: maker/thing-2-20260201
    name: "maker: Thing"
    description: A reasoning model with open weights that reads text and file and writes text; context 200000 tokens.
    created: 2026-02-01
    input_modalities: [text, file]
""")
    assert "upstream_model: acme/Thing-2" in added
    assert "upstream_model: thing-2" in added
    assert added.count("supported_parameters") == 2, "the model's, and those of the endpoint that differs"


def test_an_author_without_a_file_gets_one() -> None:
    providers = {
        "acme": {"models": {"glm-9": offer(base_model="zhipuai/glm-9")}},
        "bolt": {"models": {"z/GLM-9-FP8": offer()}},
    }
    result = import_facts(CATALOG, facts(providers), DAY, ["z-ai/*"])
    assert list(result.files) == ["models/z-ai.yaml"]
    assert parse_catalog([*CATALOG.items(), *result.files.items()]).model("z-ai/glm-9-20260201") is not None


def test_a_free_variant_takes_free_offers_only() -> None:
    text = CATALOG["models/maker.yaml"].replace("maker/thing-1", "maker/thing-1:free").partition("    endpoints:")[0]
    files = imported("maker/thing-1:free", files={**CATALOG, "models/maker.yaml": text + "    endpoints: []\n"})
    model = parse_catalog(list(files.items())).model("maker/thing-1:free")
    assert model is not None
    assert [endpoint.provider.slug for endpoint in model.endpoints] == ["z-ai"]


@pytest.mark.parametrize("globs", [[], ["maker/thing-1"], ["*"]])
def test_an_import_is_deterministic_and_once_is_enough(globs: list[str]) -> None:
    shuffled = {key: PROVIDERS[key] for key in sorted(PROVIDERS, reverse=True)}
    first = import_facts(CATALOG, facts(), DAY, globs)
    other = import_facts(dict(reversed(CATALOG.items())), facts(shuffled), DAY, globs)
    assert first.files
    assert first == other
    again = import_facts({**CATALOG, **first.files}, facts(), DAY, globs)
    assert again.files == {}


def test_an_endpoint_that_is_no_longer_listed_stays_and_is_named() -> None:
    result = import_facts(CATALOG, facts({"acme": {"models": {}}}), DAY)
    assert result.files == {}
    assert result.notes == ["maker/thing-1: acme is no longer listed with a price and a context (acme/Thing-1)"]


def test_a_file_that_does_not_change_keeps_its_form() -> None:
    loose = {**CATALOG, "odd.yaml": "models:   [ ]   # nothing yet\n"}
    assert "odd.yaml" not in import_facts(loose, facts(), DAY, ["*"]).files


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DocumentError, match=r"^bad\.yaml: not valid YAML"):
        import_facts({"bad.yaml": "a: ["}, facts(), DAY)


def test_the_published_file_is_read_as_well() -> None:
    plain = read_facts(json.dumps(PROVIDERS))
    assert plain.offers == facts().offers
    assert plain.as_of is None
    assert facts().as_of == DAY
    assert plain.source("acme") == "https://github.com/anomalyco/models.dev/tree/dev/providers/acme"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not JSON"),
        ("[]", "must be an object of providers"),
        ('{"acme": 5}', "acme: must be a provider"),
        ('{"acme": {"models": {"x": {}}}}', "acme: x: KeyError"),
        (json.dumps({"acme": {"models": {"x": offer(cost={"input": -1, "output": 1})}}}), "negative price -1"),
        (json.dumps({"acme": {"models": {"x": offer(limit={"context": "many", "output": 1})}}}), "acme: x: ValueError"),
    ],
)
def test_what_is_not_from_models_dev_is_refused(text: str, expected: str) -> None:
    with pytest.raises(FactsError, match=expected):
        read_facts(text)


def test_older_files_state_one_tier_by_its_name() -> None:
    cost = {"input": 1, "output": 2, "context_over_200k": {"input": 2, "output": 3}}
    row = read_facts(json.dumps({"acme": {"models": {"x": offer(cost=cost)}}})).offers["acme"]["x"]
    assert [(tier.over, tier.amounts) for tier in row.tiers] == [
        (200_000, {"prompt": 2_000_000, "completion": 3_000_000})
    ]


@pytest.mark.parametrize(
    "key",
    [
        "zai-org/GLM-5.2",
        "accounts/fireworks/models/glm-5p2",
        "zai-org/GLM-5.2-FP8",
        "zai-org/GLM-5.2-TEE",
        "zai.glm-5.2",
        "zai-org/glm-5.2-maas",
        "z-ai/glm-5.2",
    ],
)
def test_one_model_has_many_names(key: str) -> None:
    assert offer_name(key) == "glm52"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4", "gpt-4-turbo"),
        ("z-ai/glm-5", "z-ai/glm-5-turbo"),
        ("qwen3-235b-a22b-thinking-2507", "Qwen/Qwen3-235B-A22B-Instruct-2507"),
        ("gpt-5", "gpt-5-mini"),
        ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct"),
    ],
)
def test_two_models_have_two_names(one: str, other: str) -> None:
    assert offer_name(one) != offer_name(other)


def test_regions_vendors_and_dates_are_no_part_of_a_name() -> None:
    assert offer_name("eu.anthropic.claude-haiku-4-5-20251001-v1:0") == offer_name("anthropic/claude-haiku-4.5")
    assert offer_name("mistral.mistral-large-3-675b-instruct") == offer_name("mistralai/mistral-large-3-675b")
    assert author_of("zhipuai/GLM-5") == "z-ai/glm-5"
    assert author_of("") == ""
