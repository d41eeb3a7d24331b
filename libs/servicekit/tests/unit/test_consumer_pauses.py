from __future__ import annotations

from servicekit.kafka.session import pause_seconds


def test_pauses_double_up_to_the_longest_and_stay_there_for_days() -> None:
    assert [pause_seconds(attempt) for attempt in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert {pause_seconds(attempt) for attempt in (6, 10, 100, 2000, 10**9)} == {5.0}
