"""The words for errors, and the page about them."""

from __future__ import annotations

from pathlib import Path

from contracts.error_types import AVAILABILITY, STATUSES, AvailabilityCode, ErrorType

PAGE = Path(__file__).parents[3] / "docs" / "errors.md"


def test_every_type_and_code_has_its_row_with_its_status() -> None:
    assert (len(ErrorType), len(AvailabilityCode)) == (27, 11)
    assert set(AVAILABILITY) == set(AvailabilityCode)
    rows = {row.split("`")[1]: row for row in PAGE.read_text().splitlines() if row.startswith("| `")}
    for error_type, status in STATUSES.items():
        assert f"| {status} |" in rows[error_type]
    for code, availability in AVAILABILITY.items():
        assert f"| {availability.status} | {'yes' if availability.retryable else 'no'} |" in rows[code]
