"""What leaves for providers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.catalog import Provider, ProviderCredentials
from contracts.errors import ErrorReason
from dialects.upstream import UpstreamRequest
from router.adapters.providers.key_ring import KeyRing
from router.domain.errors import KeyHostMismatchError, RequestRefusedError
from router.testing import scripts
from router.testing.catalogs import Offer, catalog_of
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.scripts import speak
from router.testing.workbench import OpenWorkbench

NOW = datetime(2026, 11, 25, tzinfo=UTC)


async def test_a_provider_gets_its_own_key_and_its_own_name_of_the_model(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider:
        offer = Offer("a", url=provider.url, upstream_model="vendor-one-large", parameters=["max_tokens"])
        async with workbench(offer) as router:
            await router.complete(max_tokens=9, temperature=1, session_id="s", user="u", models=[])
            await router.complete(stream=False, seed=3)
        streamed, whole = provider.received
        assert streamed.path == "/v1/chat/completions"
        assert streamed.headers["authorization"] == "Bearer key-of-a"
        assert streamed.headers["accept-encoding"] == "identity"
        assert streamed.body == {
            "model": "vendor-one-large",
            "messages": [{"role": "user", "content": "Say something"}],
            "max_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert set(whole.body) == {"model", "messages"}


@pytest.mark.parametrize(
    ("bounds", "members", "sent"),
    [
        ({}, {}, 40),
        ({}, {"max_tokens": 9}, 9),
        ({}, {"max_completion_tokens": 50}, 50),
        ({"max_completion_tokens": 41}, {}, 40),
        # An endpoint that cannot write more is told nothing.
        ({"max_completion_tokens": 40}, {}, None),
        ({"context_length": 44}, {}, None),
        ({"context_length": 4_096}, {}, 40),
    ],
)
async def test_a_provider_is_told_what_is_paid_for_where_the_request_sets_no_limit(
    workbench: OpenWorkbench, bounds: dict[str, Any], members: dict[str, Any], sent: int | None
) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider:
        offer = Offer("a", url=provider.url, parameters=["max_tokens"], **bounds)
        async with workbench(offer) as router:
            router.caller = replace(router.caller, max_output_tokens=40)
            await router.complete(**members)
        assert provider.received[0].body.get("max_tokens") == sent


async def test_quirks_of_endpoints_are_respected(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider:
        offer = Offer("a", url=provider.url, quirks=["max-completion-tokens", "no-stream-options"])
        async with workbench(offer) as router:
            await router.complete(max_tokens=9)
        (received,) = provider.received
        assert received.body["max_completion_tokens"] == 9
        assert "max_tokens" not in received.body
        assert "stream_options" not in received.body


async def test_a_provider_without_a_secret_gets_no_key(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider, workbench(Offer("a", url=provider.url)) as router:
        router.use_credentials({"a": ""})
        await router.complete()
        assert "authorization" not in provider.received[0].headers


def test_s18_a_key_never_leaves_for_another_host() -> None:
    catalog = catalog_of(Offer("a", url="https://a.example/v1"), Offer("b", url="https://b.example/v1"))
    ring = KeyRing(catalog, ProviderCredentials({"a": "secret-a", "b": "secret-b"}))
    url, headers = ring.request_to(catalog.providers["a"], UpstreamRequest("/chat/completions", b""), NOW)
    assert (str(url), headers["Authorization"]) == ("https://a.example/v1/chat/completions", "Bearer secret-a")
    for address in (
        "https://b.example/v1",
        "http://a.example/v1",
        "https://a.example:8443/v1",
        "https://a.example.evil/",
    ):
        with pytest.raises(KeyHostMismatchError):
            ring.request_to(Provider("a", "A", address), UpstreamRequest("/chat/completions", b""), NOW)
    with pytest.raises(KeyHostMismatchError):
        ring.request_to(Provider("c", "C", "https://c.example"), UpstreamRequest("/chat/completions", b""), NOW)
    assert "secret" not in repr(ring)


def test_a_provider_without_an_address_cannot_be_called_whatever_its_key() -> None:
    catalog = catalog_of(Offer("a", url="https://{resource}.example/v1"), Offer("b", url="https://b.example/v1"))
    ring = KeyRing(catalog, ProviderCredentials({"a": "secret-a", "b": "secret-b"}))
    assert ring.slugs == {"b"}
    with pytest.raises(KeyHostMismatchError):
        ring.request_to(catalog.providers["a"], UpstreamRequest("/chat/completions", b""), NOW)


async def test_new_credentials_are_used_at_once_and_clear_the_record(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider, workbench(Offer("a", url=provider.url)) as router:
        await router.complete()
        router.use_credentials({"a": "new-key"})
        await router.complete()
        assert [each.headers["authorization"] for each in provider.received] == ["Bearer key-of-a", "Bearer new-key"]


async def test_r5_a_rate_limited_key_makes_room_for_another_key_of_the_same_provider(workbench: OpenWorkbench) -> None:
    limited = scripts.refuse(429, {"error": {"message": "slow down"}}, {"Retry-After": "37"})
    by_key = {"Bearer first": limited, "Bearer second": speak(["Hi"])}

    async def script(exchange: Exchange) -> None:
        await by_key[exchange.received.headers["authorization"]](exchange)

    async with ScriptedProvider(script) as provider, workbench(Offer("a", url=provider.url)) as router:
        router.use_credentials({"a": ("first", "second")})
        for _ in range(12):
            outcome = await router.complete()
            assert outcome.text == "Hi"
        used = [received.headers["authorization"] for received in provider.received]
        assert used.count("Bearer first") <= 1
        assert used.count("Bearer second") == 12


LONG = [{"role": "user", "content": f"{number} " + "word " * 100} for number in range(60)]


async def test_a_prompt_that_is_too_long_for_a_small_context_loses_its_middle(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider:
        async with workbench(Offer("a", url=provider.url, context_length=4_000)) as router:
            await router.complete(messages=LONG, max_tokens=100)
        sent = provider.received[0].body["messages"]
    assert sent[0] == LONG[0]
    assert sent[-1] == LONG[-1]
    assert 10 < len(sent) < 60


@pytest.mark.parametrize(
    "members", [{"transforms": []}, {"plugins": [{"id": "context-compression", "enabled": False}]}]
)
async def test_nothing_is_left_out_against_the_callers_will(members: dict[str, Any], workbench: OpenWorkbench) -> None:
    long = [*LONG, *LONG, *LONG]
    async with ScriptedProvider(speak(["Hi"])) as provider:
        async with workbench(Offer("a", url=provider.url, context_length=4_000)) as router:
            with pytest.raises(RequestRefusedError) as caught:
                await router.complete(messages=long, max_tokens=100, **members)
    assert caught.value.reason is ErrorReason.CONTEXT_LENGTH_EXCEEDED
    assert provider.received == []


async def test_a_large_context_is_compressed_for_only_on_request(workbench: OpenWorkbench) -> None:
    long = LONG * 20
    async with ScriptedProvider(speak(["Hi"])) as provider:
        async with workbench(Offer("a", url=provider.url, context_length=16_000)) as router:
            await router.complete(messages=long, max_tokens=100, transforms=["middle-out"])
            with pytest.raises(RequestRefusedError):
                await router.complete(messages=long, max_tokens=100)
    assert len(provider.received[0].body["messages"]) < len(long)
