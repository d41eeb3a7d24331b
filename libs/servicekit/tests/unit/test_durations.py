from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from servicekit.durations import Duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", timedelta(0)),
        ("0s", timedelta(0)),
        ("500ms", timedelta(milliseconds=500)),
        ("250us", timedelta(microseconds=250)),
        ("30s", timedelta(seconds=30)),
        ("1.5s", timedelta(milliseconds=1500)),
        ("5m", timedelta(minutes=5)),
        ("1h30m", timedelta(minutes=90)),
        (" 1h 30m ", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
    ],
)
def test_durations_are_numbers_with_units(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text", ["", "  ", "5", "-5s", "5 seconds", "s", "1h30", "1h,30m", ".5s", "1e3s", "5S", "inf", "9" * 20 + "d"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0)))
@example(timedelta.max)
@example(timedelta(days=200_000, microseconds=1))
def test_what_is_written_is_read_back_to_the_microsecond(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.text())
def test_any_text_gives_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= timedelta(0)
    except ValueError:
        return


class Timing(BaseModel):
    wait: Duration


def test_a_field_takes_text_and_timedeltas_and_is_written_as_text() -> None:
    assert Timing.model_validate({"wait": "1h30m"}) == Timing(wait=timedelta(minutes=90))
    assert Timing(wait=timedelta(milliseconds=1500)).model_dump() == {"wait": "1500ms"}


def test_a_field_is_never_negative() -> None:
    with pytest.raises(ValidationError, match="not negative"):
        Timing(wait=timedelta(seconds=-1))
