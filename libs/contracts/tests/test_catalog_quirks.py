"""Quirks of providers, models and endpoints, and what an operator adds to files that are not theirs."""

from __future__ import annotations

import pytest

from contracts.catalog import QUIRKS_OF, Catalog, CatalogError, DataPolicy, Dialect, Endpoint, Quirk, parse_catalog

PROVIDERS = """\
providers:
  - {slug: acme, name: Acme, base_url: "https://api.acme.example/v1", quirks: [no-developer-role]}
  - {slug: bolt, name: Bolt, base_url: "https://bolt.example", dialect: anthropic}
  - {slug: cell, name: Cell, base_url: "https://{resource}.cell.example", dialect: azure-openai}
"""
MODEL = """\
models:
  - id: maker/thing
    name: Thing
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    supported_parameters: [seed]
    quirks: [no-prefill, reasoning-effort]
    endpoints:
      - provider: acme
        upstream_model: thing
        price: {prompt: "0.000001", completion: "0.000002"}
        context_length: 1000
        quirks: [none-effort]
      - provider: bolt
        upstream_model: thing
        price: {prompt: "0.000001", completion: "0.000002"}
        context_length: 1000
"""
AZURE = """\
endpoints:
  - model: maker/thing
    provider: cell
    upstream_model: mine
    price: {prompt: "0.000003", completion: "0.000004"}
    context_length: 500
"""


def catalog(*more: str, providers: str = PROVIDERS, model: str = MODEL) -> Catalog:
    return parse_catalog(
        [("p.yaml", providers), ("m.yaml", model), *((f"o{place}.yaml", text) for place, text in enumerate(more))]
    )


def problems(*more: str, providers: str = PROVIDERS, model: str = MODEL) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        catalog(*more, providers=providers, model=model)
    return [str(problem) for problem in caught.value.problems]


def endpoint(read: Catalog, tag: str) -> Endpoint:
    found = read.endpoint(f"maker/thing@{tag}")
    assert found is not None
    return found


def test_quirks_of_the_provider_the_model_and_the_endpoint_add_up() -> None:
    read = catalog(AZURE)
    assert endpoint(read, "acme").quirks == {Quirk.NO_DEVELOPER_ROLE, Quirk.REASONING_EFFORT, Quirk.NONE_EFFORT}
    assert endpoint(read, "bolt").quirks == {Quirk.NO_PREFILL}, "what its dialect does not know is not meant for it"
    assert endpoint(read, "cell").quirks == {Quirk.REASONING_EFFORT}


def test_an_endpoint_may_be_said_apart_from_its_model() -> None:
    read = catalog(AZURE)
    model = read.models[endpoint(read, "cell").model_id]
    assert [each.tag for each in model.endpoints] == ["acme", "bolt", "cell"]
    assert read.model("maker/thing") is model
    assert endpoint(read, "cell").supported_parameters == {"seed"}
    assert endpoint(read, "cell").price.prompt == 3_000_000


@pytest.mark.parametrize("dialect", Dialect)
def test_every_dialect_takes_its_own_quirks_and_no_other(dialect: Dialect) -> None:
    for quirk in Quirk:
        providers = PROVIDERS.replace("dialect: anthropic", f"dialect: {dialect}, quirks: [{quirk}]")
        model = MODEL.replace("no-prefill, ", "")
        if quirk in QUIRKS_OF[dialect]:
            assert quirk in endpoint(catalog(providers=providers, model=model), "bolt").quirks
        else:
            (problem,) = problems(providers=providers, model=model)
            assert problem.startswith(f"p.yaml:3: quirks: {quirk.value!r} is not a quirk of {dialect}, which knows ")


def test_every_quirk_is_known_to_a_dialect() -> None:
    assert set(QUIRKS_OF) == set(Dialect)
    assert set().union(*QUIRKS_OF.values()) == set(Quirk)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[none-effort]", "[none-efort]", "m.yaml:15: quirks: 'none-efort' is not a quirk of openai-compatible, which"),
        ("[none-effort]", "[no-prefill]", "m.yaml:15: quirks: 'no-prefill' is not a quirk of openai-compatible, which"),
        ("[no-prefill,", "[cache-point,", "m.yaml:9: quirks: 'cache-point' is not a quirk of"),
        (
            "[no-prefill,",
            "[cache-points,",
            "m.yaml:9: quirks: none of the model's endpoints has a dialect that knows 'cache-points'",
        ),
        ("[none-effort]", "[none-effort, none-effort]", "m.yaml:15: quirks: 'none-effort' is given twice"),
    ],
)
def test_a_quirk_that_says_nothing_is_a_fault(old: str, new: str, expected: str) -> None:
    (problem,) = problems(model=MODEL.replace(old, new))
    assert problem.startswith(expected)


