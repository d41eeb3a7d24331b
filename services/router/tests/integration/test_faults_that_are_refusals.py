"""Refusals that ask for more than another try, at every dialect, on real sockets: to wait, to change the request."""

from __future__ import annotations

import pytest

from contracts.errors import ErrorReason
from contracts.ids import EndpointId
from router.domain.attempts import FailureKind
from router.domain.errors import RequestRefusedError, UpstreamRateLimitedError
from router.domain.health_view import Standing
from router.testing import scripts
from router.testing.faults import RETRY_AFTER, answering, limiting
from router.testing.native_bench import NAMES, OpenNativeBench, Place, other_than
from router.testing.wires import WIRES
from servicekit.clock import SystemClock

A = EndpointId("acme/one@a")
# The body says it in one dialect only.
FORMS = [
    (dialect, form) for dialect in NAMES for form, way in RETRY_AFTER.items() if way.body is None or dialect == "gemini"
]
TOO_LONG = {
    "openai-compatible": "This model's maximum context length is 8192 tokens",
    "azure-openai": "This model's maximum context length is 8192 tokens",
    "anthropic": "prompt is too long: 9000 tokens > 8192 maximum",
    "bedrock": "Input is too long for requested model.",
    "gemini": "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
    "cohere": "too many tokens: the total number of tokens cannot exceed 8192",
    "ollama": "the prompt exceeds the context length of the model",
}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize(("dialect", "form"), FORMS)
async def test_r5_a_429_goes_elsewhere_and_its_wait_is_kept_in_every_form(
    native_bench: OpenNativeBench, dialect: str, form: str, stream: bool
) -> None:
    wire, way = WIRES[dialect], RETRY_AFTER[form]
    other = other_than(wire)
    reached = await native_bench(Place(wire, limiting(wire, way)), Place(other, answering(other)))
    router = reached.router
    for _ in range(2):
        outcome = await router.complete(stream=stream)
        assert (outcome.text, outcome.provider) == ("Good day", "b")
    assert [attempt.failure for attempt in router.log.records[0].attempts] == [FailureKind.RATE_LIMITED, None]
    assert [attempt.failure for attempt in router.log.records[1].attempts] == [None]
    clock = SystemClock()
    state = router.health.state(A, clock.monotonic(), clock.now())
    # A wait that was named is kept by all means; a guess only puts the endpoint behind the others.
    if way.seconds is None:
        assert (state.standing, state.cooling_for <= 1.0) == (Standing.COOLING, True)
    else:
        assert state.standing is Standing.FORBIDDEN
        assert state.cooling_for == pytest.approx(way.seconds, abs=5.0)
    # It is no outage: nothing is held against the endpoint.
    assert (state.badness, state.success) == (0, 1.0)


@pytest.mark.parametrize("dialect", NAMES)
async def test_r5_the_wait_is_passed_on_when_nobody_else_is_there(native_bench: OpenNativeBench, dialect: str) -> None:
    wire = WIRES[dialect]
    reached = await native_bench(Place(wire, limiting(wire, RETRY_AFTER["seconds"])))
    for _ in range(3):
        with pytest.raises(UpstreamRateLimitedError) as caught:
            await reached.router.complete()
        assert caught.value.retry_after == pytest.approx(37.0, abs=5.0)
    assert len(reached.providers[0].received) == 1


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_400_goes_back_at_once_and_is_not_held_against_the_endpoint(
    native_bench: OpenNativeBench, dialect: str, stream: bool
) -> None:
    wire = WIRES[dialect]
    other = other_than(wire)
    refusal = scripts.refuse(400, wire.refusal(400, "temperature: must be at most 1, key sk-verysecret99"))
    reached = await native_bench(Place(wire, refusal), Place(other, answering(other)))
    with pytest.raises(RequestRefusedError) as caught:
        await reached.router.complete(stream=stream)
    assert (caught.value.reason, caught.value.http_status) == (ErrorReason.PROVIDER_REJECTED, 400)
    assert "temperature: must be at most 1" in caught.value.message
    assert "secret" not in caught.value.message
    assert [len(provider.received) for provider in reached.providers] == [1, 0]
    clock = SystemClock()
    assert reached.router.health.state(A, clock.monotonic(), clock.now()).badness == 0
    (attempt,) = reached.router.only_record().attempts
    assert attempt.failure is FailureKind.REJECTED


@pytest.mark.parametrize("dialect", NAMES)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_r8_what_is_too_long_goes_to_a_larger_context_and_is_no_outage(
    native_bench: OpenNativeBench, dialect: str, stream: bool
) -> None:
    wire = WIRES[dialect]
    other = other_than(wire)
    refusal = scripts.refuse(400, wire.refusal(400, TOO_LONG[dialect]))
    reached = await native_bench(Place(wire, refusal), Place(other, answering(other)))
    for _ in range(4):
        outcome = await reached.router.complete(stream=stream)
        assert (outcome.text, outcome.provider) == ("Good day", "b")
    for record in reached.router.log.records:
        assert [attempt.failure for attempt in record.attempts] == [FailureKind.CONTEXT_LENGTH, None]
    clock = SystemClock()
    state = reached.router.health.state(A, clock.monotonic(), clock.now())
    assert (state.standing, state.badness, state.success) == (Standing.GOOD, 0, 1.0)
    # It was asked every time: that one request is too long says nothing of the next.
    assert len(reached.providers[0].received) == 4
