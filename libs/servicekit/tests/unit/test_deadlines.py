from __future__ import annotations

import contextvars

import pytest

from servicekit.deadlines import bind_deadline, limited_timeout, remaining_seconds


def test_without_a_deadline_a_timeout_is_its_own() -> None:
    assert remaining_seconds() is None
    assert limited_timeout(7) == 7


@pytest.mark.parametrize(("left", "wanted", "limit"), [(3600, 7, 7), (-1, 7, 0), (0, 7, 0)])
def test_no_timeout_is_longer_than_what_is_left(left: float, wanted: float, limit: float) -> None:
    def bound() -> float:
        bind_deadline(left)
        return limited_timeout(wanted)

    assert contextvars.copy_context().run(bound) == limit
    assert remaining_seconds() is None
