"""What every CompletionRouter does."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from contracts.errors import ErrorReason
from edge.adapters.router_client import GrpcCompletionRouter
from edge.domain.errors import BrokenAnswerError, DependencyError, RefusedError
from edge.ports import CompletionCall, CompletionRouter
from edge.testing.router import (
    Request,
    ScriptedRouter,
    Stall,
    break_off,
    completed,
    perform,
    refuse,
    speak,
)
from edge.testing.servicers import register_router
from servicekit.testing import run_servicer
from turnpike.router.v1 import completion_pb2, invocation_pb2, router_service_pb2

REQUEST = Request(
    generation_id="gen-1-aaaaaaaaaaaaaaaaaaaa",
    caller=completion_pb2.Caller(org_id="org", key_id="key", hold_nano_usd=7),
    request_json=b"{}",
)


async def read_all(call: CompletionCall) -> list[router_service_pb2.CompleteResponse]:
    messages = []
    while (message := await call.read()) is not None:
        messages.append(message)
    return messages


async def test_an_answer_comes_in_order_and_ends(router: CompletionRouter, scripted_router: ScriptedRouter) -> None:
    scripted_router.script = speak("a", "b")
    call = router.complete(REQUEST)
    messages = await read_all(call)
    await call.finish()
    call.cancel()
    assert messages[0].route.provider_name == "Acme"
    assert [delta.content for message in messages for delta in message.deltas] == ["a", "b", ""]
    assert messages[-1].outcome == completed()
    assert scripted_router.requests == [REQUEST]


async def test_a_stream_that_merely_ends_is_told_from_one_with_an_outcome(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    scripted_router.script = break_off(None, "a")
    messages = await read_all(router.complete(REQUEST))
    assert len(messages) == 1
    assert not messages[0].HasField("outcome")


@pytest.mark.parametrize(
    "reason", [reason for reason in ErrorReason if reason is not ErrorReason.DEPENDENCY_UNAVAILABLE]
)
async def test_a_refusal_keeps_its_reason_and_what_is_said_about_it(
    reason: ErrorReason, router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    metadata = {"http_status": "418", "param": "model"}
    scripted_router.script = refuse(RefusedError(reason, "because", metadata, 2.5))
    with pytest.raises(RefusedError) as raised:
        await router.complete(REQUEST).read()
    error = raised.value
    assert (error.reason, error.message, error.retry_after_s) == (reason, "because", 2.5)
    assert {name: error.metadata[name] for name in metadata} == metadata


async def test_a_router_that_cannot_answer_is_a_dependency(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    scripted_router.script = refuse(DependencyError("router"))
    with pytest.raises(DependencyError):
        await router.complete(REQUEST).read()


async def test_a_router_that_dies_in_the_middle_breaks_the_answer(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    scripted_router.script = break_off(BrokenAnswerError("died"), "a")
    call = router.complete(REQUEST)
    assert await call.read() is not None
    with pytest.raises(BrokenAnswerError) as raised:
        await call.read()
    assert raised.value.status == 502


async def test_the_catalogue_is_listed_when_it_is_news(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    listed = await router.list_models("")
    assert (listed.version, [model.id for model in listed.models]) == ("1", ["acme/one"])
    assert list((await router.list_models("1")).models) == []
    scripted_router.version = "2"
    assert len((await router.list_models("1")).models) == 1
    scripted_router.down = True
    with pytest.raises(DependencyError):
        await router.list_models("")


class TestOverTheWire:
    """What only a call over a network can meet."""

    @pytest.fixture
    async def impatient(self, scripted_router: ScriptedRouter, opened: AsyncExitStack) -> CompletionRouter:
        channel = await opened.enter_async_context(
            run_servicer(lambda server: register_router(server, scripted_router))
        )
        short = timedelta(milliseconds=300)
        return GrpcCompletionRouter(channel, deadline=short, list_timeout=short)

    async def test_silence_until_the_deadline_is_a_timeout(
        self, impatient: CompletionRouter, scripted_router: ScriptedRouter
    ) -> None:
        stall = scripted_router.script = Stall()
        with pytest.raises(RefusedError) as raised:
            await impatient.complete(REQUEST).read()
        assert raised.value.reason is ErrorReason.TIMEOUT
        await stall.cancelled.wait()

    async def test_a_deadline_in_mid_answer_breaks_it(
        self, impatient: CompletionRouter, scripted_router: ScriptedRouter
    ) -> None:
        scripted_router.script = Stall("a")
        call = impatient.complete(REQUEST)
        assert await call.read() is not None
        with pytest.raises(BrokenAnswerError) as raised:
            await call.read()
        assert (raised.value.status, raised.value.error_type) == (504, "timeout")

    async def test_cancelling_stops_the_work(
        self, impatient: CompletionRouter, scripted_router: ScriptedRouter
    ) -> None:
        stall = scripted_router.script = Stall("a")
        call = impatient.complete(REQUEST)
        await call.read()
        call.cancel()
        await stall.cancelled.wait()


INVOKE = invocation_pb2.InvokeRequest(generation_id="gen-1-aaaaaaaaaaaaaaaaaaaa", request_json=b"{}", audio=b"sound")


async def test_an_operation_is_handed_on_as_it_is(router: CompletionRouter, scripted_router: ScriptedRouter) -> None:
    answer = await router.invoke(INVOKE)
    assert answer == await perform(INVOKE)
    assert scripted_router.invocations == [INVOKE]


async def test_an_operation_that_is_refused_keeps_its_reason(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    async def refuses(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        raise RefusedError(ErrorReason.PROVIDER_UNAVAILABLE, "Provider returned error", {"provider_name": "Acme"}, 3.0)

    scripted_router.operation_script = refuses
    with pytest.raises(RefusedError) as caught:
        await router.invoke(INVOKE)
    assert caught.value.reason is ErrorReason.PROVIDER_UNAVAILABLE
    assert (caught.value.metadata["provider_name"], caught.value.retry_after_s) == ("Acme", 3.0)


async def test_an_operation_of_a_router_that_is_away_is_no_refusal(
    router: CompletionRouter, scripted_router: ScriptedRouter
) -> None:
    async def dies(request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        raise DependencyError("router")

    scripted_router.operation_script = dies
    with pytest.raises(DependencyError):
        await router.invoke(INVOKE)
