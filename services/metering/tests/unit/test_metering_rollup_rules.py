"""Which buckets are added up together."""

from __future__ import annotations

from metering.domain.rollups import RollupRule, UnixSeconds, in_statements

HOUR, DAY = 3_600, 86_400
RULE = RollupRule(HOUR, closed_only=True, at_once=8)


def cut(*hours: int) -> list[list[int]]:
    return [
        [bucket // HOUR for bucket in some]
        for some in in_statements([UnixSeconds(hour * HOUR) for hour in hours], RULE)
    ]


def test_buckets_of_one_day_are_added_up_together_and_never_those_of_two() -> None:
    assert cut(1, 2, 23, 24, 25, 90 * 24) == [[1, 2, 23], [24, 25], [90 * 24]]


def test_no_statement_has_more_than_the_rule_says() -> None:
    assert [len(some) for some in cut(*range(24))] == [8, 8, 8]
    assert cut() == []
