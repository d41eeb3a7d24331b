from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from string import Template

import pytest

from contracts.catalog import Catalog, CatalogError, DataPolicy, Dialect, Quirk, parse_catalog
from contracts.ids import EndpointId

PROVIDERS = """\
providers:
  - slug: acme
    name: Acme
    base_url: https://api.acme.example/v1/
    headquarters: DE
    data_policy: {trains_on_prompts: false, retains_prompts: true, retention_days: 30}
  - {slug: bolt, name: Bolt, base_url: "http://127.0.0.1:9000"}
"""

MODEL = """\
models:
  - id: maker/thing-1
    canonical_slug: maker/thing-1-20260101
    name: "Maker: Thing 1"
    description: A thing.
    created: 2026-01-01
    input_modalities: [text, image]
    output_modalities: [text]
    aliases: [maker/thing, ~maker/thing-latest]
    endpoints:
      - provider: acme
        upstream_model: acme/Thing-1
        price:
          prompt: "0.0000001"
          completion: "0.0000003"
          cached: "0.00000001"
          as_of: 2026-07-02
          source: https://acme.example/prices
        context_length: 8192
        max_completion_tokens: 4096
        supported_parameters: [temperature, tools]
        quantization: fp8
        quirks: [max-completion-tokens]
      - provider: acme
        tag: acme/turbo
        upstream_model: thing-1-turbo
        price: {prompt: "0.0000002", completion: "0.0000006", request: "0.001"}
        context_length: 32768
        data_policy: {trains_on_prompts: false, retains_prompts: false}
"""

ROOT = Path(__file__).parents[3]


def catalog(model: str = MODEL, providers: str = PROVIDERS) -> Catalog:
    return parse_catalog([("models.yaml", model), ("providers.yaml", providers)])


def problems(model: str = MODEL, providers: str = PROVIDERS) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        catalog(model, providers)
    return [str(problem) for problem in caught.value.problems]


def test_a_model_is_found_by_each_of_its_names() -> None:
    read = catalog()
    model = read.models[next(iter(read.models))]
    for name in ("maker/thing-1", "maker/thing-1-20260101", "maker/thing", "~maker/thing-latest"):
        assert read.model(name) is model
    assert read.model("maker/thing-2") is None
    assert list(read.models) == ["maker/thing-1"]
    assert model.created == datetime(2026, 1, 1, tzinfo=UTC)
    assert model.context_length == 32768


def test_an_endpoint_has_its_price_in_pico_dollars() -> None:
    endpoint = catalog().endpoint("maker/thing-1@acme")
    assert endpoint is not None
    price = endpoint.price
    assert (price.prompt, price.completion, price.cached) == (100_000, 300_000, 10_000)
    assert (price.reasoning, price.cache_write, price.request) == (300_000, 100_000, 0)
    assert endpoint.provider.base_url == "https://api.acme.example/v1"
    assert endpoint.supported_parameters == {"temperature", "tools"}
    assert endpoint.quirks == {Quirk.MAX_COMPLETION_TOKENS}


def test_what_is_not_said_of_data_is_assumed_to_be_the_worse() -> None:
    read = catalog()
    assert read.providers["bolt"].data_policy == DataPolicy(True, True, None)
    plain, turbo = read.model("maker/thing").endpoints  # type: ignore[union-attr]  # found two tests above
    assert plain.data_policy == DataPolicy(False, True, 30)
    assert turbo.data_policy == DataPolicy(False, False, None)


def test_the_version_follows_the_content_and_not_the_form() -> None:
    version = catalog().version
    assert (
        catalog(MODEL + "# a remark\n", PROVIDERS.replace('"http://127.0.0.1:9000"', "'http://127.0.0.1:9000'")).version
        == version
    )
    assert catalog(MODEL.replace("8192", "8193")).version != version


