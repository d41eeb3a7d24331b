"""Customers' own provider keys: the order of attempts, who pays, what harms whom, and where a key may go."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import pytest

from contracts.catalog import ProviderCredentials
from contracts.sealed_secrets import KeyEncryptionKeys, Purpose, SealError
from contracts.usage import validate_usage_event
from dialects.upstream import UpstreamRequest
from router.adapters.customer_keys import FRESH_S, STALE_S, GrpcCustomerKeys
from router.adapters.providers.key_ring import KeyRing
from router.domain.customer_keys import CustomerKey
from router.domain.demand import Demand
from router.domain.errors import (
    KeyHostMismatchError,
    NoEndpointsError,
    NotAcceptingError,
    RefusalError,
    UpstreamUnavailableError,
)
from router.domain.health_view import Standing
from router.testing.catalogs import Offer, catalog_of
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.scripts import refuse, speak
from router.testing.workbench import CALLER, OpenBench, Workbench
from servicekit.clock import SystemClock
from servicekit.testing import ManualClock, run_servicer
from turnpike.accounts.v1 import byok_service_pb2, byok_service_pb2_grpc, records_pb2

OWN = "sk-own-canary"
SECOND = speak(["Hi"])


def own(provider: str = "a", secret: str = OWN, **members: Any) -> CustomerKey:
    return CustomerKey(f"byok-{provider}-{secret[-3:]}", provider, lambda: secret, **members)


def bearers(provider: ScriptedProvider) -> list[str]:
    return [received.headers["authorization"].removeprefix("Bearer ") for received in provider.received]


async def only_for(secret: str, exchange: Exchange) -> bool:
    return exchange.received.headers["authorization"] == f"Bearer {secret}"


def accepts(secret: str, status: int = 401, headers: Mapping[str, str] | None = None) -> Any:
    """A provider that takes one key and refuses all others."""

    async def script(exchange: Exchange) -> None:
        await (speak(["Hi"]) if await only_for(secret, exchange) else refuse(status, headers=headers))(exchange)

    return script


async def test_a_customers_key_comes_first_even_over_order_and_price(bench: OpenBench) -> None:
    workbench, (cheap, dear) = await bench(speak(["Hi"]), speak(["Hi"]))
    workbench.customer_keys = (own("b"),)
    outcome = await workbench.complete(provider={"order": ["a"], "sort": "price"})
    assert (outcome.provider, bearers(cheap), bearers(dear)) == ("b", [], [OWN])
    assert outcome.route is not None
    assert outcome.route.is_byok


async def test_then_shared_capacity_then_fallbacks(bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("sk-last"))
    workbench.customer_keys = (own(), own(secret="sk-last", is_fallback=True))
    outcome = await workbench.complete()
    assert bearers(provider) == [OWN, "key-of-a", "sk-last"]
    assert outcome.provider == "a"


async def test_where_a_key_is_required_shared_capacity_is_not_used(bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("key-of-a"))
    workbench.customer_keys = (own(is_required=True),)
    with pytest.raises(UpstreamUnavailableError):
        await workbench.complete()
    assert set(bearers(provider)) == {OWN}


async def test_a_provider_that_only_the_customer_has_a_key_for_can_be_called(bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts(OWN))
    workbench.use_credentials({})
    with pytest.raises(NoEndpointsError):
        await workbench.complete()
    workbench.customer_keys = (own(),)
    assert (await workbench.complete()).text == "Hi"
    workbench.customer_keys = (own(allowed_models=frozenset({"acme/two"})),)
    with pytest.raises(NoEndpointsError):
        await workbench.complete()
    assert bearers(provider) == [OWN]


@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_a_customers_key_that_fails_does_not_harm_the_endpoint_for_others(status: int, bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("key-of-a", status, {"retry-after": "600"}))
    workbench.customer_keys = (own(),)
    clock = SystemClock()
    for _ in range(10):
        assert (await workbench.complete()).text == "Hi"
    state = workbench.health.state(_endpoint(workbench), clock.monotonic(), clock.now(), 10)
    assert (state.standing, state.success) == (Standing.GOOD, 1.0)
    assert bearers(provider) == [OWN] + ["key-of-a"] * 10, "a key that was refused rests"


@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_key_that_rests_is_still_used_where_nothing_else_may_serve(status: int, bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("key-of-a", status, {"retry-after": "600"}))
    workbench.customer_keys = (own(is_required=True),)
    refusals = []
    for _ in range(3):
        with pytest.raises(RefusalError) as refused:
            await workbench.complete()
        refusals.append((refused.value.reason, str(refused.value)))
    assert len(set(refusals)) == 1, "a rest does not change the answer"
    assert set(bearers(provider)) == {OWN}


async def test_another_secret_in_the_place_of_a_refused_one_is_tried_at_once(bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("sk-new"))
    workbench.use_credentials({"a": "sk-new"})
    workbench.customer_keys = (own(),)
    await workbench.complete()
    workbench.customer_keys = (replace(own(), version=2, reveal=lambda: "sk-new"),)
    outcome = await workbench.complete()
    assert bearers(provider) == [OWN, "sk-new", "sk-new"]
    assert outcome.route is not None
    assert outcome.route.is_byok


async def test_of_two_keys_the_one_that_was_refused_comes_after_the_other(bench: OpenBench) -> None:
    workbench, (provider,) = await bench(accepts("sk-second"))
    workbench.customer_keys = (own(), own(secret="sk-second"))
    for _ in range(3):
        outcome = await workbench.complete()
        assert outcome.route is not None
        assert outcome.route.is_byok
    assert bearers(provider) == [OWN] + ["sk-second"] * 3


async def test_a_failure_that_is_not_the_keys_is_the_endpoints(bench: OpenBench) -> None:
    workbench, _ = await bench(refuse(500), speak(["Hi"]))
    workbench.customer_keys = (own(),)
    await workbench.complete()
    clock = SystemClock()
    assert workbench.health.state(_endpoint(workbench), clock.monotonic(), clock.now(), 10).success < 1


def _endpoint(workbench: Workbench) -> Any:
    return workbench.completions.choose(Demand(models=("acme/one",), sort="price")).candidates[0].endpoint.id


@pytest.mark.parametrize(("ppm", "stream"), [(0, True), (50_000, True), (50_000, False)])
async def test_the_charge_is_the_fee_and_what_the_provider_charges_is_told(
    ppm: int, stream: bool, bench: OpenBench
) -> None:
    workbench, _ = await bench(speak(["Hi"]))
    workbench.caller = replace(CALLER, byok_fee_ppm=ppm)
    workbench.customer_keys = (own(),)
    outcome = await workbench.complete(stream=stream)
    event = workbench.event_of(workbench.only_record())
    assert (event.is_byok, event.byok_key_id, event.byok_fee_ppm) == (True, "byok-a-ary", ppm)
    assert event.provider_cost_nano_usd > 0
    assert event.cost_nano_usd == round(event.provider_cost_nano_usd * ppm / 1_000_000)
    assert outcome.ending is not None
    assert (outcome.ending.is_byok, outcome.ending.upstream_cost) == (True, event.provider_cost_nano_usd)
    assert outcome.ending.cost.total == event.cost_nano_usd
    validate_usage_event(event)


async def test_s23_a_customers_key_is_in_no_event_log_or_representation(
    bench: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    workbench, _ = await bench(accepts("key-of-a"))
    workbench.customer_keys = (own(),)
    outcome = await workbench.complete()
    event = workbench.event_of(workbench.only_record())
    shown = f"{workbench.customer_keys!r} {outcome!r} {workbench.log.records!r} {workbench.telemetry.attempts!r}"
    assert OWN not in shown + caplog.text
    assert OWN.encode() not in event.SerializeToString()


def test_s18_a_customers_key_goes_to_the_place_of_its_provider_in_the_catalogue_only() -> None:
    catalog = catalog_of(Offer("a", url="https://a.example"), Offer("b", url="https://b.example"))
    ring = KeyRing(catalog, ProviderCredentials({}))
    request = UpstreamRequest("/v1/chat/completions", b"{}", {})
    provider = catalog.providers["a"]
    url, headers = ring.request_to(provider, request, SystemClock().now(), 0, OWN)
    assert (url.host, headers["Authorization"]) == ("a.example", f"Bearer {OWN}")
    elsewhere = replace(provider, base_url="https://evil.example")
    for stray in (elsewhere, replace(provider, slug="unknown")):
        with pytest.raises(KeyHostMismatchError) as raised:
            ring.request_to(stray, request, SystemClock().now(), 0, OWN)
        assert OWN not in str(raised.value)
    with pytest.raises(KeyHostMismatchError):
        ring.request_to(provider, request, SystemClock().now(), 0)


KEKS = KeyEncryptionKeys("k", {"k": bytes(32)})


class Owner(byok_service_pb2_grpc.ByokServiceServicer):
    """Answers with what a test put there."""

    def __init__(self) -> None:
        self.keys: list[byok_service_pb2.ResolvedByokKey] = []
        self.revision = 1
        self.asked = 0
        self.down = False

    async def ResolveByokKeys(  # noqa: N802 - named by the wire
        self, request: byok_service_pb2.ResolveByokKeysRequest, context: Any
    ) -> byok_service_pb2.ResolveByokKeysResponse:
        self.asked += 1
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")
        return byok_service_pb2.ResolveByokKeysResponse(keys=self.keys, revision=self.revision)

    def add(self, org_id: str, secret: str = OWN, *, sealed_for: str = "", **members: Any) -> None:
        key = byok_service_pb2.ByokKey(
            byok_key_id=f"id-{len(self.keys)}", org_id=org_id, provider="a", workspace_id=org_id, version=1, **members
        )
        purpose = Purpose(sealed_for or org_id, "a", key.byok_key_id, 1)
        sealed = KEKS.seal(secret, purpose, lambda count: bytes(range(count)))
        self.keys.append(
            byok_service_pb2.ResolvedByokKey(
                key=key,
                sealed=byok_service_pb2.SealedKey(
                    kek_id=sealed.kek_id,
                    wrapped_key=sealed.wrapped_key,
                    key_nonce=sealed.key_nonce,
                    ciphertext=sealed.ciphertext,
                    nonce=sealed.nonce,
                ),
            )
        )


@pytest.fixture
async def owner() -> AsyncIterator[tuple[Owner, GrpcCustomerKeys, ManualClock]]:
    servicer, clock = Owner(), ManualClock()  # type: ignore[abstract]  # a router asks nothing else

    def register(server: grpc.aio.Server) -> Sequence[str]:
        byok_service_pb2_grpc.add_ByokServiceServicer_to_server(servicer, server)
        return []

    async with run_servicer(register) as channel:
        yield servicer, GrpcCustomerKeys(channel, lambda: KEKS, clock, timedelta(seconds=5)), clock


async def test_keys_are_asked_for_once_until_something_changes_or_five_minutes_pass(
    owner: tuple[Owner, GrpcCustomerKeys, ManualClock],
) -> None:
    servicer, keys, clock = owner
    assert await keys.of(CALLER) == ()
    assert servicer.asked == 0
    servicer.add(CALLER.org_id)
    caller = replace(CALLER, byok_revision=1)
    for _ in range(3):
        (key,) = await keys.of(caller)
        assert key.reveal() == OWN
    assert servicer.asked == 1
    servicer.revision = 2
    servicer.keys.clear()
    assert await keys.of(replace(caller, byok_revision=2)) == ()
    assert servicer.asked == 2
    await clock.advance(FRESH_S + 1)
    await keys.of(replace(caller, byok_revision=2))
    assert servicer.asked == 3


async def test_with_their_owner_away_known_keys_last_but_a_changed_one_does_not(
    owner: tuple[Owner, GrpcCustomerKeys, ManualClock],
) -> None:
    servicer, keys, clock = owner
    servicer.add(CALLER.org_id)
    caller = replace(CALLER, byok_revision=1)
    await keys.of(caller)
    servicer.down = True
    await clock.advance(FRESH_S + 1)
    assert len(await keys.of(caller)) == 1
    with pytest.raises(NotAcceptingError):
        await keys.of(replace(caller, byok_revision=2))
    await clock.advance(STALE_S)
    with pytest.raises(NotAcceptingError):
        await keys.of(caller)


async def test_s21_a_key_that_was_sealed_for_another_organisation_does_not_open(
    owner: tuple[Owner, GrpcCustomerKeys, ManualClock],
) -> None:
    servicer, keys, _ = owner
    servicer.add(CALLER.org_id, sealed_for="another")
    (key,) = await keys.of(replace(CALLER, byok_revision=1))
    with pytest.raises(SealError):
        key.reveal()


async def test_who_may_use_a_key_is_by_api_key_member_and_workspace(
    owner: tuple[Owner, GrpcCustomerKeys, ManualClock],
) -> None:
    servicer, keys, _ = owner
    servicer.add(CALLER.org_id)
    servicer.add(CALLER.org_id, allowed_user_ids=records_pb2.TextList(values=["user-1"]))
    servicer.add(CALLER.org_id)
    servicer.keys[2].allowed_key_ids.values.append("another key")
    caller = replace(CALLER, byok_revision=1)
    assert [key.byok_key_id for key in await keys.of(caller)] == ["id-0"]
    assert [key.byok_key_id for key in await keys.of(replace(caller, member_id="user-1"))] == ["id-0", "id-1"]
    assert await keys.of(replace(caller, workspace_id="elsewhere")) == ()
