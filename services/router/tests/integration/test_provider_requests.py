"""What leaves for providers."""

from __future__ import annotations

import pytest

from contracts.catalog import Provider
from router.adapters.provider_keys import KeyRing
from router.domain.errors import KeyHostMismatchError
from router.testing.catalogs import Offer, catalog_of
from router.testing.scripted_provider import ScriptedProvider
from router.testing.scripts import speak
from router.testing.workbench import OpenWorkbench


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
    ring = KeyRing(catalog, {"a": "secret-a", "b": "secret-b"})
    url, headers = ring.request_to(catalog.providers["a"], "/chat/completions")
    assert (str(url), headers["Authorization"]) == ("https://a.example/v1/chat/completions", "Bearer secret-a")
    for address in (
        "https://b.example/v1",
        "http://a.example/v1",
        "https://a.example:8443/v1",
        "https://a.example.evil/",
    ):
        with pytest.raises(KeyHostMismatchError):
            ring.request_to(Provider("a", "A", address), "/chat/completions")
    with pytest.raises(KeyHostMismatchError):
        ring.request_to(Provider("c", "C", "https://c.example"), "/chat/completions")
    assert "secret" not in repr(ring)


async def test_new_credentials_are_used_at_once_and_clear_the_record(workbench: OpenWorkbench) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider, workbench(Offer("a", url=provider.url)) as router:
        await router.complete()
        router.use_credentials({"a": "new-key"})
        await router.complete()
        assert [each.headers["authorization"] for each in provider.received] == ["Bearer key-of-a", "Bearer new-key"]
