from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.testing.examples import iter_examples
from contracts.usage import MAX_COST, InvalidUsageEventError, validate_usage_event
from turnpike.usage.v1.usage_event_pb2 import (
    ATTEMPT_OUTCOME_FAILURE,
    ATTEMPT_OUTCOME_SUCCESS,
    GENERATION_STATUS_CANCELLED,
    GENERATION_STATUS_FAILED,
    Attempt,
    UsageEvent,
)

EXAMPLES = dict(iter_examples(UsageEvent, Path(__file__).parents[3] / "protos" / "examples"))

UNKNOWN_FIELD = b"\xf8\x06\x05"  # field 111 with the value 5: a kind of token of a later version


def broken(change: Callable[[UsageEvent], object], example: str = "completed") -> UsageEvent:
    event = UsageEvent()
    event.CopyFrom(EXAMPLES[example])
    change(event)
    return event


def broken_copy(change: Callable[[Attempt], object]) -> UsageEvent:
    """An event of which the first attempt, a cancelled copy, was changed."""
    return broken(lambda event: change(event.attempts[0]), "completed_after_hedge")


def dear(attempt: Attempt) -> None:
    """Half of the largest amount and one nano-dollar more, rightly computed."""
    attempt.expense.price.request_pico_usd = (MAX_COST // 2 + 1) * 1_000
    attempt.expense.usage.Clear()
    attempt.expense.provider_cost_nano_usd = MAX_COST // 2 + 1


def dear_twice(event: UsageEvent) -> None:
    dear(event.attempts[0])
    event.attempts.append(event.attempts[0])


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda e: e.ClearField("org_id"), "org_id is empty"),
        (lambda e: e.ClearField("key_id"), "key_id is empty"),
        (lambda e: setattr(e, "generation_id", "x"), "generation_id"),
        (lambda e: setattr(e, "event_id", "x"), "event_id"),
        (lambda e: e.ClearField("rank"), "rank"),
        (lambda e: e.ClearField("status"), "status"),
        (lambda e: e.ClearField("started_at"), "started_at"),
        (lambda e: setattr(e, "rank", 256), "rank is out of range"),
        (lambda e: setattr(e, "rank", -1), "rank is out of range"),
        (lambda e: e.ended_at.FromSeconds(1), "between 2020 and 2100"),
        (lambda e: setattr(e.started_at, "seconds", 10**15), "between 2020 and 2100"),
        (lambda e: setattr(e.started_at, "nanos", -1), "between 2020 and 2100"),
        (lambda e: setattr(e.ended_at, "seconds", e.started_at.seconds - 1), "ended_at is before started_at"),
        (lambda e: setattr(e.usage, "prompt_tokens", -1), "prompt_tokens is out of range"),
        (lambda e: setattr(e.usage, "completion_tokens", 10**12), "completion_tokens is out of range"),
        (lambda e: setattr(e.usage, "cached_tokens", 1201), "more cached"),
        (lambda e: setattr(e.usage, "reasoning_tokens", 346), "more reasoning"),
        (lambda e: e.usage.ClearField("source"), "source"),
        (lambda e: setattr(e, "cost_nano_usd", e.cost_nano_usd + 1), "cost is not usage x price"),
        (lambda e: setattr(e, "cost_nano_usd", -1), "cost is negative"),
        (lambda e: setattr(e, "provider_cost_nano_usd", 7), "provider cost is not usage x price"),
        (lambda e: e.ClearField("price"), "a charge without a price"),
        (lambda e: e.price.ClearField("version"), "price.version"),
        (lambda e: setattr(e.price, "prompt_pico_usd", -1), "a price is negative"),
        (lambda e: setattr(e, "status", GENERATION_STATUS_FAILED), "a failed generation has a charge"),
        (lambda e: setattr(e, "provider_cost_nano_usd", 10**13 + 1), "out of range"),
        (lambda e: setattr(e.usage, "images", -1), "images is out of range"),
        (lambda e: setattr(e.usage, "audio_milliseconds", -1), "audio_milliseconds is out of range"),
        (lambda e: setattr(e.usage, "characters", 10**12), "characters is out of range"),
        (lambda e: setattr(e.usage, "search_units", -1), "search_units is out of range"),
        (lambda e: setattr(e.price, "second_pico_usd", -1), "a price is negative"),
        (lambda e: setattr(e, "operation", 99), "operation is unknown"),
        (lambda e: e.usage.MergeFromString(UNKNOWN_FIELD), "usage has a kind that this version cannot price"),
        (lambda e: e.price.MergeFromString(UNKNOWN_FIELD), "price has a kind that this version cannot price"),
    ],
)
def test_b15_event_that_breaks_a_rule_is_refused_by_name(change: Callable[[UsageEvent], object], rule: str) -> None:
    with pytest.raises(InvalidUsageEventError, match=rule):
        validate_usage_event(broken(change))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda a: a.ClearField("provider"), "the attempt names no provider"),
        (lambda a: setattr(a, "outcome", ATTEMPT_OUTCOME_SUCCESS), "the attempt was not cancelled"),
        (lambda a: setattr(a, "outcome", ATTEMPT_OUTCOME_FAILURE), "the attempt was not cancelled"),
        (lambda a: a.ClearField("outcome"), "the attempt was not cancelled"),
        (lambda a: a.expense.ClearField("price"), "price.version is empty"),
        (lambda a: a.expense.price.ClearField("version"), "price.version is empty"),
        (lambda a: setattr(a.expense.price, "cache_write_pico_usd", -1), "a price is negative"),
        (lambda a: a.expense.price.MergeFromString(UNKNOWN_FIELD), "price has a kind that this version cannot price"),
        (lambda a: a.expense.usage.MergeFromString(UNKNOWN_FIELD), "usage has a kind that this version cannot price"),
        (lambda a: setattr(a.expense.usage, "prompt_tokens", -1), "prompt_tokens is out of range"),
        (lambda a: setattr(a.expense.usage, "cached_tokens", 241), "more cached than prompt tokens"),
        (lambda a: setattr(a.expense.usage, "reasoning_tokens", 4), "more reasoning than completion tokens"),
        (lambda a: a.expense.usage.ClearField("source"), "usage.source is not said"),
        (lambda a: setattr(a.expense, "provider_cost_nano_usd", 22_411), "provider cost is not usage x price"),
        (lambda a: setattr(a.expense, "provider_cost_nano_usd", -22_410), "provider cost is not usage x price"),
        (lambda a: a.expense.ClearField("provider_cost_nano_usd"), "provider cost is not usage x price"),
    ],
)
def test_b15_copy_that_breaks_a_rule_is_refused_by_name(change: Callable[[Attempt], object], rule: str) -> None:
    with pytest.raises(InvalidUsageEventError, match=f"attempts.expense: {rule}"):
        validate_usage_event(broken_copy(change))


