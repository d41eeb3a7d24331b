from __future__ import annotations

import pytest

from accounts.failpoints import POINTS
from accounts.settings import Settings, audit_pepper
from servicekit.settings import SettingsError, load

GOOD = {
    "ACCOUNTS_POSTGRES_DSN": "postgresql://u:hidden@127.0.0.1/db",
    "ACCOUNTS_POSTGRES_OWNER_DSN": "postgresql://owner:hidden@127.0.0.1/db",
    "ACCOUNTS_KEYS_PEPPER": "p" * 32,
}


def problems(**more: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load(Settings, GOOD | more)
    return raised.value.problems


def test_what_is_required_is_enough() -> None:
    settings = load(Settings, GOOD)
    assert settings.failpoints == ()
    assert "hidden" not in repr(settings)


def test_all_problems_are_told_together_and_no_secret_is() -> None:
    found = "\n".join(
        problems(
            ACCOUNTS_POSTGRES_DSN="mysql://u:hidden@127.0.0.1/db",
            ACCOUNTS_KEYS_PEPPER="short-secret",
            ACCOUNTS_FAILPOINTS="nowhere",
            ACCOUNTS_SETTLEMENT_BATCH="0",
        )
    )
    for name in ("POSTGRES_DSN", "KEYS_PEPPER", "FAILPOINTS", "SETTLEMENT_BATCH"):
        assert f"ACCOUNTS_{name}" in found
    assert "hidden" not in found
    assert "short-secret" not in found


def test_migrations_need_the_owner() -> None:
    (problem,) = problems(ACCOUNTS_POSTGRES_OWNER_DSN="")
    assert "owner_dsn is required to run migrations" in problem
    assert load(Settings, GOOD | {"ACCOUNTS_POSTGRES_OWNER_DSN": "", "ACCOUNTS_POSTGRES_MIGRATE": "false"})


def test_a_send_must_not_outlast_the_transaction_that_waits_for_it() -> None:
    (problem,) = problems(ACCOUNTS_POSTGRES_STATEMENT_TIMEOUT="5s")
    assert "kafka.send_timeout must be below twice postgres.statement_timeout" in problem


@pytest.mark.parametrize("point", POINTS)
def test_failpoint_can_be_named(point: str) -> None:
    assert load(Settings, GOOD | {"ACCOUNTS_FAILPOINTS": f"{point}:2"}).failpoints == (f"{point}:2",)


def test_s03_a_change_of_the_pepper_says_what_the_audit_log_is_chained_under() -> None:
    old, new = "p" * 32, "q" * 32
    (problem,) = problems(ACCOUNTS_KEYS_PREVIOUS_PEPPER=new)
    assert "audit_pepper is required with previous_pepper" in problem
    (problem,) = problems(ACCOUNTS_KEYS_PREVIOUS_PEPPER=old, ACCOUNTS_KEYS_AUDIT_PEPPER=old)
    assert "previous_pepper must be another one than pepper" in problem
    (problem,) = problems(ACCOUNTS_KEYS_PREVIOUS_PEPPER="short", ACCOUNTS_KEYS_AUDIT_PEPPER=old)
    assert "ACCOUNTS_KEYS_PREVIOUS_PEPPER: not accepted" in problem
    changed = {"ACCOUNTS_KEYS_PEPPER": new, "ACCOUNTS_KEYS_PREVIOUS_PEPPER": old, "ACCOUNTS_KEYS_AUDIT_PEPPER": old}
    before, after = load(Settings, GOOD), load(Settings, GOOD | changed)
    assert audit_pepper(before.keys) == audit_pepper(after.keys) == old.encode()
