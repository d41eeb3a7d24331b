"""Who may do what, and that nothing starts that does not say so."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from contracts.ids import KeyId, OrgId
from contracts.money import NanoUsd
from contracts.spend import SpendInterval
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import PERMISSIONS, Access, Route, RouteTable, check_permission
from edge.domain.budgets import WorkspaceBudget, check_budgets
from edge.domain.errors import BudgetError, WrongKeyKindError, WrongRoleError
from edge.domain.principal import Key, KeyKind, Member, Org, Principal, Role

TODAY = date(2026, 11, 26)  # a Thursday
OPERATION = Operation(id="x", tag="Models", summary="x")


def principal(kind: KeyKind = KeyKind.MANAGEMENT, member: Member | None = None) -> Principal:
    key = Key(KeyId("k"), "d", OrgId("o"), kind, False, None, NanoUsd(0), None, 1)
    return Principal(key, Org(OrgId("o"), True, NanoUsd(0), 1), member)


async def handler(exchange: Exchange) -> None:
    raise AssertionError(exchange)


@pytest.mark.parametrize("access", [None, "anybody", "management key"])
def test_s10_a_route_that_does_not_say_who_may_use_it_does_not_start(access: object) -> None:
    route = Route("GET", "/x", access, handler, OPERATION)  # type: ignore[arg-type]  # what must not be
    with pytest.raises(ValueError, match="does not say who may use it"):
        RouteTable([route])


def test_s10_every_access_says_who_it_is_for() -> None:
    assert set(PERMISSIONS) == set(Access)


@pytest.mark.parametrize("access", Access)
def test_s10_what_is_not_allowed_is_denied(access: Access) -> None:
    permission = PERMISSIONS[access]
    if permission is None:
        assert access in {Access.ANYBODY, Access.ANYBODY_OR_KEY}
        return
    for kind in KeyKind:
        if kind in permission.keys:
            check_permission(access, principal(kind))
        else:
            with pytest.raises(WrongKeyKindError):
                check_permission(access, principal(kind))
    for role in (*Role, None):
        caller = principal(member=Member("u", "u@example.com", role, "d"))
        if role in permission.roles:
            check_permission(access, caller)
        else:
            with pytest.raises(WrongRoleError):
                check_permission(access, caller)


def budget(interval: SpendInterval, limit: int, spent: int, day: date = TODAY) -> WorkspaceBudget:
    return WorkspaceBudget("w", interval, NanoUsd(limit), NanoUsd(spent), day)


def test_the_broadest_budget_that_is_spent_is_named() -> None:
    daily, monthly = budget(SpendInterval.DAILY, 5, 5), budget(SpendInterval.MONTHLY, 500 * 10**9, 500 * 10**9)
    with pytest.raises(
        BudgetError, match=r"^Workspace monthly budget of \$500\.00 exceeded\. Contact your org admin\.$"
    ):
        check_budgets([daily, monthly], "w", TODAY)
    with pytest.raises(BudgetError, match=r"^Workspace daily budget of \$0\.000000005 exceeded"):
        check_budgets([daily], "w", TODAY)
    check_budgets([daily, monthly], "another", TODAY)
    check_budgets([budget(SpendInterval.NEVER, 5, 4)], "w", TODAY)


@pytest.mark.parametrize(
    ("interval", "first_day_after"),
    [
        (SpendInterval.DAILY, date(2026, 11, 27)),
        (SpendInterval.WEEKLY, date(2026, 11, 30)),
        (SpendInterval.MONTHLY, date(2026, 12, 1)),
    ],
)
def test_budgets_start_anew_by_themselves(interval: SpendInterval, first_day_after: date) -> None:
    spent = [budget(interval, 5, 5)]
    with pytest.raises(BudgetError):
        check_budgets(spent, "w", first_day_after - timedelta(days=1))
    check_budgets(spent, "w", first_day_after)


def test_a_budget_for_good_never_starts_anew() -> None:
    with pytest.raises(BudgetError, match="lifetime"):
        check_budgets([budget(SpendInterval.NEVER, 5, 5)], "w", TODAY + timedelta(days=4000))
