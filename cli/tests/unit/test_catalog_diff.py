from __future__ import annotations

from decimal import Decimal

from contracts.catalog import Catalog, parse_catalog
from turnpike_cli.catalog_diff import Change, compare

PROVIDERS = """\
providers:
  - {slug: acme, name: Acme, base_url: "https://api.acme.example"}
  - {slug: bolt, name: Bolt, base_url: "https://api.bolt.example"}
"""


def model(name: str, *endpoints: str) -> str:
    return f"""\
  - id: maker/{name}
    name: {name}
    description: A thing.
    created: 2026-01-01
    input_modalities: [text]
    output_modalities: [text]
    endpoints:
{"".join(endpoints)}"""


def endpoint(
    provider: str, price: str = 'prompt: "0.000002", completion: "0.000004"', context: int = 1000, more: str = ""
) -> str:
    return f"      - {{provider: {provider}, upstream_model: x, price: {{{price}}}, context_length: {context}{more}}}\n"


def catalog(*models: str, providers: str = PROVIDERS) -> Catalog:
    return parse_catalog([("p.yaml", providers), ("m.yaml", "models:\n" + "".join(models))])


BASE = catalog(model("one", endpoint("acme"), endpoint("bolt")), model("two", endpoint("acme")))


def test_equal_catalogues_have_no_difference() -> None:
    found = compare(BASE, BASE)
    assert not found
    assert list(found.rows()) == []


def test_what_came_and_what_went_is_named_once() -> None:
    new = catalog(
        model("one", endpoint("acme"), endpoint("acme", more=", tag: acme/eu")), model("three", endpoint("acme"))
    )
    found = compare(BASE, new)
    assert (found.added_models, found.removed_models) == (("maker/three",), ("maker/two",))
    assert (found.added_endpoints, found.removed_endpoints) == (("maker/one@acme/eu",), ("maker/one@bolt",))
    assert found.changes == ()
    assert [row[:2] for row in compare(new, BASE).rows()][:2] == [
        ("model added", "maker/two"),
        ("model removed", "maker/three"),
    ]


def test_a_price_changes_by_percent() -> None:
    new = catalog(
        model("one", endpoint("acme", 'prompt: "0.000003", completion: "0.000001"'), endpoint("bolt")),
        model("two", endpoint("acme")),
    )
    found = compare(BASE, new)
    assert found.changes == (
        Change("maker/one@acme", "prompt", "0.000002", "0.000003", Decimal("50.0"), is_price=True),
        Change("maker/one@acme", "completion", "0.000004", "0.000001", Decimal("-75.0"), is_price=True),
    )
    assert list(found.rows()) == [
        ("prompt", "maker/one@acme", "$2", "$3", "+50.0 %"),
        ("completion", "maker/one@acme", "$4", "$1", "-75.0 %"),
    ]


def test_a_price_that_comes_or_goes_has_no_percentage() -> None:
    cached = 'prompt: "0.000002", completion: "0.000004", cached: "0.0000005"'
    tier = ', overrides: [{min_prompt_tokens: 500, prompt: "0.000006"}]'
    new = catalog(model("one", endpoint("acme", cached + tier), endpoint("bolt")), model("two", endpoint("acme")))
    assert [each[2:] for each in compare(BASE, new).rows()] == [("-", "$0.5", ""), ("-", "$6", "")]
    assert [each.field for each in compare(BASE, new).changes] == ["cached", "prompt over-500"]
    dearer = catalog(
        model("one", endpoint("acme", cached + tier.replace("6", "9")), endpoint("bolt")),
        model("two", endpoint("acme")),
    )
    assert compare(new, dearer).changes == (
        Change("maker/one@acme", "prompt over-500", "0.000006", "0.000009", Decimal("50.0"), is_price=True),
    )


def test_limits_and_policies_and_addresses_are_compared() -> None:
    more = ", max_completion_tokens: 100, quantization: fp8, region: eu, supported_parameters: [seed], expiration_date: 2027-01-01"
    new = catalog(
        model("one", endpoint("acme", context=1500, more=more), endpoint("bolt")),
        model("two", endpoint("acme")),
        providers=PROVIDERS.replace("api.bolt", "api2.bolt").replace(
            "name: Bolt", "name: Bolt, data_policy: {trains_on_prompts: false, retains_prompts: false}"
        ),
    )
    found = {(each.subject, each.field): (each.old, each.new, each.percent) for each in compare(BASE, new).changes}
    assert found == {
        ("maker/one@acme", "context_length"): ("1000", "1500", Decimal("50.0")),
        ("maker/one@acme", "max_completion_tokens"): ("", "100", None),
        ("maker/one@acme", "supported_parameters"): ("", "seed", None),
        ("maker/one@acme", "quantization"): ("unknown", "fp8", None),
        ("maker/one@acme", "region"): ("", "eu", None),
        ("maker/one@acme", "expiration_date"): ("", "2027-01-01", None),
        ("maker/one@bolt", "base_url"): ("https://api.bolt.example", "https://api2.bolt.example", None),
        ("maker/one@bolt", "data_policy"): ("kept, trained on", "not kept, not trained on", None),
    }


def test_programs_get_the_same_with_prices_a_token() -> None:
    new = catalog(model("one", endpoint("acme", 'prompt: "0.000003", completion: "0.000004"'), endpoint("bolt")))
    assert compare(BASE, new).as_json() == {
        "providers": {"added": [], "removed": []},
        "models": {"added": [], "removed": ["maker/two"]},
        "endpoints": {"added": [], "removed": []},
        "changes": [
            {
                "subject": "maker/one@acme",
                "field": "prompt",
                "old": "0.000002",
                "new": "0.000003",
                "percent": Decimal("50.0"),
            }
        ],
    }
