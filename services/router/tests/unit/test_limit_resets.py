"""When a used-up limit starts anew, as headers of a 429 say it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from router.domain.retry_after import read_limit_reset

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
UNIX = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-ratelimit-reset": "37"}, 37.0),
        ({"x-ratelimit-reset": "0.5"}, 0.5),
        ({"x-ratelimit-reset": str(UNIX + 37)}, 37.0),
        ({"x-ratelimit-reset": str((UNIX + 37) * 1000)}, 37.0),
        ({"x-ratelimit-reset": str(UNIX - 37)}, 0.0),
        ({"x-ratelimit-reset": "2026-11-24T12:00:37Z"}, 37.0),
        ({"x-ratelimit-reset": "Tue, 24 Nov 2026 12:00:37 GMT"}, 37.0),
        ({"x-ratelimit-reset": "2026-11-24T12:00:37"}, None),
        ({"x-ratelimit-reset": "soon"}, None),
        ({"x-ratelimit-reset": "-1"}, None),
        ({"x-ratelimit-reset": "nan"}, None),
        ({"ratelimit-reset": "37", "ratelimit-remaining": "0"}, 37.0),
        ({"x-ratelimit-reset-requests": "1m30.5s"}, 90.5),
        ({"x-ratelimit-reset-requests": "6m0s"}, 360.0),
        ({"x-ratelimit-reset-requests": "1h2m3s"}, 3723.0),
        ({"x-ratelimit-reset-requests": "120ms"}, 0.12),
        ({"x-ratelimit-reset-requests": "1m120ms"}, 60.12),
        ({"x-ratelimit-reset-requests": "m"}, None),
        ({"x-ratelimit-reset-requests": ""}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-24T12:00:37Z"}, 37.0),
    ],
)
def test_r5_every_form_of_a_limits_reset(headers: dict[str, str], expected: float | None) -> None:
    assert read_limit_reset(headers, NOW) == expected


def test_a_limit_of_which_something_is_left_did_not_refuse_the_call() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "12",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "37s",
    }
    assert read_limit_reset(headers, NOW) == 37.0
    assert read_limit_reset({**headers, "x-ratelimit-remaining-tokens": "900"}, NOW) is None


def test_of_several_limits_the_last_to_start_anew_counts() -> None:
    headers = {"x-ratelimit-reset-requests": "2s", "x-ratelimit-reset-tokens": "37s"}
    assert read_limit_reset(headers, NOW) == 37.0