def test_copies_of_one_generation_cost_no_more_than_a_generation_may() -> None:
    validate_usage_event(broken_copy(dear))
    with pytest.raises(InvalidUsageEventError, match=r"attempts\.expense: what the copies cost is out of range"):
        validate_usage_event(broken(dear_twice, "completed_after_hedge"))


@pytest.mark.parametrize("example", ["embeddings", "transcription"])
def test_b15_an_operation_without_completion_tokens_is_not_free_of_charge(example: str) -> None:
    def free(event: UsageEvent) -> None:
        event.cost_nano_usd = 0

    validate_usage_event(broken(lambda event: None, example))
    with pytest.raises(InvalidUsageEventError, match="cost is not usage x price"):
        validate_usage_event(broken(free, example))


def test_an_operation_that_nobody_waited_for_is_free_of_charge_and_may_be_owed() -> None:
    def leave(event: UsageEvent) -> None:
        event.cost_nano_usd = 0
        event.status = GENERATION_STATUS_CANCELLED

    validate_usage_event(broken(leave, "embeddings"))


def test_generation_that_failed_may_have_paid_for_a_copy() -> None:
    def fail(event: UsageEvent) -> None:
        event.status = GENERATION_STATUS_FAILED
        event.cost_nano_usd = 0

    validate_usage_event(broken(fail, "completed_after_hedge"))


def test_other_fields_of_a_later_version_are_no_reason_to_refuse() -> None:
    validate_usage_event(broken(lambda event: event.MergeFromString(UNKNOWN_FIELD)))


def test_answer_without_a_token_may_be_free() -> None:
    def insure(event: UsageEvent) -> None:
        event.usage.completion_tokens = event.usage.reasoning_tokens = 0
        event.cost_nano_usd = event.provider_cost_nano_usd = 0

    validate_usage_event(broken(insure))
