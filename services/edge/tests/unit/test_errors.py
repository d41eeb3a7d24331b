"""Every error of the tree has its answer, and none says more than it should."""

from __future__ import annotations

import inspect
import json

import pytest

from contracts.errors import TREATMENTS, ErrorReason
from dialects.errors import InvalidRequestError
from edge.api.http.errors import HttpError, Problem, problem_of
from edge.domain import errors

EXAMPLES: list[tuple[errors.EdgeError, int, str]] = [
    (errors.MissingCredentialError(), 401, "authentication"),
    (errors.InvalidKeyError(), 401, "authentication"),
    (errors.DisabledKeyError(), 401, "authentication"),
    (errors.ExpiredKeyError(), 401, "authentication"),
    (errors.WrongKeyKindError("no"), 403, "permission_denied"),
    (errors.AddressNotAllowedError(), 403, "permission_denied"),
    (errors.BudgetExceededError("daily budget of $1", "team"), 403, "permission_denied"),
    (errors.ContentBlockedError(("email",)), 403, "permission_denied"),
    (errors.FrozenOrgError(), 403, "permission_denied"),
    (errors.WrongRoleError(), 403, "permission_denied"),
    (errors.BudgetError("spent"), 403, "permission_denied"),
    (errors.CrossSiteError("no"), 403, "permission_denied"),
    (errors.InsufficientCreditError(9, 1), 402, "payment_required"),
    (errors.NegativeBalanceError(), 402, "payment_required"),
    (errors.KeyLimitError(), 402, "payment_required"),
    (errors.InvalidInputError("x: wrong", "x"), 400, "invalid_request"),
    (errors.NotFoundError("no"), 404, "not_found"),
    (errors.RateLimitError("slow down", limit=5, reset_ms=60_000, retry_after_s=2.5), 429, "rate_limit_exceeded"),
    (errors.BusyError(), 503, "provider_overloaded"),
    (errors.DependencyError("accounts"), 503, "provider_overloaded"),
    (errors.RefusedError(ErrorReason.NO_ENDPOINTS, "no"), 404, "not_found"),
    (errors.BrokenAnswerError("cut"), 502, "provider_unavailable"),
    (HttpError(415, "no"), 415, "invalid_request"),
]


@pytest.mark.parametrize(("error", "status", "error_type"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_each_kind_of_error_has_its_status(error: errors.EdgeError, status: int, error_type: str) -> None:
    problem = problem_of(error)
    assert (problem.status, problem.error_type) == (status, error_type)
    assert (problem.retry_after_s is not None) == (status in (429, 503))
    # Only a limit of ours says how large it is.
    assert ("X-RateLimit-Limit" in problem.headers) == isinstance(error, errors.RateLimitError)
    assert problem.message == str(error)
    response = problem.response()
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["error"]["code"] == status


def test_no_kind_of_error_is_without_an_answer() -> None:
    leaves = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.EdgeError) and not kind.__subclasses__()
    }
    assert leaves <= {type(error) for error, _, _ in EXAMPLES}


@pytest.mark.parametrize("reason", ErrorReason)
def test_each_reason_of_another_service_has_the_status_of_the_table(reason: ErrorReason) -> None:
    problem = problem_of(errors.RefusedError(reason, "because"))
    assert (problem.status, problem.error_type) == (TREATMENTS[reason].http_status, TREATMENTS[reason].error_type)


@pytest.mark.parametrize(
    ("status", "expected"),
    [("422", 422), ("529", 529), ("401", 400), ("200", 400), ("302", 400), ("999", 400), ("x", 400), ("²", 400)],
)
def test_a_providers_status_decides_only_when_it_is_an_error_of_the_request(status: str, expected: int) -> None:
    error = errors.RefusedError(ErrorReason.PROVIDER_REJECTED, "no", {"http_status": status})
    assert problem_of(error).status == expected


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_an_availability_that_is_no_object_is_left_out(text: str) -> None:
    error = errors.RefusedError(ErrorReason.NO_ENDPOINTS, "no", {"availability": text})
    assert problem_of(error).availability is None


def test_metadata_of_other_services_is_chosen_by_name() -> None:
    metadata = {"param": "model", "provider_name": "Acme", "http_status": "400", "org_id": "secret"}
    problem = problem_of(errors.RefusedError(ErrorReason.INVALID_REQUEST, "no", metadata))
    assert problem.metadata == {"param": "model", "provider_name": "Acme"}


@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), RuntimeError("secret"), errors.RefusedError(ErrorReason.INTERNAL, "secret")],
)
def test_what_is_not_expected_is_a_500_that_says_nothing(error: Exception) -> None:
    assert problem_of(error) == Problem(500, "server", "Internal Server Error")


def test_an_invalid_request_names_its_field() -> None:
    problem = problem_of(InvalidRequestError("messages[0].role: required", "messages[0].role"))
    assert (problem.status, problem.metadata) == (400, {"param": "messages[0].role"})
    assert problem_of(InvalidRequestError("the body is empty", None)).metadata == {}
