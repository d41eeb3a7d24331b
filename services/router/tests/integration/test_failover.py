"""Every way in which a provider fails, on real sockets: another one answers, or the caller gets one error."""

from __future__ import annotations

import json

import pytest

from router.attempt import Patience
from router.domain.attempts import FailureKind
from router.domain.settlement import Status
from router.domain.tokens import CountSource
from router.testing import scripts
from router.testing.scripted_provider import Script
from router.testing.scripts import answer, delta, speak
from router.testing.workbench import IMPATIENCE, PATIENCE, OpenBench

GOOD = speak(["Good", " day"])
RATE_LIMITED = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
OVERLOADED = {"error": {"type": "overloaded_error", "message": "Overloaded"}}

# Faults that happen before anything is shown, in a stream and in a whole answer alike.
EARLY: dict[str, tuple[Script, FailureKind]] = {
    "reset": (scripts.reset, FailureKind.CONNECT),
    "status 500": (scripts.refuse(500), FailureKind.SERVER_ERROR),
    "status 502 with HTML": (scripts.refuse(502, b"<html>Bad Gateway</html>"), FailureKind.SERVER_ERROR),
    "status 503": (scripts.refuse(503), FailureKind.OVERLOADED),
    "status 529": (scripts.refuse(529, OVERLOADED), FailureKind.OVERLOADED),
    "status 429": (scripts.refuse(429, RATE_LIMITED, {"Retry-After": "7"}), FailureKind.RATE_LIMITED),
    "spending limit": (
        scripts.refuse(429, {"error": {"code": "insufficient_quota"}}), FailureKind.QUOTA_EXHAUSTED,
    ),
    "status 401": (scripts.refuse(401, {"error": {"message": "Incorrect API key"}}), FailureKind.KEY_REJECTED),
    "status 403": (scripts.refuse(403), FailureKind.KEY_REJECTED),
    "status 404": (scripts.refuse(404, {"error": {"code": "model_not_found"}}), FailureKind.MODEL_MISSING),
    "redirect": (scripts.refuse(302, headers={"Location": "http://127.0.0.1:1/"}), FailureKind.BAD_ANSWER),
    "unsupported parameter": (
        scripts.refuse(400, {"error": {"message": "Unsupported parameter: 'seed'"}}),
        FailureKind.UNSUPPORTED_PARAMETER,
    ),
    "context length": (
        scripts.refuse(400, {"error": {"code": "context_length_exceeded", "message": "too long"}}),
        FailureKind.CONTEXT_LENGTH,
    ),
    "200 with HTML": (scripts.reply(b"<html>Hello</html>", "text/html"), FailureKind.BAD_ANSWER),
    "200 with an error": (scripts.reply(OVERLOADED), FailureKind.OVERLOADED),
    "200 with nonsense": (scripts.reply(b"not json"), FailureKind.BAD_ANSWER),
    "200 without choices": (scripts.reply({"choices": None}), FailureKind.BAD_ANSWER),
    "200 and empty": (scripts.reply(b""), FailureKind.BAD_ANSWER),
    "empty answer": (scripts.reply(answer("", usage=None)), FailureKind.BAD_ANSWER),
    "compressed": (
        scripts.reply(answer("x"), headers={"Content-Encoding": "gzip"}), FailureKind.BAD_ANSWER,
    ),
    "wrong content length": (scripts.short_body(json.dumps(answer("x")).encode()), FailureKind.BAD_ANSWER),
    "silence": (scripts.silence, FailureKind.TIMEOUT),
    "too long": (scripts.reply(answer("x" * 200_000)), FailureKind.BAD_ANSWER),
}  # fmt: skip
# Faults of streams before their first token.
EARLY_IN_STREAMS: dict[str, tuple[Script, FailureKind]] = {
    "error event first": (scripts.stream(OVERLOADED), FailureKind.OVERLOADED),
    "role, then an error": (
        scripts.stream(delta(role="assistant", content=""), {"error": {"code": 500, "message": "x"}}),
        FailureKind.SERVER_ERROR,
    ),
    "malformed event": (scripts.stream(b"{not json"), FailureKind.BAD_ANSWER),
    "invalid UTF-8": (scripts.stream(b'{"choices":[{"delta":{"content":"\xff"}}]}'), FailureKind.BAD_ANSWER),
    "only [DONE]": (scripts.stream(b"[DONE]"), FailureKind.BAD_ANSWER),
    "nothing at all": (scripts.stream(), FailureKind.BAD_ANSWER),
    "cut before the first token": (scripts.stream(delta(role="assistant"), end=False), FailureKind.BAD_ANSWER),
    "stops without a word": (
        scripts.stream(delta(role="assistant"), delta(finish_reason="stop"), b"[DONE]"), FailureKind.BAD_ANSWER,
    ),
    "stall before the first token": (scripts.stall_after(delta(role="assistant")), FailureKind.TIMEOUT),
    "endless line": (scripts.stream(b"x" * 90_000, b"x" * 90_000, end=False), FailureKind.BAD_ANSWER),
    "finish reason error": (scripts.stream(delta(finish_reason="error")), FailureKind.SERVER_ERROR),
    # The token has not been shown to anybody when the error is read with it.
    "token and error in one piece": (
        scripts.stream(
            b'{"choices":[{"delta":{"content":"x"}}]}\n\ndata: {"error":{"code":500,"message":"x"}}'
        ),
        FailureKind.SERVER_ERROR,
    ),
}  # fmt: skip


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", EARLY)
async def test_r06_a_fault_before_the_first_token_is_never_seen(bench: OpenBench, fault: str, streams: bool) -> None:
    script, kind = EARLY[fault]
    router, providers = await bench(script, GOOD, patience=patience_with(fault))
    outcome = await router.complete(stream=streams)
    assert (outcome.text, outcome.provider, outcome.finish_reason) == ("Good day", "b", "stop")
    assert outcome.interruption is None
    record = router.only_record()
    assert record.status is Status.COMPLETED
    assert [attempt.failure for attempt in record.attempts] == [kind, None]
    assert record.answered is not None
    assert record.answered.tokens.source is CountSource.PROVIDER
    # 7 prompt tokens at 2 micro-dollars and 3 completion tokens at 2.
    assert record.answered.cost.total == 20_000
    assert [len(provider.received) for provider in providers] == [1, 1]