def test_a_price_version_names_amounts_at_an_endpoint() -> None:
    def version_of(text: str, endpoint: str) -> str:
        found = catalog(text).endpoint(endpoint)
        assert found is not None
        return found.price.version

    version = version_of(MODEL, "maker/thing-1@acme")
    assert version_of(MODEL.replace("8192", "9000").replace("fp8", "bf16"), "maker/thing-1@acme") == version
    assert version_of(MODEL.replace('"0.0000003"', '"0.0000004"'), "maker/thing-1@acme") != version
    same_price = MODEL.replace(
        'prompt: "0.0000002", completion: "0.0000006", request: "0.001"',
        'prompt: "0.0000001", completion: "0.0000003", cached: "0.00000001"',
    )
    assert version_of(same_price, "maker/thing-1@acme/turbo") != version


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"0.0000003"', "0.0000003", "models.yaml:15: completion: must be text in quotes, is a number"),
        ('"0.0000003"', '"0.0000000000001"', "finer than a pico-dollar"),
        ('"0.0000003"', '"-0.0000003"', "negative"),
        ('"0.0000003"', '"3e-7"', "not a plain decimal number"),
        ('"0.0000003"', '"NaN"', "not a plain decimal number"),
        ('"0.0000003"', '"0.30"', "too large; prices are in dollars per token, not per million"),
        ("fp8", "fp7", "models.yaml:22: quantization: 'fp7' is not one of"),
        ("maker/thing-1\n", "Thing One\n", "id: 'Thing One' is not author/slug"),
        ("maker/thing-1\n", "maker/thing-1:nitro\n", "is not author/slug"),
        ("2026-01-01", "yesterday", "created: must be a date"),
        ("2026-01-01", "2026-13-01", "created: must be a date"),
        ("[text, image]", "[text, smell]", "input_modalities: 'smell' is not one of"),
        ("[text, image]", "text", "input_modalities: must be a list, is text"),
        ("[text, image]", "[]", "input_modalities: is empty"),
        ("8192", "0", "context_length: must be a whole number from 1"),
        ("8192", "8_192", "context_length: must be a whole number from 1"),
        ("8192", "8192.0", "context_length: must be a whole number, is a number"),
        ("4096", "9000", "max_completion_tokens: must be a whole number from 0 to 8192"),
        ("[temperature, tools]", "[temprature]", "supported_parameters: 'temprature' is not one of"),
        ("[temperature, tools]", "[tools, tools]", "'tools' is given twice"),
        ("max-completion-tokens", "odd", "quirks: 'odd' is not a quirk of openai-compatible"),
        ("tag: acme/turbo", "tag: other/turbo", "tag: 'other/turbo' is not the provider's slug"),
        ("tag: acme/turbo", "tag: acme", "endpoint 'maker/thing-1@acme' is defined twice"),
        ("provider: acme", "provider: nobody", "provider: no provider 'nobody' is defined"),
        ("quantization", "quantisation", "quantisation: unknown field; did you mean quantization?"),
        ("description: A thing.", 'name: "Again"', "name: given twice"),
        ("    description: A thing.\n", "", "description: is missing"),
        ("A thing.", '""', "description: is empty"),
        ("A thing.", '"bell \\a"', "description: has control characters"),
        ("retains_prompts: false", "retains_prompts: no", "retains_prompts: must be true or false"),
        ("models:", "modles:", "modles: unknown field; did you mean models?"),
    ],
)
def test_a_fault_in_a_model_is_named(old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(MODEL.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("slug: acme", "slug: Acme!", "providers.yaml:2: slug: 'Acme!' is not a slug"),
        ("slug: bolt", "slug: acme", "provider 'acme' is defined twice"),
        ("name: Bolt", "name: Acme", "'Acme' is the name of another provider"),
        ("https://api.acme.example/v1/", "ftp://api.acme.example", "base_url: must be an http or https address"),
        ("https://api.acme.example/v1/", "https://x:99999/", "base_url: must be an http or https address"),
        ("https://api.acme.example/v1/", "https://me:pw@api.acme.example", "base_url: must not hold credentials"),
        ("https://api.acme.example/v1/", "https://x.example/?key=1", "must not have a query"),
        ("headquarters: DE", "headquarters: NO", "headquarters: must be text in quotes, is true or false"),
        ("headquarters: DE", "headquarters: Germany", "is not a country code"),
        ("retains_prompts: true", "retains_prompts: false", "retention_days: nothing is retained"),
        ("headquarters: DE", "dialect: klingon", "dialect: 'klingon' is not one of anthropic, azure-openai"),
        ("headquarters: DE", "simulated: maybe", "simulated: must be true or false, is text"),
        ("providers:\n", "providers: 5\nrest:\n", "providers.yaml:1: providers: must be a list"),
    ],
)
def test_a_fault_in_a_provider_is_named(old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(providers=PROVIDERS.replace(old, new, 1)))


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "models: [", "a: b: c", "--- {}\n--- {}\n", "- 1\n", "\x00", "models: *nowhere\n", "5"]
)
def test_text_that_is_no_catalogue_is_refused(text: str) -> None:
    assert any(problem.startswith("broken.yaml") for problem in _problems_of(("broken.yaml", text)))


