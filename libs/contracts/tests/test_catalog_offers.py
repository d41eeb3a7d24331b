"""What a catalogue says of models and endpoints besides their price: dialects, variants, regions, last days."""

from __future__ import annotations

from datetime import date

import pytest

from contracts.catalog import Catalog, CatalogError, Dialect, parse_catalog

PROVIDERS = """\
providers:
  - {slug: acme, name: Acme, base_url: "https://api.acme.example", dialect: anthropic, datacenters: [US, DE]}
  - {slug: bolt, name: Bolt, base_url: "https://api.bolt.example/v1"}
"""
MODEL = """\
models:
  - id: maker/thing-2
    canonical_slug: maker/thing-2-20260101
    name: Thing 2
    description: A thing.
    created: 2026-01-01
    expiration_date: 2026-12-31
    input_modalities: [text]
    output_modalities: [text]
    aliases: [~maker/thing-latest]
    supported_parameters: [temperature, tools]
    endpoints:
      - provider: acme
        upstream_model: thing
        region: us-east-1
        price: {prompt: "0.000001", completion: "0.000002"}
        context_length: 1000
      - provider: acme
        tag: acme/eu
        upstream_model: thing
        region: eu
        datacenters: [DE]
        price: {prompt: "0.000002", completion: "0.000003"}
        context_length: 1000
        supported_parameters: [temperature]
        expiration_date: 2026-06-30
      - provider: bolt
        upstream_model: thing
        price: {prompt: "0.000003", completion: "0.000004"}
        context_length: 1000
        supported_parameters: []
"""
VARIANT = (
    MODEL.partition("\n")[2].replace("2026-12-31", "2027-12-31").replace("    aliases: [~maker/thing-latest]\n", "")
)


def catalog(*texts: str) -> Catalog:
    return parse_catalog(
        [("p.yaml", PROVIDERS), *((f"m{place}.yaml", text) for place, text in enumerate(texts or [MODEL]))]
    )


def problems(*texts: str) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        catalog(*texts)
    return [str(problem) for problem in caught.value.problems]


def test_each_dialect_can_be_named() -> None:
    for dialect in Dialect:
        text = PROVIDERS.replace("dialect: anthropic", f"dialect: {dialect}")
        assert parse_catalog([("p.yaml", text), ("m.yaml", MODEL)]).providers["acme"].dialect is dialect
    assert catalog().providers["bolt"].dialect is Dialect.OPENAI_COMPATIBLE


def test_an_endpoint_says_what_it_supports_or_its_model_does() -> None:
    first, second, third = catalog().models[next(iter(catalog().models))].endpoints
    assert first.supported_parameters == {"temperature", "tools"}
    assert second.supported_parameters == {"temperature"}
    assert third.supported_parameters == frozenset(), "an empty list is a statement too"


def test_an_endpoint_says_where_it_runs_or_its_provider_does() -> None:
    first, second, third = next(iter(catalog().models.values())).endpoints
    assert [(each.region, each.datacenters) for each in (first, second, third)] == [
        ("us-east-1", ("US", "DE")),
        ("eu", ("DE",)),
        ("", ()),
    ]


def test_an_endpoint_has_a_last_day_of_its_own_or_that_of_its_model() -> None:
    model = next(iter(catalog().models.values()))
    first, second, _ = model.endpoints
    assert model.expiration_date == first.expiration_date == date(2026, 12, 31)
    assert not second.is_expired(date(2026, 6, 30)), "it still works on its last day"
    assert second.is_expired(date(2026, 7, 1))
    assert not first.is_expired(date(2026, 7, 1))
    endless = catalog(MODEL.replace("    expiration_date: 2026-12-31\n", ""))
    assert not next(iter(endless.endpoints.values())).is_expired(date(9999, 12, 31))


@pytest.mark.parametrize("variant", ["thinking", "extended", "batch"])
def test_a_variant_is_a_model_with_prices_of_its_own(variant: str) -> None:
    other = "models:\n" + VARIANT.replace("thing-2", f"thing-2:{variant}", 1).replace(
        "20260101", f"20260101:{variant}"
    ).replace('"0.000002"', '"0.000005"', 1)
    read = catalog(MODEL, other)
    plain, dearer = read.model("maker/thing-2"), read.model(f"maker/thing-2:{variant}")
    assert plain is not None
    assert dearer is not None
    assert plain.endpoints[0].price.completion < dearer.endpoints[0].price.completion
    assert plain.endpoints[0].price.version != dearer.endpoints[0].price.version
    assert read.model("~maker/thing-latest") is plain


@pytest.mark.parametrize("suffix", ["nitro", "floor", "exacto", "online"])
def test_a_way_of_routing_is_no_part_of_a_name(suffix: str) -> None:
    found = problems(MODEL.replace("maker/thing-2\n", f"maker/thing-2:{suffix}\n"))
    assert any(problem.startswith("m0.yaml:2: id:") and "work with every model" in problem for problem in found)


def test_an_alias_that_two_models_claim_is_refused() -> None:
    other = MODEL.replace("thing-2", "thing-3")
    assert problems(MODEL, other) == ["m1.yaml:10: aliases: '~maker/thing-latest' already names 'maker/thing-2'"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("region: eu", "region: Europe (all)", "m0.yaml:21: region: 'Europe (all)' is not a region"),
        ("datacenters: [DE]", "datacenters: [Germany]", "m0.yaml:22: datacenters: 'Germany' is not a country code"),
        ("2026-06-30", "soon", "m0.yaml:26: expiration_date: must be a date"),
        ("2026-12-31", "2026-02-30", "m0.yaml:7: expiration_date: must be a date"),
        ("[temperature, tools]", "[tempo]", "m0.yaml:11: supported_parameters: 'tempo' is not one of"),
    ],
)
def test_a_fault_is_named(old: str, new: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(MODEL.replace(old, new, 1)))


def test_a_faulty_file_says_everything_at_once_and_changes_nothing_that_was_read() -> None:
    before = catalog()
    version, price = before.version, before.endpoints[next(iter(before.endpoints))].price
    bad = MODEL.replace("2026-06-30", "soon").replace("region: eu", "region: EU").replace('"0.000004"', "4")
    assert [problem.split(" ")[0] for problem in problems(bad)] == ["m0.yaml:21:", "m0.yaml:26:", "m0.yaml:29:"]
    assert before.version == version == catalog().version
    assert before.endpoints[next(iter(before.endpoints))].price is price
