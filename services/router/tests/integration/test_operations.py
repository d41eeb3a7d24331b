"""Operations on real sockets: what they cost, and every fault of a provider, none of which is a success or is seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialects.chat import MaxPrice, ProviderPreferences
from dialects.operations.products import Embeddings
from dialects.operations.requests import (
    EmbeddingsBody,
)
from dialects.operations.vectors import floats_of
from router.domain.attempts import AttemptOutcome, FailureKind
from router.domain.errors import NoEndpointsError, RefusalError, RequestRefusedError
from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing.catalogs import Offer
from router.testing.operation_cases import BAD, CASES, FAULTS, MODEL, SILENT, Case, good, mute, offers, status, too_much
from router.testing.scripted_provider import Exchange, ScriptedProvider
from router.testing.workbench import IMPATIENCE, PATIENCE, OpenWorkbench, Workbench
from servicekit.clock import SystemClock


async def invoke(router: Workbench, case: Case, **options: Any) -> Any:
    return await router.invoke(case.body, case.audio, **options)


@pytest.mark.parametrize("name", list(CASES))
async def test_an_operation_is_answered_counted_and_billed(workbench: OpenWorkbench, name: str) -> None:
    case = CASES[name]
    async with (
        ScriptedProvider(good(case)) as provider,
        workbench(*offers(case, "http://127.0.0.1:9", provider.url)) as router,
    ):
        progress = await invoke(router, case)
        assert isinstance(progress.product, case.product)
        assert progress.ending.cost.total == case.cost
        record = router.only_record()
        assert (record.status, record.operation) == (Status.COMPLETED, case.operation)
        assert [attempt.failure for attempt in record.attempts] == [FailureKind.CONNECT, None]
        assert record.answered is not None
        assert record.answered.cost.total == record.answered.provider_cost == case.cost
        assert record.answered.tokens.source is case.source
        assert provider.received[0].path == case.path
        assert router.completions.in_flight == 0


async def expect_failover(router: Workbench, case: Case, kind: FailureKind) -> None:
    progress = await invoke(router, case)
    assert isinstance(progress.product, case.product)
    assert progress.route.endpoint.provider.slug == "b"
    record = router.only_record()
    assert [attempt.failure for attempt in record.attempts] == [kind, None]
    assert record.status is Status.COMPLETED
    assert record.answered is not None
    assert record.answered.cost.total == case.cost


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("fault", list(FAULTS))
async def test_r6_a_fault_of_a_provider_is_never_seen(workbench: OpenWorkbench, name: str, fault: str) -> None:
    case, (make, kind) = CASES[name], FAULTS[fault]
    async with ScriptedProvider(make(case)) as bad, ScriptedProvider(good(case)) as other:
        async with workbench(*offers(case, bad.url, other.url)) as router:
            await expect_failover(router, case, kind)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.too_much is not None])
async def test_r6_an_answer_to_another_question_is_no_answer(workbench: OpenWorkbench, name: str) -> None:
    """Too many vectors, a document ranked twice, sound without a length, a picture too many."""
    case = CASES[name]
    async with ScriptedProvider(too_much(case)) as bad, ScriptedProvider(good(case)) as other:
        async with workbench(*offers(case, bad.url, other.url)) as router:
            await expect_failover(router, case, BAD)


async def test_r6_a_silence_ends_at_its_limit(workbench: OpenWorkbench) -> None:
    async def at(name: str, fault: str) -> None:
        case = CASES[name]
        async with ScriptedProvider(SILENT[fault](case)) as bad, ScriptedProvider(good(case)) as other:
            async with workbench(*offers(case, bad.url, other.url), patience=IMPATIENCE) as router:
                await expect_failover(router, case, FailureKind.TIMEOUT)

    async with asyncio.TaskGroup() as tasks:
        for name in CASES:
            for fault in SILENT:
                tasks.create_task(at(name, fault))


@pytest.mark.parametrize("name", list(CASES))
@pytest.mark.parametrize("fault", list(FAULTS))
async def test_a_fault_without_another_provider_is_an_error_that_nobody_pays(
    workbench: OpenWorkbench, name: str, fault: str
) -> None:
    case, (make, _) = CASES[name], FAULTS[fault]
    async with ScriptedProvider(make(case)) as bad, workbench(offers(case, bad.url)[0]) as router:
        with pytest.raises(RefusalError) as caught:
            await invoke(router, case)
        assert caught.value.http_status in {429, 502, 503}
        record = router.only_record()
        assert record.status is Status.FAILED
        assert record.answered is None
        assert router.completions.in_flight == 0


@pytest.mark.parametrize("name", list(CASES))
async def test_what_a_provider_calls_invalid_goes_back_at_once(workbench: OpenWorkbench, name: str) -> None:
    case = CASES[name]
    async with ScriptedProvider(status(400)(case)) as bad, ScriptedProvider(good(case)) as other:
        async with workbench(*offers(case, bad.url, other.url)) as router:
            with pytest.raises(RequestRefusedError) as caught:
                await invoke(router, case)
            assert caught.value.http_status == 400
            assert other.received == []


@pytest.mark.parametrize("name", list(CASES))
async def test_a_caller_that_leaves_ends_the_call_and_pays_nothing(workbench: OpenWorkbench, name: str) -> None:
    case = CASES[name]
    began, gone = asyncio.Event(), asyncio.Event()

    async def waits(exchange: Exchange) -> None:
        began.set()
        await exchange.gone()
        gone.set()

    async with ScriptedProvider(waits) as provider, workbench(offers(case, provider.url)[0]) as router:
        generation = router.begin_operation(case.body, case.audio)

        async def answer() -> None:
            async for _ in generation.progress():
                pass

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(answer())
            await began.wait()
            # As the RPC does: first the callback, then the coroutine.
            generation.abandon()
            running.cancel()
        async with asyncio.timeout(5):
            await gone.wait()
        record = router.only_record()
        assert record.status is Status.CANCELLED
        assert record.attempts[0].outcome is AttemptOutcome.CANCELLED
        assert record.answered is not None
        assert record.answered.cost.total == 0


@pytest.mark.parametrize("asked", list(CASES))
@pytest.mark.parametrize("served", [*CASES, "completion"])
async def test_a_model_is_asked_for_what_it_does_or_the_request_is_at_the_wrong_endpoint(
    workbench: OpenWorkbench, asked: str, served: str
) -> None:
    case = CASES[asked]
    writes = "text" if served == "completion" else CASES[served].writes
    async with ScriptedProvider(good(case)) as provider:
        async with workbench(Offer("a", url=provider.url, completion="0", output_modalities=(writes,))) as router:
            if asked == served:
                return
            with pytest.raises(RequestRefusedError) as caught:
                await invoke(router, case)
            assert caught.value.http_status == 400
            assert caught.value.param == "model"
            assert caught.value.availability == {
                "code": "wrong_endpoint",
                "retryable": False,
                "requested_models": [MODEL],
                "constraint": {"field": "model", "detail": f"output modality {writes}"},
            }
            if served != "completion":
                with pytest.raises(RequestRefusedError, match="/chat/completions"):
                    await router.complete()
            assert provider.received == []
            assert router.log.records == []


async def test_vectors_are_asked_for_in_base64_where_that_is_understood(workbench: OpenWorkbench) -> None:
    case = CASES["embeddings"]

    async def encodes(exchange: Exchange) -> None:
        assert exchange.received.body["encoding_format"] == "base64"
        await exchange.reply({"data": [{"index": index, "embedding": "AACAPw=="} for index in range(2)]})

    async with ScriptedProvider(encodes) as provider, workbench(offers(case, provider.url)[0]) as router:
        progress = await router.invoke(case.body)
        assert isinstance(progress.product, Embeddings)
        assert [floats_of(vector) for vector in progress.product.vectors] == [[1.0], [1.0]]
        answered = router.only_record().answered
        assert answered is not None
        # Nobody has counted: the estimate is charged, and called one.
        assert answered.tokens.source is CountSource.ESTIMATE
        assert answered.cost.total == answered.tokens.counts.prompt * 1_000 > 0


async def test_a_length_that_no_endpoint_makes_is_refused_by_name(workbench: OpenWorkbench) -> None:
    case = CASES["embeddings"]
    body = EmbeddingsBody(model=MODEL, input="a", dimensions=8)
    async with ScriptedProvider(good(case)) as provider, workbench(*offers(case, provider.url)) as router:
        with pytest.raises(NoEndpointsError, match="require_parameters"):
            await router.invoke(body)
        assert provider.received == []


async def test_providers_preferences_hold_for_operations(workbench: OpenWorkbench) -> None:
    case = CASES["embeddings"]
    async with ScriptedProvider(good(case)) as first, ScriptedProvider(good(case)) as second:
        async with workbench(*offers(case, first.url, second.url)) as router:
            only = EmbeddingsBody(model=MODEL, input=["a", "b"], provider=ProviderPreferences(only=["b"]))
            progress = await router.invoke(only)
            assert progress.route is not None
            assert progress.route.endpoint.provider.slug == "b"
            dear = EmbeddingsBody(
                model=MODEL, input=["a", "b"], provider=ProviderPreferences(max_price=MaxPrice(prompt=0.5))
            )
            with pytest.raises(NoEndpointsError):
                await router.invoke(dear)


async def test_an_answer_that_comes_after_the_callers_deadline_is_late(workbench: OpenWorkbench) -> None:
    case = CASES["embeddings"]
    async with (
        ScriptedProvider(mute(case)) as provider,
        workbench(offers(case, provider.url)[0], patience=PATIENCE) as router,
    ):
        with pytest.raises(RefusalError) as caught:
            await invoke(router, case, seconds=0.5)
        assert caught.value.http_status == 504
        assert (
            router.health.state(
                next(iter(router.log.records)).attempts[0].endpoint_id, SystemClock().monotonic(), SystemClock().now()
            ).in_flight
            == 0
        )
