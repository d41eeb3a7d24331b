"""What providers say in headers and error texts."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dialects.answers import UpstreamError, UpstreamErrorKind
from router.domain.attempts import FailureKind
from router.domain.retry_after import read_retry_after
from router.domain.upstream_failures import failure_of, public_text

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "37"}, 37.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_r05_every_form_of_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert read_retry_after(headers, NOW) == expected


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abc123DEF456",
        "org-AbCdEf123456",
        "Bearer abc.def.ghi",
        "gsk_0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "someone@example.org",
        "http://10.1.2.3:8000/v1",
        "10.1.2.3:8000",
    ],
)
def test_s37_what_may_be_secret_is_taken_out_of_a_providers_text(secret: str) -> None:
    text = public_text(f"Incorrect value: {secret} given\r\nwith\x00controls")
    assert secret not in text
    assert "[removed]" in text
    assert text.isprintable()


def test_ordinary_text_stays() -> None:
    text = "max_tokens is too large: 9000. This model supports at most 8192 completion tokens, whereas you gave 9000."
    assert public_text(text) == text
    assert len(public_text("word " * 1000)) <= 400


def test_only_what_the_caller_can_act_on_is_kept_for_it() -> None:
    rejected = failure_of(UpstreamError(UpstreamErrorKind.INVALID_REQUEST, 400, "", "temperature is too high"))
    assert (rejected.kind, rejected.message) == (FailureKind.REJECTED, "temperature is too high")
    inner = failure_of(UpstreamError(UpstreamErrorKind.SERVER, 500, "", "stack trace"))
    assert (inner.kind, inner.message) == (FailureKind.SERVER_ERROR, "")
