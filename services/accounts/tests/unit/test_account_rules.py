from __future__ import annotations

import pytest

from accounts.api.errors import REASONS
from accounts.domain import errors
from accounts.domain.accounts import KeyChanges, checked_changes, checked_id, checked_limit, checked_name, checked_page
from accounts.domain.errors import AccountsError, InvalidFieldError


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "line\nbreak", "nul\x00"])
def test_names_that_break_the_rule_are_refused(name: str) -> None:
    with pytest.raises(InvalidFieldError) as raised:
        checked_name(name)
    assert raised.value.field == "name"


def test_name_loses_the_blanks_around_it() -> None:
    assert checked_name("  production ") == "production"


@pytest.mark.parametrize("limit", [-1, 10**15 + 1])
def test_limits_out_of_range_are_refused(limit: int) -> None:
    with pytest.raises(InvalidFieldError):
        checked_limit(limit)


def test_limit_may_be_zero_or_none() -> None:
    assert checked_limit(0) == 0
    assert checked_limit(None) is None


@pytest.mark.parametrize(("offset", "limit"), [(-1, 1), (0, -1), (0, 101)])
def test_pages_out_of_range_are_refused(offset: int, limit: int) -> None:
    with pytest.raises(InvalidFieldError):
        checked_page(offset, limit)


def test_limit_cannot_be_set_and_removed_at_once() -> None:
    with pytest.raises(InvalidFieldError):
        checked_changes(KeyChanges(limit=1, clear_limit=True))


def test_other_texts_are_no_ids() -> None:
    with pytest.raises(InvalidFieldError) as raised:
        checked_id("org_id", "1; DROP TABLE orgs")
    assert raised.value.field == "org_id"


def test_every_error_has_a_row_in_the_table_of_the_wire() -> None:
    leaves = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, AccountsError) and kind is not AccountsError
    }
    assert set(REASONS) == leaves