@pytest.mark.parametrize("fault", EARLY_IN_STREAMS)
async def test_r06_a_stream_that_fails_before_its_first_token_is_never_seen(bench: OpenBench, fault: str) -> None:
    script, kind = EARLY_IN_STREAMS[fault]
    router, _ = await bench(script, GOOD, patience=patience_with(fault))
    outcome = await router.complete()
    assert (outcome.text, outcome.provider) == ("Good day", "b")
    assert [attempt.failure for attempt in router.only_record().attempts] == [kind, None]


async def test_r06_a_refused_connection_is_never_seen(bench: OpenBench) -> None:
    router, providers = await bench(GOOD, GOOD)
    await providers[0].stop()
    outcome = await router.complete()
    assert (outcome.text, outcome.provider) == ("Good day", "b")
    assert router.only_record().attempts[0].failure is FailureKind.CONNECT


def patience_with(fault: str) -> Patience:
    """Short where the fault is that nothing comes."""
    return IMPATIENCE if "silence" in fault or "stall" in fault else PATIENCE


LATE: dict[str, tuple[Script, int, str]] = {
    "cut": (scripts.stream(delta("Go"), end=False), 502, "provider_unavailable"),
    "body ends without an end": (scripts.stream(delta("Go")), 502, "provider_unavailable"),
    "[DONE] without an end": (scripts.stream(delta("Go"), b"[DONE]"), 502, "provider_unavailable"),
    "error event": (scripts.stream(delta("Go"), OVERLOADED), 503, "provider_overloaded"),
    "error event after the end": (
        scripts.stream(delta("Go"), delta(finish_reason="stop"), {"error": {"code": 500, "message": "x"}}),
        502, "provider_unavailable",
    ),
    "rate limit": (scripts.stream(delta("Go"), RATE_LIMITED), 429, "rate_limit_exceeded"),
    "malformed event": (scripts.stream(delta("Go"), b"{nonsense"), 502, "provider_unavailable"),
    "finish reason error": (scripts.stream(delta("Go"), delta(finish_reason="error")), 502, "provider_unavailable"),
    "stall": (scripts.stall_after(delta("Go")), 504, "timeout"),
    "one choice of two is cut": (
        scripts.stream(
            delta("Go"),
            {"choices": [{"index": 1, "delta": {"content": "No"}}]},
            delta(finish_reason="stop"), b"[DONE]",
        ),
        502, "provider_unavailable",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", LATE)
async def test_r06_a_fault_after_the_first_token_is_one_error_and_no_second_answer(
    bench: OpenBench, fault: str
) -> None:
    script, status, error_type = LATE[fault]
    router, providers = await bench(scripts.slowly(script), GOOD, patience=patience_with(fault))
    outcome = await router.complete()
    assert outcome.text in ("Go", "GoNo")
    assert outcome.provider == "a"
    assert outcome.ending is not None
    assert outcome.ending.status is Status.FAILED
    assert outcome.ending.cost.total == 0
    assert outcome.interruption is not None
    assert (outcome.interruption.status, outcome.interruption.error_type) == (status, error_type)
    assert len(providers[1].received) == 0
    record = router.only_record()
    assert (record.status, record.error_type) == (Status.FAILED, error_type)
