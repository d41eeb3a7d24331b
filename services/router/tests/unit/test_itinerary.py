"""Where a generation goes next, given what failed."""

from __future__ import annotations

from random import Random

from contracts.catalog import Catalog, Endpoint
from router.domain.attempts import AttemptFailure, FailureKind
from router.domain.fallback import FailedAttempt
from router.domain.health_view import EndpointState
from router.domain.itinerary import Itinerary
from router.domain.ranking import Candidate
from router.testing.catalogs import Offer, catalog_of
from router.testing.speeds import steady

CATALOG = catalog_of(
    Offer("a", context_length=8_000),
    Offer("b", context_length=8_000),
    Offer("c", context_length=32_000),
    Offer("d", model="acme/two", context_length=8_000),
)


def endpoint(tag: str, catalog: Catalog = CATALOG) -> Endpoint:
    return next(each for each in catalog.endpoints.values() if each.tag == tag)


def travel(tags: str, *kinds: FailureKind, seconds_left: float = 60.0, state: EndpointState | None = None) -> str:
    """Go on until there is nowhere to go; the n-th attempt fails in the n-th way, and all further ones in the last."""
    candidates = [Candidate(endpoint(tag), state or EndpointState(), 1.0) for tag in tags]
    itinerary = Itinerary(candidates, Random(1))
    failed: list[FailedAttempt] = []
    while (leg := itinerary.next_leg(failed, seconds_left)) is not None:
        kind = kinds[min(len(failed), len(kinds) - 1)]
        failed.append(FailedAttempt(leg.endpoint, AttemptFailure(kind)))
        assert len(failed) < 20
    return "".join(each.endpoint.tag for each in failed)


def test_what_will_not_pass_is_tried_once_everywhere() -> None:
    assert travel("abc", FailureKind.TIMEOUT) == "abc"
    assert travel("abc", FailureKind.RATE_LIMITED) == "abc"
    assert travel("a", FailureKind.KEY_REJECTED) == "a"


def test_what_may_pass_is_asked_again_three_attempts_in_all() -> None:
    assert travel("abc", FailureKind.SERVER_ERROR) == "abc"
    assert travel("ab", FailureKind.SERVER_ERROR) == "aba"
    assert travel("a", FailureKind.CONNECT) == "aaa"
    assert travel("ad", FailureKind.CONNECT) == "adadad"


def test_an_invalid_request_goes_back_at_once() -> None:
    assert travel("abc", FailureKind.REJECTED) == "a"
    assert travel("abc", FailureKind.SERVER_ERROR, FailureKind.REJECTED) == "ab"


def test_content_policy_goes_to_another_model_only() -> None:
    assert travel("abcd", FailureKind.CONTENT_POLICY) == "ad"


def test_r8_context_length_goes_to_a_larger_context_only() -> None:
    assert travel("abcd", FailureKind.CONTEXT_LENGTH) == "ac"
    assert travel("acd", FailureKind.CONTEXT_LENGTH, FailureKind.TIMEOUT) == "ac"


def test_r7_no_attempt_is_planned_that_would_outlast_the_caller() -> None:
    slow = EndpointState(first_token=steady(5.0))
    assert travel("abc", FailureKind.TIMEOUT, seconds_left=4.0, state=slow) == ""
    assert travel("abc", FailureKind.TIMEOUT, seconds_left=6.0, state=slow) == "abc"


def test_pauses_are_random_and_grow_and_are_only_for_the_same_endpoint() -> None:
    itinerary = Itinerary([Candidate(endpoint("a"), EndpointState(), 1.0)], Random(3))
    failed: list[FailedAttempt] = []
    pauses = []
    for kind in (FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.OVERLOADED):
        leg = itinerary.next_leg(failed, 60.0)
        assert leg is not None
        pauses.append(leg.pause)
        failed.append(FailedAttempt(leg.endpoint, AttemptFailure(kind)))
    assert pauses[0] == 0.0
    assert 0.0 < pauses[1] <= 0.05
    assert 0.0 < pauses[2] <= 2.0
    assert itinerary.next_leg(failed, 60.0) is None