def _problems_of(*files: tuple[str, str]) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        parse_catalog(files)
    return [str(problem) for problem in caught.value.problems]


def test_all_faults_of_all_files_come_together_in_order() -> None:
    model = MODEL.replace('"0.0000003"', "3").replace("8192", "-1").replace("fp8", "x")
    found = problems(model, PROVIDERS.replace("DE", "x"))
    assert [problem.split(" ")[0] for problem in found] == [
        "models.yaml:15:",
        "models.yaml:19:",
        "models.yaml:22:",
        "providers.yaml:5:",
    ]


def test_one_name_names_one_model() -> None:
    other = MODEL.split("models:\n")[1].replace("thing-1", "thing-2")
    found = problems(MODEL + other)
    assert any("aliases: 'maker/thing' already names 'maker/thing-1'" in problem for problem in found)
    assert any(
        "id: 'maker/thing-1' already names" in problem for problem in problems(MODEL + MODEL.split("models:\n")[1])
    )


def test_no_files_are_a_fault() -> None:
    assert _problems_of() == ["catalogue: no files"]


def test_the_local_messages_endpoint_waits_for_the_model_that_it_belongs_to() -> None:
    folder = ROOT / "catalog" / "local"
    names = {name: set(Template((folder / name).read_text()).get_identifiers()) for name in (
        "smollm2.yaml.in", "smollm2-messages.yaml.in",
    )}  # fmt: skip
    assert names["smollm2-messages.yaml.in"] == names["smollm2.yaml.in"] | {"SMOLLM2_A_ORIGIN"}


def test_the_shipped_catalogue_goes_together_with_the_local_one() -> None:
    addresses = dict.fromkeys(("SMOLLM2_A_URL", "SMOLLM2_B_URL", "SIM_URL", "EMBEDDER_URL"), "http://127.0.0.1:9/v1")
    addresses["SMOLLM2_A_ORIGIN"] = "http://127.0.0.1:9"
    files = [(str(path), path.read_text()) for path in (ROOT / "catalog").rglob("*.yaml")]
    files += [
        (str(path), Template(path.read_text()).substitute(addresses)) for path in (ROOT / "catalog").rglob("*.yaml.in")
    ]
    read = parse_catalog(files)
    smol = read.model("huggingfacetb/smollm2-135m-instruct")
    assert smol is not None
    assert [endpoint.provider.name for endpoint in smol.endpoints] == ["Local A", "Local B", "Local A (Messages)"]
    prices = [endpoint.price.prompt for endpoint in smol.endpoints]
    assert prices == sorted(set(prices)), "each is dearer than the one before"
    assert smol.endpoints[2].provider.dialect is Dialect.ANTHROPIC
    assert smol.endpoints[2].provider.base_url == "http://127.0.0.1:9"
    simulated = [model for model in read.models.values() if model.id.startswith("sim/")]
    assert simulated
    for model in simulated:
        assert "simulated" in model.description.lower()
        assert all(endpoint.provider.simulated for endpoint in model.endpoints)


def test_an_endpoint_of_a_service_tier_has_a_tag_of_its_own() -> None:
    tiered = MODEL.replace("        tag: acme/turbo\n", "        tag: acme/flex\n        service_tier: flex\n")
    assert catalog(tiered).endpoints[EndpointId("maker/thing-1@acme/flex")].service_tier == "flex"
    untagged = MODEL.replace(
        "        upstream_model: acme/Thing-1\n", "        upstream_model: x\n        service_tier: priority\n"
    )
    assert any("needs a tag of its own" in problem for problem in problems(untagged))
    unknown = tiered.replace("service_tier: flex", "service_tier: slow")
    assert any("service_tier: 'slow' is not one of" in problem for problem in problems(unknown))
    foreign = PROVIDERS.replace("    headquarters: DE\n", "    dialect: gemini\n")
    gemini = tiered.replace("        quirks: [max-completion-tokens]\n", "")
    assert any("only the openai-compatible dialect" in problem for problem in problems(gemini, foreign))
