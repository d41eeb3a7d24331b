"""What several attempts come to, on real sockets: the answer, or the one thing that the caller is told."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from typing import Any

import pytest

from contracts.errors import ErrorReason
from contracts.ids import EndpointId
from router.domain.attempts import AttemptOutcome, FailureKind
from router.domain.errors import (
    RefusalError,
    RequestRefusedError,
    UpstreamRateLimitedError,
    UpstreamUnavailableError,
)
from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing import scripts
from router.testing.catalogs import Offer
from router.testing.scripted_provider import Exchange, Script, ScriptedProvider
from router.testing.scripts import answer, delta, speak
from router.testing.workbench import IMPATIENCE, PATIENCE, OpenBench, OpenWorkbench

GOOD = speak(["Good", " day"])
RATE_LIMITED = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
TOO_LONG = scripts.refuse(400, {"error": {"code": "context_length_exceeded", "message": "too long"}})


async def test_an_answer_that_is_whole_survives_the_loss_of_its_counts(bench: OpenBench) -> None:
    broken = scripts.slowly(scripts.stream(delta("Good day"), delta(finish_reason="stop"), end=False))
    stalled = scripts.slowly(scripts.stall_after(delta("Good day"), delta(finish_reason="stop")))
    for script in (broken, stalled, speak(["Good day"], usage=None), speak(["Good day"], usage={"prompt_tokens": -1})):
        router, _ = await bench(script, patience=IMPATIENCE)
        outcome = await router.complete()
        assert (outcome.text, outcome.interruption) == ("Good day", None)
        record = router.only_record()
        assert record.status is Status.COMPLETED
        assert record.answered is not None
        assert record.answered.tokens.source is CountSource.ESTIMATE
        assert record.answered.tokens.counts.completion == 2


async def test_a_repeated_done_changes_nothing(bench: OpenBench) -> None:
    script = scripts.stream(delta("Hi"), delta(finish_reason="stop"), b"[DONE]", b"[DONE]", delta("more"))
    router, _ = await bench(script)
    assert (await router.complete()).text == "Hi"


async def test_keep_alives_do_not_hide_a_stall(bench: OpenBench) -> None:
    async def chatter(exchange: Any) -> None:
        await exchange.begin_stream()
        while True:
            await exchange.chunk(b": still thinking\n\n")
            await asyncio.sleep(0.02)

    router, _ = await bench(chatter, GOOD, patience=IMPATIENCE)
    assert (await router.complete()).provider == "b"
    assert router.only_record().attempts[0].failure is FailureKind.TIMEOUT


@pytest.mark.parametrize(
    ("script", "error", "reason", "status"),
    [
        (scripts.refuse(500), UpstreamUnavailableError, ErrorReason.PROVIDER_OVERLOADED, 503),
        (scripts.reset, UpstreamUnavailableError, ErrorReason.PROVIDER_UNAVAILABLE, 502),
        (scripts.refuse(401), UpstreamUnavailableError, ErrorReason.PROVIDER_UNAVAILABLE, 502),
        (scripts.refuse(529), UpstreamUnavailableError, ErrorReason.PROVIDER_OVERLOADED, 503),
        (scripts.silence, UpstreamUnavailableError, ErrorReason.TIMEOUT, 504),
        (scripts.refuse(429), UpstreamRateLimitedError, ErrorReason.RATE_LIMITED, 429),
    ],
)
async def test_when_all_fail_the_caller_learns_what_kind_of_trouble_it_is(
    bench: OpenBench, script: Script, error: type[RefusalError], reason: ErrorReason, status: int
) -> None:
    router, _ = await bench(script, script, patience=IMPATIENCE if script is scripts.silence else PATIENCE)
    with pytest.raises(error) as caught:
        await router.complete()
    assert (caught.value.reason, caught.value.http_status) == (reason, status)
    assert caught.value.availability is not None
    assert caught.value.availability["retryable"] is True
    assert caught.value.availability["affected_providers"] == ["a", "b"]
    # What may pass by itself is tried a third time, at the first of the two; the rest would be the same again.
    passing = {"connect", "server_error", "overloaded"}
    tries = ["A", "B", "A"] if caught.value.previous_errors[0]["code"] in passing else ["A", "B"]
    assert [error["provider"] for error in caught.value.previous_errors] == tries
    record = router.only_record()
    assert (record.status, record.answered) == (Status.FAILED, None)


async def test_r05_the_shortest_wait_is_passed_on_and_kept(bench: OpenBench) -> None:
    limits = [scripts.refuse(429, RATE_LIMITED, {"Retry-After": seconds}) for seconds in ("37", "90")]
    router, providers = await bench(*limits)
    for _ in range(3):
        with pytest.raises(UpstreamRateLimitedError) as caught:
            await router.complete()
        assert caught.value.retry_after == pytest.approx(37, abs=2)
    assert [len(provider.received) for provider in providers] == [1, 1]
    # A request that was not sent to anybody has no usage event.
    assert len(router.log.records) == 1


async def test_an_invalid_request_goes_back_without_another_attempt(bench: OpenBench) -> None:
    text = "temperature 5 is too high for org-secret12345, key sk-verysecret99"
    router, providers = await bench(scripts.refuse(400, {"error": {"message": text}}), GOOD)
    with pytest.raises(RequestRefusedError) as caught:
        await router.complete()
    assert (caught.value.reason, caught.value.http_status) == (ErrorReason.PROVIDER_REJECTED, 400)
    assert "temperature 5 is too high" in caught.value.message
    assert "secret" not in caught.value.message
    assert len(providers[1].received) == 0


async def test_r08_what_is_too_long_for_all_is_the_callers_fault(bench: OpenBench) -> None:
    router, _ = await bench(TOO_LONG, TOO_LONG)
    with pytest.raises(RequestRefusedError) as caught:
        await router.complete()
    assert caught.value.reason is ErrorReason.CONTEXT_LENGTH_EXCEEDED


async def test_a_policy_refusal_goes_to_the_next_model_only(stack: AsyncExitStack, workbench: OpenWorkbench) -> None:
    policy = scripts.refuse(400, {"error": {"code": "content_policy_violation", "message": "flagged"}})
    first = await stack.enter_async_context(ScriptedProvider(policy))
    second = await stack.enter_async_context(ScriptedProvider(GOOD))
    third = await stack.enter_async_context(ScriptedProvider(GOOD))
    router = await stack.enter_async_context(
        workbench(
            Offer("a", url=first.url),
            Offer("b", url=second.url, prompt="0.00001"),
            Offer("c", url=third.url, model="acme/two"),
        )
    )
    outcome = await router.complete(models=["acme/two"])
    assert outcome.provider == "c"
    assert len(second.received) == 0
    assert router.only_record().requested_model == "acme/one"


async def test_three_endpoints_are_tried_and_no_more(bench: OpenBench) -> None:
    router, providers = await bench(*[scripts.refuse(500)] * 4)
    with pytest.raises(UpstreamUnavailableError):
        await router.complete()
    assert [len(provider.received) for provider in providers] == [1, 1, 1, 0]


async def test_r07_no_attempt_starts_after_the_deadline(bench: OpenBench) -> None:
    router, providers = await bench(scripts.silence, GOOD)
    with pytest.raises(UpstreamUnavailableError) as caught:
        await router.complete(seconds=0.1)
    assert caught.value.reason is ErrorReason.TIMEOUT
    assert [len(provider.received) for provider in providers] == [1, 0]
    # The caller's haste is not the endpoint's fault.
    assert router.health.state(EndpointId("acme/one@a"), 0, router.only_record().ended_at).badness == 0


async def test_a_deadline_in_the_middle_of_an_answer_ends_it(bench: OpenBench) -> None:
    router, _ = await bench(speak(["a"] * 100, gap=0.02))
    outcome = await router.complete(seconds=0.2)
    assert outcome.interruption is not None
    assert outcome.interruption.error_type == "timeout"
    assert outcome.text.startswith("a")


async def test_r02_a_healed_endpoint_is_used_again(bench: OpenBench) -> None:
    router, providers = await bench(scripts.in_turn(*[scripts.refuse(500)] * 3, GOOD), GOOD)
    for _ in range(3):
        await router.complete()
    await router.complete()
    assert len(providers[0].received) == 3
    endpoint = EndpointId("acme/one@a")
    router.health.restart([endpoint])
    assert (await router.complete()).provider == "a"


async def test_a_request_in_a_stream_answered_in_one_piece_is_an_answer(bench: OpenBench) -> None:
    router, _ = await bench(scripts.reply(answer("All at once")))
    outcome = await router.complete()
    assert (outcome.text, outcome.finish_reason) == ("All at once", "stop")


async def test_an_answer_without_text_but_with_a_reason_is_an_answer(bench: OpenBench) -> None:
    router, _ = await bench(scripts.reply(answer("", "content_filter", usage=None)), GOOD)
    outcome = await router.complete(stream=False)
    assert (outcome.text, outcome.finish_reason, outcome.provider) == ("", "content_filter", "a")


async def test_a_full_usage_log_refuses_new_work_and_a_failing_one_charges_nothing(bench: OpenBench) -> None:
    router, providers = await bench(speak(["a", "b"], gap=0.02))
    router.log.accepting = False
    with pytest.raises(RefusalError) as caught:
        await router.complete()
    assert (caught.value.reason, caught.value.http_status) == (ErrorReason.OVERLOADED, 503)
    assert len(providers[0].received) == 0
    router.log.accepting, router.log.failing = True, True
    with pytest.raises(RefusalError) as caught:
        await router.complete(stream=False)
    assert caught.value.reason is ErrorReason.DEPENDENCY_UNAVAILABLE
    outcome = await router.complete()
    assert outcome.text == "ab"
    assert outcome.ending is not None
    assert (outcome.ending.status, outcome.ending.cost.total) == (Status.FAILED, 0)


async def test_outcomes_of_attempts_are_told(bench: OpenBench) -> None:
    router, _ = await bench(scripts.refuse(429), scripts.refuse(500), GOOD)
    outcome = await router.complete()
    assert outcome.route is not None
    assert [(each.provider, each.outcome, each.status) for each in outcome.route.failed_attempts] == [
        ("a", AttemptOutcome.RATE_LIMITED, 429),
        ("b", AttemptOutcome.FAILURE, 500),
    ]


async def test_reasoning_that_is_not_wanted_is_not_shown_and_still_billed(bench: OpenBench) -> None:
    thinker = scripts.stream(
        delta(reasoning="hm " * 10, reasoning_details=[{"type": "reasoning.text"}]),
        delta("Yes"),
        delta(finish_reason="stop"),
        b"[DONE]",
    )
    router, _ = await bench(scripts.slowly(thinker))
    shown = await router.complete()
    assert (shown.reasoning, shown.text) == ("hm " * 10, "Yes")
    hidden = await router.complete(reasoning={"exclude": True})
    assert (hidden.reasoning, hidden.text) == ("", "Yes")
    first, second = router.log.records
    assert first.answered is not None
    assert second.answered is not None
    assert first.answered.cost == second.answered.cost
    assert second.answered.tokens.counts.reasoning == 8


async def test_what_is_too_much_for_one_process_is_refused_and_places_are_given_back(bench: OpenBench) -> None:
    router, _ = await bench(GOOD)
    held = [router.begin() for _ in range(100)]
    with pytest.raises(RefusalError) as caught:
        router.begin()
    assert (caught.value.reason, caught.value.http_status) == (ErrorReason.OVERLOADED, 503)
    for generation in held:
        generation.abandon()
    for _ in range(3):
        assert (await router.complete()).text == "Good day"
    assert router.completions.in_flight == 0


async def test_r06_many_streams_with_faults_are_answered_or_broken_off_once(bench: OpenBench) -> None:
    turn = itertools.count()
    cut = scripts.slowly(scripts.stream(delta("Good"), end=False))

    async def unreliable(exchange: Exchange) -> None:
        script = (scripts.reset, cut, GOOD)[next(turn) % 3]
        await script(exchange)

    router, _ = await bench(unreliable, GOOD)
    # All of them begin before the first failure, so none of them avoids the endpoint.
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(router.complete()) for _ in range(90)]
    outcomes = [task.result() for task in running]
    whole = [outcome for outcome in outcomes if outcome.interruption is None]
    broken = [outcome for outcome in outcomes if outcome.interruption is not None]
    assert (len(whole), len(broken)) == (60, 30)
    assert {outcome.text for outcome in whole} == {"Good day"}
    assert {outcome.text for outcome in broken} == {"Good"}
    assert len(router.log.records) == 90
    assert len({record.generation_id for record in router.log.records}) == 90