def test_a_dialect_without_quirks_says_so() -> None:
    (problem,) = problems(
        providers=PROVIDERS.replace("anthropic", "cohere, quirks: [no-prefill]"),
        model=MODEL.replace("no-prefill, ", ""),
    )
    assert problem == "p.yaml:3: quirks: 'no-prefill' is not a quirk of cohere, which knows none"


def test_a_provider_without_an_address_cannot_be_called() -> None:
    read = catalog(AZURE)
    assert [slug for slug, provider in read.providers.items() if not provider.has_address] == ["cell"]
    assert not endpoint(read, "cell").provider.has_address


def test_an_operator_gives_the_address_and_says_what_is_different() -> None:
    read = catalog(
        AZURE,
        """\
provider_overrides:
  - slug: cell
    base_url: https://mine.cell.example/
    datacenters: [SE]
    data_policy: {trains_on_prompts: false, retains_prompts: false}
    quirks: [deployment-path]
  - {slug: acme, quirks: [plain-messages]}
""",
    )
    cell = endpoint(read, "cell")
    assert cell.provider is read.providers["cell"]
    assert cell.provider.has_address
    assert (cell.provider.base_url, cell.provider.name) == ("https://mine.cell.example", "Cell")
    assert (cell.datacenters, cell.data_policy) == (("SE",), DataPolicy(False, False))
    assert cell.quirks == {Quirk.DEPLOYMENT_PATH, Quirk.REASONING_EFFORT}
    acme = endpoint(read, "acme")
    assert acme.quirks >= {Quirk.NO_DEVELOPER_ROLE, Quirk.PLAIN_MESSAGES}
    assert acme.provider.base_url == "https://api.acme.example/v1"
    assert read.version != catalog(AZURE).version


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("{slug: dune, base_url: 'https://x.example'}", "o0.yaml:2: slug: no provider 'dune' is defined"),
        ("{slug: cell}", "o0.yaml:2: changes nothing: give at least one of base_url, datacenters, data_policy, quirks"),
        (
            "{slug: cell, base_url: 'https://{resource}.x.example'}",
            "o0.yaml:2: base_url: 'https://{resource}.x.example' has a part that is not filled in",
        ),
        ("{slug: cell, base_url: ftp://x.example}", "o0.yaml:2: base_url: must be an http or https address"),
        ("{slug: cell, quirks: [no-prefill]}", "o0.yaml:2: quirks: 'no-prefill' is not a quirk of azure-openai, which"),
        ("{slug: cell, quirks: [deployment-path], name: Mine}", "o0.yaml:2: name: unknown field"),
        ("{slug: Cell, quirks: []}", "o0.yaml:2: slug: 'Cell' is not a slug"),
        ("cell", "o0.yaml:2: must be a mapping, is text"),
    ],
)
def test_an_override_that_cannot_hold_is_a_fault(row: str, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(f"provider_overrides:\n  - {row}\n"))


def test_a_provider_is_overridden_once() -> None:
    row = "provider_overrides:\n  - {slug: acme, quirks: [plain-messages]}\n"
    assert problems(row, row) == ["o1.yaml:2: slug: provider 'acme' is overridden twice"]


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://your-resource.cell.example", "'your-resource' stands for something; write a part to be filled in as"),
        ("https://<resource>.cell.example", "'<' stands for something"),
        ("https://{Resource}.cell.example", "has a part that is not filled in"),
        ("https://{resource.cell.example", "has a part that is not filled in"),
        ("https://{resource}.cell.example?version=1", "must not have a query or a fragment"),
        ("{resource}.cell.example", "must be an http or https address"),
    ],
)
def test_an_address_that_is_none_is_a_fault(address: str, reason: str) -> None:
    found = problems(providers=PROVIDERS.replace("https://{resource}.cell.example", address))
    assert len(found) == 1
    assert found[0].startswith("p.yaml:4: base_url: ")
    assert reason in found[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("maker/thing", "maker/other", "o0.yaml:2: model: no model 'maker/other' is defined"),
        ("model: maker/thing", "tag: cell", "o0.yaml:2: model: is missing"),
        ("provider: cell", "provider: acme", "o0.yaml:2: tag: endpoint 'maker/thing@acme' is defined twice; give one"),
        ("upstream_model", "upstream", "o0.yaml:4: upstream: unknown field; did you mean"),
    ],
)
def test_an_endpoint_apart_from_its_model_has_the_faults_of_any(old: str, new: str, expected: str) -> None:
    found = problems(AZURE.replace(old, new, 1))
    assert any(problem.startswith(expected) for problem in found), found
