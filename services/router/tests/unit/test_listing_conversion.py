"""The catalogue on the wire: every fact of it that the public API shows."""

from __future__ import annotations

from contracts.catalog import parse_catalog
from router.api.convert_listing import listing_to_proto
from router.catalog_listing import EndpointStatus, Listing

CATALOG = """
providers:
  - slug: europa
    name: Europa GmbH
    base_url: https://europa.example
    headquarters: DE
    datacenters: [DE, FR]
    privacy_policy_url: https://europa.example/privacy
    data_policy: {trains_on_prompts: false, retains_prompts: true, retention_days: 30}
models:
  - id: europa/one
    canonical_slug: europa/one-20260101
    name: One
    description: A model.
    created: 2026-01-01
    expiration_date: 2030-01-31
    input_modalities: [text]
    output_modalities: [text]
    aliases: [~europa/one-latest]
    endpoints:
      - provider: europa
        tag: europa/flex
        upstream_model: one
        service_tier: flex
        region: eu
        context_length: 8192
        price:
          prompt: "0.000001"
          completion: "0.000002"
          as_of: 2026-01-01
          source: https://europa.example/prices
          overrides:
            - {prompt: "0.000003", min_prompt_tokens: 4096}
            - {completion: "0.000001", utc_start: "16:30", utc_end: "00:30", utc_days: [saturday]}
"""


def test_every_public_fact_is_on_the_wire() -> None:
    catalog = parse_catalog([("one.yaml", CATALOG)])
    (model,) = catalog.models.values()
    statuses = {model.endpoints[0].id: EndpointStatus(routable=True, healthy=None)}
    listed = listing_to_proto(Listing("v", (model,), statuses, tuple(catalog.providers.values())))
    (provider,) = listed.providers
    assert (provider.slug, provider.name, provider.headquarters) == ("europa", "Europa GmbH", "DE")
    assert (provider.privacy_policy_url, provider.status_page_url) == ("https://europa.example/privacy", "")
    (row,) = listed.models
    assert (list(row.aliases), row.expiration_date) == (["~europa/one-latest"], "2030-01-31")
    (endpoint,) = row.endpoints
    assert (endpoint.service_tier, endpoint.region, list(endpoint.datacenters)) == ("flex", "eu", ["DE", "FR"])
    assert endpoint.expiration_date == "2030-01-31"
    policy = endpoint.data_policy
    assert (policy.trains_on_prompts, policy.retains_prompts, policy.retention_days) == (False, True, 30)
    longer, saturdays = endpoint.price_overrides
    assert (dict(longer.amounts_pico_usd), longer.min_prompt_tokens) == ({"prompt": 3_000_000}, 4_096)
    assert (saturdays.utc_start, saturdays.utc_end, list(saturdays.utc_days)) == ("1630", "0030", ["saturday"])
    assert not saturdays.HasField("min_prompt_tokens")
