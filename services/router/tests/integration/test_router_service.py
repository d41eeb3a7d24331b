"""The whole router over real sockets: gRPC in, providers and Kafka out."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from contracts.ids import usage_event_id
from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.scripts import delta, speak
from router.testing.stack import RouterStack, UsageReader, router_stack, write_files
from router.testing.waiting import eventually
from servicekit.grpc_errors import ErrorDetail, error_info
from servicekit.testing import BrokerProcess, RecordingTelemetry, kafka_broker, new_broker
from turnpike.health.v1 import endpoint_verdict_pb2
from turnpike.router.v1 import router_service_pb2
from turnpike.usage.v1 import token_usage_pb2, usage_event_pb2


async def refusal(
    stack: RouterStack, request: router_service_pb2.CompleteRequest
) -> tuple[grpc.StatusCode, ErrorDetail]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in stack.stub.Complete(request, timeout=20):
            pass
    detail = error_info(caught.value)
    assert detail is not None
    return caught.value.code(), detail


async def test_a_small_answer_is_one_message_and_one_usage_event(tmp_path: Path, broker: BrokerProcess) -> None:
    async with ScriptedProvider(speak(["Good", " day"])) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            whole = await router.complete(session_id="s-1")
            assert len(whole.responses) == 1
            assert (whole.text, whole.route.provider_name, whole.route.model) == ("Good day", "A", "acme/one")
            assert whole.outcome.status == usage_event_pb2.GENERATION_STATUS_COMPLETED
            # 7 tokens at 1,000 and 3 at 2,000 nano-dollars.
            assert whole.outcome.cost_nano_usd == 13_000
            assert whole.outcome.prompt_cost_nano_usd + whole.outcome.completion_cost_nano_usd == 13_000
            streamed = await router.complete(stream=True)
            assert streamed.text == "Good day"
            assert streamed.outcome.cost_nano_usd == 13_000
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(whole.generation_id, streamed.generation_id)
    (event,) = reader.events[whole.generation_id]
    assert event.event_id == usage_event_id(whole.generation_id)
    assert (event.org_id, event.key_id, event.cost_nano_usd, event.session_id) == ("org-1", "key-1", 13_000, "s-1")
    assert (event.model, event.endpoint_id, event.provider) == ("acme/one", "acme/one@a", "a")
    assert event.usage.source == token_usage_pb2.TOKEN_COUNT_SOURCE_PROVIDER
    assert [attempt.outcome for attempt in event.attempts] == [usage_event_pb2.ATTEMPT_OUTCOME_SUCCESS]
    assert event.streamed is False
    assert reader.events[streamed.generation_id][0].streamed is True
    assert reader.keys[whole.generation_id] == b"org-1"
    assert reader.headers[whole.generation_id]["ce_id"] == event.event_id
    assert reader.headers[whole.generation_id]["ce_type"] == "turnpike.usage.recorded.v1"


async def test_the_first_token_is_sent_at_once(tmp_path: Path, broker: BrokerProcess) -> None:
    go_on = asyncio.Event()

    async def hesitant(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("first"))
        await go_on.wait()
        await exchange.event(delta(" second"))
        await exchange.event(delta(finish_reason="stop"))
        await exchange.end_stream()

    async with ScriptedProvider(hesitant) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            responses = aiter(router.stub.Complete(router.request(stream=True), timeout=20))
            first = await anext(responses)
            assert [each.content for each in first.deltas] == ["first"]
            assert first.HasField("route")
            go_on.set()
            rest = [response async for response in responses]
            assert rest[-1].outcome.status == usage_event_pb2.GENERATION_STATUS_COMPLETED
            assert not any(response.HasField("route") for response in rest)


async def test_cancelling_the_rpc_cancels_the_providers_call(tmp_path: Path, broker: BrokerProcess) -> None:
    gone = asyncio.Event()

    async def endless(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("Once upon a time"))
        await exchange.gone()
        gone.set()

    async with ScriptedProvider(endless) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            request = router.request(stream=True)
            call = router.stub.Complete(request, timeout=20)
            assert (await anext(aiter(call))).deltas[0].content == "Once upon a time"
            call.cancel()
            async with asyncio.timeout(5):
                await gone.wait()
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(request.generation_id)
    (event,) = reader.events[request.generation_id]
    assert event.status == usage_event_pb2.GENERATION_STATUS_CANCELLED
    assert event.usage.source == token_usage_pb2.TOKEN_COUNT_SOURCE_ESTIMATE
    assert event.usage.completion_tokens == 4
    assert event.cost_nano_usd > 0


async def test_refusals_carry_a_reason_that_machines_can_read(tmp_path: Path, broker: BrokerProcess) -> None:
    async with ScriptedProvider(scripts.refuse(429, headers={"Retry-After": "37"})) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            code, detail = await refusal(router, router.request())
            assert (code, detail.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
            assert detail.metadata["http_status"] == "429"
            assert detail.metadata["error_type"] == "rate_limit_exceeded"
            assert 35 <= int(detail.metadata["retry_after_s"]) <= 37
            assert json.loads(detail.metadata["availability"])["code"] == "capacity_exhausted"

            code, detail = await refusal(router, router.request(model="acme/none"))
            assert (code, detail.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
            assert (detail.metadata["http_status"], detail.metadata["param"]) == ("400", "model")

            code, detail = await refusal(router, router.request(temperature=9))
            assert (code, detail.metadata["param"]) == (grpc.StatusCode.INVALID_ARGUMENT, "temperature")

            request = router.request()
            request.generation_id = "nonsense"
            code, detail = await refusal(router, request)
            assert (code, detail.metadata["param"]) == (grpc.StatusCode.INVALID_ARGUMENT, "generation_id")


async def test_explain_says_who_and_why_without_calling_anybody(tmp_path: Path, broker: BrokerProcess) -> None:
    offers = [
        Offer("a", prompt="0.000001", completion="0.000001"),
        Offer("b", prompt="0.000002", completion="0.000002"),
        Offer("c", quantization="int4"),
    ]
    async with router_stack(tmp_path, broker.bootstrap, *offers) as router:
        request = router_service_pb2.ExplainRequest(
            request_json=router.request(provider={"quantizations": ["unknown"]}).request_json, seed=4
        )
        first = await router.stub.Explain(request, timeout=20)
        assert first == await router.stub.Explain(request, timeout=20)
        assert (first.model_id, first.strategy) == ("acme/one", "share")
        ranked = {each.endpoint_id: each for each in first.endpoints}
        # A quarter of the weight for twice the price, less what lies beyond the competitive edge.
        assert ranked["acme/one@a"].share == pytest.approx(1 / (1 + 0.25 * 0.75**4))
        assert ranked["acme/one@a"].standing == "good"
        assert ranked["acme/one@b"].expected_cost_pico_usd == 2 * ranked["acme/one@a"].expected_cost_pico_usd > 0
        assert sorted(each.rank for each in first.endpoints) == [0, 1, 2]
        assert (ranked["acme/one@c"].rank, ranked["acme/one@c"].excluded_by) == (0, "quantization")


async def test_the_catalogue_is_listed_and_changes_are_taken_over(tmp_path: Path, broker: BrokerProcess) -> None:
    offers = [Offer("a"), Offer("b", prompt="0.0000005")]
    async with router_stack(tmp_path, broker.bootstrap, *offers) as router:

        async def listed(**members: str) -> router_service_pb2.ListModelsResponse:
            return await router.stub.ListModels(router_service_pb2.ListModelsRequest(**members), timeout=20)

        before = await listed()
        (model,) = before.models
        assert [endpoint.id for endpoint in model.endpoints] == ["acme/one@a", "acme/one@b"]
        assert all(endpoint.routable for endpoint in model.endpoints)
        assert model.endpoints[1].price.prompt_pico_usd == 500_000
        assert model.endpoints[0].health == endpoint_verdict_pb2.ENDPOINT_HEALTH_UNSPECIFIED
        assert not (await listed(known_version=before.version)).models
        assert (await listed(model_id="acme/one")).models[0].id == "acme/one"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(model_id="acme/none")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND

        # A bad file changes nothing.
        good = (router.folder / "catalog.yaml").read_text()
        (router.folder / "catalog.yaml").write_text(good.replace("acme/one", "NOT A NAME"))
        await asyncio.sleep(0.3)
        assert (await listed()).version == before.version

        write_files(router.folder, [*offers, Offer("c", model="acme/two")])
        for _ in range(200):
            after = await listed()
            if after.version != before.version and len(after.models) == 2 and after.models[1].endpoints[0].routable:
                break
            await asyncio.sleep(0.02)
        assert [model.id for model in after.models] == ["acme/one", "acme/two"]


async def test_the_probers_verdict_moves_traffic(tmp_path: Path, broker: BrokerProcess) -> None:
    from aiokafka import AIOKafkaProducer
    from google.protobuf.timestamp_pb2 import Timestamp

    from contracts import topics

    now, later = Timestamp(), Timestamp()
    now.GetCurrentTime()
    later.FromSeconds(now.seconds + 60)
    async with ScriptedProvider(speak(["a"])) as first, ScriptedProvider(speak(["b"])) as second:
        offers = [Offer("v", url=first.url), Offer("w", url=second.url, prompt="0.005", completion="0.005")]
        offers = [Offer(**{**vars(offer), "model": "acme/judged"}) for offer in offers]
        async with router_stack(tmp_path, broker.bootstrap, *offers) as router:
            assert (await router.complete(model="acme/judged")).text == "a"
            # Later than the answer, or the answer would contradict it.
            now.GetCurrentTime()
            verdict = endpoint_verdict_pb2.EndpointVerdict(
                endpoint_id="acme/judged@v",
                health=endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY,
                checked_at=now,
                expires_at=later,
                epoch=1,
                sequence=1,
            )
            producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap)
            await producer.start()
            await producer.send_and_wait(
                topics.HEALTH.name, verdict.SerializeToString(), key=verdict.endpoint_id.encode()
            )
            await producer.stop()
            for _ in range(200):
                models = (await router.stub.ListModels(router_service_pb2.ListModelsRequest(), timeout=20)).models
                if models[0].endpoints[0].health == endpoint_verdict_pb2.ENDPOINT_HEALTH_UNHEALTHY:
                    break
                await asyncio.sleep(0.02)
            assert (await router.complete(model="acme/judged")).text == "b"


async def test_traces_and_metrics_name_the_provider_and_hold_no_text(tmp_path: Path, broker: BrokerProcess) -> None:
    telemetry = RecordingTelemetry("router")
    async with ScriptedProvider(scripts.refuse(500)) as bad, ScriptedProvider(speak(["secret answer"])) as good:
        offers = [
            Offer("a", url=bad.url, upstream_model="up-a"),
            Offer("b", url=good.url, upstream_model="up-b", prompt="0.005", completion="0.005"),
        ]
        async with router_stack(tmp_path, broker.bootstrap, *offers, telemetry=telemetry) as router:
            done = await router.complete(stream=True, max_tokens=50, provider={"sort": "price"})
            assert done.text == "secret answer"
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(done.generation_id)
    failed, served = telemetry.span("chat up-a"), telemetry.span("chat up-b")
    server = next(span for span in telemetry.spans if span.name.endswith("/Complete") and span.kind.name == "SERVER")
    for span in (failed, served):
        assert span.kind.name == "CLIENT"
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "server_error"
    assert served.attributes is not None
    assert served.attributes["gen_ai.provider.name"] == "b"
    assert served.attributes["gen_ai.usage.output_tokens"] == 3
    assert served.attributes["turnpike.route.attempt"] == 2
    assert served.attributes["turnpike.route.endpoint_id"] == "acme/one@b"
    assert telemetry.metric("gen_ai.client.operation.duration") == 2
    assert telemetry.metric("gen_ai.client.token.usage", {"gen_ai.token.type": "output"}) == 1
    trace_id = f"{served.context.trace_id:032x}"
    assert reader.headers[done.generation_id]["traceparent"].split("-")[1] == trace_id
    everything = str([(span.name, dict(span.attributes or {}), span.events) for span in telemetry.spans])
    assert "secret" not in everything
    assert "Say something" not in everything


async def test_r10_the_router_serves_without_a_broker_and_publishes_when_it_comes(tmp_path: Path) -> None:
    broker = new_broker()
    broker.start()
    broker.stop()
    async with ScriptedProvider(speak(["Hi"])) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            done = [await router.complete() for _ in range(3)]
            assert [each.text for each in done] == ["Hi"] * 3
            broker.start()
            try:
                reader = UsageReader(broker.bootstrap)
                await reader.read_until(*[each.generation_id for each in done], seconds=30)
            finally:
                broker.kill()


async def test_a_new_cluster_gets_everything_again_and_a_known_one_only_what_is_new(tmp_path: Path) -> None:
    with kafka_broker() as broker:
        async with ScriptedProvider(speak(["Hi"])) as provider:
            async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
                first = [(await router.complete()).generation_id for _ in range(5)]
                reader = UsageReader(broker.bootstrap)
                await reader.read_until(*first)
                broker.replace()
                second = (await router.complete()).generation_id
                reader = UsageReader(broker.bootstrap)
                await reader.read_until(*first, second, seconds=30)
                assert all(len(reader.events[each]) == 1 for each in first)
                # What was on its way when the cluster was replaced may come twice, with one id.
                assert len({event.event_id for event in reader.events[second]}) == 1
            published = tmp_path / "spool" / "published.json"
            await eventually(lambda: json.loads(published.read_text())["through"] == 6)
            # The same cluster after a restart of the router: nothing is sent twice.
            async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
                third = (await router.complete()).generation_id
                reader = UsageReader(broker.bootstrap)
                await reader.read_until(*first, second, third)
                assert all(len(reader.events[each]) == 1 for each in (*first, third))


async def test_a_caller_that_debugs_sees_what_was_sent_to_each_provider(broker: BrokerProcess, tmp_path: Path) -> None:
    async with ScriptedProvider(scripts.refuse(500)) as bad, ScriptedProvider(speak(["Hi"])) as good:
        offers = (Offer("a", url=bad.url), Offer("b", url=good.url))
        async with router_stack(tmp_path / "router", broker.bootstrap, *offers) as stack:
            wish = {"debug": {"echo_upstream_body": True}, "provider": {"order": ["a", "b"]}}
            answers = [await stack.complete(stream=stream, **wish) for stream in (True, False)]
            long = [{"role": "user", "content": "Hi", "x_note": "x" * (600 << 10)}]
            large = await stack.complete(stream=True, messages=long, **wish)
            silent = await stack.complete(stream=True)
    streamed, whole = answers
    first, second = (json.loads(body) for body in streamed.route.upstream_bodies)
    assert first == second
    assert first["stream"] is True
    assert first["messages"][0]["role"] == "user"
    assert "debug" not in first
    assert not whole.route.upstream_bodies
    assert set(large.route.upstream_bodies) == {b"{}"}
    assert not silent.route.upstream_bodies


async def test_a_caller_that_asks_learns_how_it_was_routed(broker: BrokerProcess, tmp_path: Path) -> None:
    async with ScriptedProvider(scripts.refuse(500)) as bad, ScriptedProvider(speak(["Hi"])) as good:
        offers = (Offer("a", url=bad.url), Offer("b", url=good.url, prompt="0.0001"))
        async with router_stack(tmp_path / "router", broker.bootstrap, *offers) as stack:
            request = stack.request(stream=True, provider={"order": ["a", "b"]}, models=["acme/one-20260101"])
            request.with_metadata = True
            responses = [response async for response in stack.stub.Complete(request, timeout=20)]
            silent = await stack.complete(stream=True)
    route = responses[0].route
    metadata = route.metadata
    assert (metadata.requested_model, metadata.resolution, metadata.strategy) == ("acme/one", "direct", "order")
    assert metadata.endpoints_total == 2
    assert [option.provider_name for option in metadata.options] == ["A", "B"]
    assert [attempt.provider for attempt in route.failed_attempts][:1] == ["a"]
    assert route.provider == "b"
    assert not silent.route.HasField("metadata")


async def test_a_generation_is_filed_under_the_start_that_its_edge_has_said(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    async with ScriptedProvider(speak(["Hi"])) as provider:
        async with router_stack(tmp_path, broker.bootstrap, Offer("a", url=provider.url)) as router:
            reader = UsageReader(broker.bootstrap)
            now_ms = int(datetime.now(UTC).timestamp() * 1_000)
            for skew_ms in (-300_000, 300_000):  # B11: the clock of the edge may be wrong by five minutes
                request = router.request()
                request.caller.started_unix_ms = now_ms + skew_ms
                assert [response async for response in router.stub.Complete(request, timeout=20)]
                await reader.read_until(request.generation_id)
                (event,) = reader.events[request.generation_id]
                assert event.started_at.ToMilliseconds() == now_ms + skew_ms
                assert event.ended_at.ToMilliseconds() >= now_ms + skew_ms


async def test_b09_a_price_that_changes_in_flight_is_for_what_is_dispatched_after(
    tmp_path: Path, broker: BrokerProcess
) -> None:
    go_on = asyncio.Event()

    async def hesitant(exchange: Exchange) -> None:
        await exchange.begin_stream()
        await exchange.event(delta("first"))
        await go_on.wait()
        await exchange.event(delta(finish_reason="stop"))
        await exchange.event({"id": "up-1", "choices": [], "usage": scripts.USAGE})
        await exchange.end_stream()

    async with ScriptedProvider(hesitant) as provider:
        cheap, dear = (Offer("a", url=provider.url, prompt=prompt) for prompt in ("0.000001", "0.000005"))
        async with router_stack(tmp_path, broker.bootstrap, cheap) as router:
            request = router.request(stream=True)
            responses = aiter(router.stub.Complete(request, timeout=20))
            await anext(responses)
            write_files(router.folder, [dear])

            while True:
                listed = await router.stub.ListModels(router_service_pb2.ListModelsRequest(), timeout=5)
                if listed.models[0].endpoints[0].price.prompt_pico_usd == 5_000_000:
                    break
                await asyncio.sleep(0.02)
            go_on.set()
            in_flight = [response async for response in responses][-1].outcome
            later = await router.complete(stream=True)
            reader = UsageReader(broker.bootstrap)
            await reader.read_until(request.generation_id, later.generation_id)
    # 7 tokens at one and at five thousand nano-dollars, and 3 at two.
    assert (in_flight.cost_nano_usd, later.outcome.cost_nano_usd) == (13_000, 41_000)
    ((before,), (after,)) = (reader.events[name] for name in (request.generation_id, later.generation_id))
    assert (before.cost_nano_usd, before.price.prompt_pico_usd) == (13_000, 1_000_000)
    assert (after.cost_nano_usd, after.price.prompt_pico_usd) == (41_000, 5_000_000)
    assert before.price.version != after.price.version
