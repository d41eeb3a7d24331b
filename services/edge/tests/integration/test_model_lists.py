"""The list of models: what is kept, in which order, in which form."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from contracts import topics
from edge.testing.router import model
from edge.testing.stack import EdgeStack
from edge.testing.waiting import eventually
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.router.v1 import catalog_pb2

_DAY = 86_400


def described(model_id: str, /, age_days: int = 0, **members: Any) -> catalog_pb2.Model:
    """A model, newer ones by a smaller age; `endpoint_` members go to its endpoint, `price_` members are pico-dollars."""
    prices = {f"{key[6:]}_pico_usd": members.pop(key) for key in list(members) if key.startswith("price_")}
    row = model(model_id, **prices)
    row.created_at.FromSeconds(1_780_000_000 - age_days * _DAY)
    for key, value in members.items():
        target, field = (row.endpoints[0], key[9:]) if key.startswith("endpoint_") else (row, key)
        if isinstance(value, list | tuple):
            del getattr(target, field)[:]
            getattr(target, field).extend(value)
        elif isinstance(value, catalog_pb2.DataPolicy):
            getattr(target, field).CopyFrom(value)
        else:
            setattr(target, field, value)
    return row


def catalogue() -> list[catalog_pb2.Model]:
    """Four models that differ in everything that can be asked for."""
    return [
        described(
            "acme/old-text",
            age_days=100,
            name="Acme: Old Text",
            tokenizer="Llama3",
            endpoint_provider="europa",
            endpoint_provider_name="Europa GmbH",
            endpoint_datacenters=["DE", "FR"],
            endpoint_data_policy=catalog_pb2.DataPolicy(retains_prompts=False),
            price_prompt=100_000,
            price_completion=200_000,
        ),
        described(
            "globex/new-eyes",
            age_days=1,
            name="Globex: Eyes",
            tokenizer="Claude",
            aliases=["~globex/eyes-latest", "globex/eyes"],
            input_modalities=["text", "image"],
            context_length=200_000,
            endpoint_supported_parameters=["max_tokens", "tools", "tool_choice"],
            endpoint_datacenters=["US"],
            endpoint_data_policy=catalog_pb2.DataPolicy(retains_prompts=True),
            price_prompt=3_000_000,
            price_completion=15_000_000,
            expiration_date="2030-01-31",
        ),
        described("acme/vectors", age_days=50, name="Acme: Vectors", output_modalities=["embeddings"]),
        described("acme/middle", age_days=10, name="Acme: Middle", endpoint_datacenters=["DE", "US"]),
    ]


@pytest.fixture
async def lists(edge: EdgeStack) -> EdgeStack:
    """An edge that has the catalogue above."""
    router = edge.around.router
    router.models, router.version = catalogue(), "lists"
    router.providers = [
        catalog_pb2.Provider(slug="acme", name="Acme"),
        catalog_pb2.Provider(
            slug="europa",
            name="Europa GmbH",
            headquarters="DE",
            datacenters=["DE", "FR"],
            privacy_policy_url="https://europa.example/privacy",
        ),
    ]

    async def is_there() -> bool:
        return "acme/middle" in await ids(edge, "")

    await eventually(is_there)
    return edge


async def ids(edge: EdgeStack, query: str, path: str = "/models") -> list[str]:
    """The ids that a query finds, in order."""
    answer = await edge.call("GET", f"{path}?{query}" if query else path)
    assert answer.status == 200, answer.body
    return [row["id"] for row in answer.document["data"]]


ALL_TEXT = ["globex/new-eyes", "~globex/eyes-latest", "acme/middle", "acme/old-text"]
EYES = ["globex/new-eyes", "~globex/eyes-latest"]


FOUND: tuple[tuple[str, list[str]], ...] = (
    ("", ALL_TEXT),
    ("output_modalities=all", [*ALL_TEXT[:3], "acme/vectors", "acme/old-text"]),
    ("output_modalities=embeddings,image", ["acme/vectors"]),
    ("input_modalities=image", EYES),
    ("input_modalities=image,audio", []),
    ("supported_parameters=tools,max_tokens", EYES),
    ("q=eyes", EYES),
    ("q=ACME%20text", ["acme/old-text"]),
    ("context=100000", EYES),
    ("arch=claude", EYES),
    ("model_authors=acme,nobody", ["acme/middle", "acme/old-text"]),
    ("providers=europa%20gmbh", ["acme/old-text"]),
    ("providers=europa", ["acme/old-text"]),
    ("zdr=true", ["acme/old-text"]),
    ("region=eu", ["acme/old-text"]),
    ("region=us", EYES),
    ("min_price=2", EYES),
    ("max_price=0.1", ["acme/old-text"]),
    ("min_output_price=15", EYES),
    ("max_output_price=2", ["acme/middle", "acme/old-text"]),
    ("min_price=null", ALL_TEXT),
    ("distillable=false", ALL_TEXT),
    ("distillable=true", []),
    ("category=programming", []),
    ("min_coding_index=0", []),
    ("min_tool_success_rate=0", []),
    ("min_age_days=1000000", []),
    ("max_age_days=1000000", ALL_TEXT),
    ("sort=newest", ALL_TEXT),
    ("sort=pricing-low-to-high", ["acme/old-text", "acme/middle", *EYES]),
    ("sort=pricing-high-to-low", [*EYES, "acme/middle", "acme/old-text"]),
    ("sort=context-high-to-low", ALL_TEXT),
    ("sort=latency-low-to-high", ALL_TEXT),
    ("sort=coding-high-to-low", ALL_TEXT),
    ("sort=pricing-low-to-high&limit=1&offset=1", ["acme/middle"]),
    ("offset=3", ["acme/old-text"]),
    ("offset=4", []),
    ("unknown=1&sort=", ALL_TEXT),
)


async def test_models_can_be_filtered_and_sorted(lists: EdgeStack) -> None:
    assert {query: await ids(lists, query) for query, _ in FOUND} == dict(FOUND)


BAD = (
    "sort=best",
    "category=poems",
    "output_modalities=smell",
    "input_modalities=text,",
    "context=0",
    "context=many",
    "min_price=-1",
    "max_price=nan",
    "distillable=yes",
    "zdr=false",
    "region=mars",
    "min_age_days=1.5",
    "max_tool_success_rate=2",
    "use_rss=perhaps",
    "q=" + "x" * 1_025,
)


async def test_a_bad_value_is_400_and_names_the_parameter(lists: EdgeStack) -> None:
    for query in BAD:
        answer = await lists.call("GET", f"/models?{query}")
        assert (answer.status, answer.error["metadata"]["param"]) == (400, query.partition("=")[0])


async def test_pages_keep_the_filter_and_count_what_it_finds(lists: EdgeStack) -> None:
    first = (await lists.call("GET", "/models?q=acme&limit=1&sort=pricing-low-to-high")).document
    assert ([row["id"] for row in first["data"]], first["total_count"]) == (["acme/old-text"], 2)
    base = lists.url.removesuffix("/api/v1")
    second = (await lists.call("GET", base + first["links"]["next"])).document
    assert ([row["id"] for row in second["data"]], second["links"]) == (["acme/middle"], {"next": None})


async def test_counts(lists: EdgeStack) -> None:
    assert (await lists.call("GET", "/models/count", key="")).document == {"data": {"count": 4}}
    assert (await lists.call("GET", "/models/count?output_modalities=all")).document == {"data": {"count": 5}}
    assert (await lists.call("GET", "/models/count?output_modalities=smell")).status == 400


async def test_embeddings_models(lists: EdgeStack) -> None:
    assert await ids(lists, "", "/embeddings/models") == ["acme/vectors"]


async def test_an_alias_has_a_line_of_its_own_and_names_its_target(lists: EdgeStack) -> None:
    row = (await lists.call("GET", "/model/~globex/eyes-latest")).document["data"]
    assert (row["id"], row["alias_target"]) == (
        "~globex/eyes-latest",
        {"name": "Globex: Eyes", "slug": "globex/new-eyes"},
    )
    assert row["architecture"]["tokenizer"] == "Router"
    target = (await lists.call("GET", "/model/globex/new-eyes")).document["data"]
    assert row["pricing"] == target["pricing"]
    assert (target["expiration_date"], "alias_target" in target) == ("2030-01-31", False)
    # A plain alias is another name of the model and has no line.
    assert (await lists.call("GET", "/model/globex/eyes")).document["data"] == target
    endpoints = (await lists.call("GET", "/models/~globex/eyes-latest/endpoints")).document["data"]
    assert endpoints["id"] == "globex/new-eyes"
    assert len(endpoints["endpoints"]) == 1


async def test_prices_that_depend_on_the_request_are_told(lists: EdgeStack) -> None:
    row = described("acme/tiers")
    row.endpoints[0].price_overrides.add(
        amounts_pico_usd={"prompt": 2_000_000, "cached": 500_000}, min_prompt_tokens=200_000
    )
    row.endpoints[0].price_overrides.add(
        amounts_pico_usd={"completion": 1_000_000}, utc_start="1630", utc_end="0030", utc_days=["saturday"]
    )
    lists.around.router.models, lists.around.router.version = [row], "tiers"

    async def is_there() -> bool:
        return await ids(lists, "") == ["acme/tiers"]

    await eventually(is_there)
    pricing = (await lists.call("GET", "/model/acme/tiers")).document["data"]["pricing"]
    assert pricing["overrides"] == [
        {"prompt": "0.000002", "input_cache_read": "0.0000005", "min_prompt_tokens": 200000},
        {"completion": "0.000001", "utc_start": 1630, "utc_end": 30, "utc_days": ["saturday"]},
    ]


async def test_the_list_is_a_feed_when_asked_for(lists: EdgeStack) -> None:
    lists.around.router.models[0].description = 'Bold & <b>"new"</b> \x0b text'
    lists.around.router.version = "feed"

    async def is_there() -> bool:
        return b"Bold" in (await lists.call("GET", "/models")).body

    await eventually(is_there)
    answer = await lists.call("GET", "/models?use_rss=true&use_rss_chat_links=true&limit=3&offset=1")
    assert answer.headers["Content-Type"] == "application/rss+xml; charset=utf-8"
    channel = ElementTree.fromstring(answer.body).find("channel")
    assert channel is not None
    items = channel.findall("item")
    assert [item.findtext("guid") for item in items] == ["~globex/eyes-latest", "acme/middle", "acme/old-text"]
    assert items[2].findtext("description") == 'Bold & <b>"new"</b>  text'
    assert items[2].findtext("pubDate") == "Tue, 17 Feb 2026 20:26:40 GMT"
    link = items[1].findtext("link")
    assert link is not None
    assert (await lists.call("GET", link, key="")).document["data"]["id"] == "acme/middle"


async def test_providers(lists: EdgeStack) -> None:
    rows = (await lists.call("GET", "/providers", key="")).document["data"]
    nothing = {
        "privacy_policy_url": None,
        "terms_of_service_url": None,
        "status_page_url": None,
        "headquarters": None,
        "datacenters": None,
    }
    assert rows[0] == {"name": "Acme", "slug": "acme", **nothing}
    assert (rows[1]["headquarters"], rows[1]["datacenters"]) == ("DE", ["DE", "FR"])


async def test_only_endpoints_that_keep_nothing_are_listed_as_such(lists: EdgeStack) -> None:
    rows = (await lists.call("GET", "/endpoints/zdr", key="")).document["data"]
    assert [row["model_id"] for row in rows] == ["acme/old-text"]


async def test_measured_figures_are_shown_and_speed_only_to_who_has_a_key(lists: EdgeStack) -> None:
    # A model of its own: what is published stays for the tests after this one.
    lists.around.router.models = [*catalogue(), described("acme/measured", age_days=5)]
    lists.around.router.version = "measured"
    stats = endpoint_stats_pb2.EndpointStats(endpoint_id="acme/measured@acme")
    stats.measured_at.GetCurrentTime()
    stats.last_5m.uptime, stats.last_30m.uptime, stats.last_1d.uptime = 1.0, 0.995, 0.9
    stats.last_30m.first_token_ms.CopyFrom(endpoint_stats_pb2.Percentiles(p50=200, p75=300, p90=400, p99=900))
    stats.last_30m.tokens_per_second.CopyFrom(endpoint_stats_pb2.Percentiles(p50=80, p75=70, p90=60, p99=20))
    stats.last_1d.tokens, stats.last_1d.tool_answers, stats.last_1d.tool_call_error_rate = 5_000, 100, 0.25
    record = (topics.ENDPOINT_STATS.name, stats.endpoint_id, stats.SerializeToString())
    await lists.publisher.send(record)
    path = "/models/acme/measured/endpoints"

    async def endpoint(key: str | None) -> dict[str, Any]:
        (row,) = (await lists.call("GET", path, key=key)).document["data"]["endpoints"]
        assert isinstance(row, dict)
        return row

    async def is_known() -> bool:
        answer = await lists.call("GET", path)
        return answer.status == 200 and answer.document["data"]["endpoints"][0]["uptime_last_5m"] is not None

    await eventually(is_known)
    seen = await endpoint(None)
    assert (seen["uptime_last_5m"], seen["uptime_last_30m"], seen["uptime_last_1d"]) == (100, 99.5, 90)
    assert seen["latency_last_30m"] == {"p50": 200, "p75": 300, "p90": 400, "p99": 900}
    assert seen["throughput_last_30m"] == {"p50": 80, "p75": 70, "p90": 60, "p99": 20}
    for stranger in ("", "tp_live_nobody"):
        assert await endpoint(stranger) == seen | {"latency_last_30m": None, "throughput_last_30m": None}
    assert (await endpoint(lists.management_key)) == seen
    # The sorts and bounds know the same figures.
    for sort in ("latency-low-to-high", "throughput-high-to-low", "most-popular", "top-weekly"):
        assert await ids(lists, f"sort={sort}") == ["acme/measured", *ALL_TEXT]
    assert await ids(lists, "min_tool_success_rate=0.75") == ["acme/measured"]
    assert await ids(lists, "max_tool_success_rate=0.7") == []


async def test_models_of_a_key_are_those_that_it_may_use(lists: EdgeStack) -> None:
    assert (await lists.call("GET", "/models/user", key="")).status == 401
    everything = [*ALL_TEXT[:3], "acme/vectors", "acme/old-text"]
    assert await ids(lists, "", "/models/user") == everything
    accounts = lists.around.accounts

    async def user_ids(key: str) -> list[str]:
        return [row["id"] for row in (await lists.call("GET", "/models/user", key=key)).document["data"]]

    key, record = accounts.add_key(lists.org.org_id)
    record.allowed_models.extend(["globex/new-eyes", "acme/old-text"])
    await lists.publisher.publish(record)
    assert await user_ids(key) == [*EYES, "acme/old-text"]
    key, record = accounts.add_key(lists.org.org_id)
    record.allowed_providers.append("europa")
    await lists.publisher.publish(record)
    assert await user_ids(key) == ["acme/old-text"]
