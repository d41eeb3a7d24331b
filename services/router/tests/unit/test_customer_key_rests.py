"""How long customers' keys rest that a provider refused."""

from __future__ import annotations

from random import Random

import pytest

from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.customer_key_rests import MAX_BACKOFF_SECONDS, CustomerKeyRests
from router.domain.customer_keys import CustomerKey
from router.domain.key_pool import MAX_COOLING_SECONDS, OUT_SECONDS
from router.testing.catalogs import Offer, catalog_of

KEY = CustomerKey("byok-1", "a", lambda: "sk-own")
ONE, TWO = (
    next(iter(catalog_of(Offer("a", model=model)).models.values())).endpoints[0] for model in ("acme/one", "acme/two")
)


def failed(kind: FailureKind, status: int, retry_after: float | None = None) -> AttemptFailure:
    return AttemptFailure(kind, status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [
        (failed(FailureKind.KEY_REJECTED, 401), OUT_SECONDS),
        (failed(FailureKind.KEY_REJECTED, 403), OUT_SECONDS),
        (failed(FailureKind.QUOTA_EXHAUSTED, 402), OUT_SECONDS),
        (failed(FailureKind.RATE_LIMITED, 429, 30.0), 30.0),
        (failed(FailureKind.RATE_LIMITED, 429, 0.0), 1.0),
        (failed(FailureKind.RATE_LIMITED, 429, 86_400.0), MAX_COOLING_SECONDS),
    ],
)
def test_it_rests_as_long_as_the_provider_says_or_as_such_failures_last(
    failure: AttemptFailure, seconds: float
) -> None:
    rests = CustomerKeyRests()
    assert not rests.rests(KEY, ONE, 0.0)
    rests.failed(KEY, ONE, failure, 100.0, Random(1))
    assert rests.rests(KEY, ONE, 100.0 + seconds - 0.01)
    assert not rests.rests(KEY, ONE, 100.0 + seconds)


def test_without_a_time_the_pause_doubles_and_an_answer_ends_it() -> None:
    rests, now = CustomerKeyRests(), 0.0
    for most in (2.0, 4.0, 8.0, 16.0, 32.0, MAX_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS):
        rests.failed(KEY, ONE, failed(FailureKind.RATE_LIMITED, 429), now, Random(1))
        assert rests.rests(KEY, ONE, now + most / 2 - 0.01)
        assert not rests.rests(KEY, ONE, now + most)
        now += most
    rests.failed(KEY, ONE, failed(FailureKind.RATE_LIMITED, 429), now, Random(1))
    rests.answered(KEY, ONE)
    assert not rests.rests(KEY, ONE, now)


def test_what_providers_decide_by_model_holds_for_the_endpoint_and_the_rest_for_all_of_them() -> None:
    for failure, elsewhere in (
        (failed(FailureKind.RATE_LIMITED, 429, 60.0), False),
        (failed(FailureKind.KEY_REJECTED, 403), False),
        (failed(FailureKind.KEY_REJECTED, 401), True),
        (failed(FailureKind.QUOTA_EXHAUSTED, 402), True),
    ):
        rests = CustomerKeyRests()
        rests.failed(KEY, ONE, failure, 0.0, Random(1))
        assert rests.rests(KEY, TWO, 1.0) is elsewhere
        assert not rests.rests(CustomerKey("byok-2", "a", lambda: "sk-other"), ONE, 1.0)


def test_a_failure_that_is_not_the_keys_rests_nothing() -> None:
    rests = CustomerKeyRests()
    rests.failed(KEY, ONE, failed(FailureKind.SERVER_ERROR, 500), 0.0, Random(1))
    assert not rests.rests(KEY, ONE, 0.0)
