from __future__ import annotations

from decimal import Decimal

import click
import pytest

from turnpike_cli.errors import NoSuchKeyError
from turnpike_cli.keys import UsdType, meant_key
from turnpike_cli.output import usd

KEYS = [
    {"hash": "abcdef0123456789", "label": "tp_live_...AAAA", "name": "one"},
    {"hash": "abcdef9999999999", "label": "tp_live_...BBBB", "name": "two"},
    {"hash": "1234567890abcdef", "label": "tp_live_...BBBB", "name": "three"},
]


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("abcdef0123456789", "one"),
        ("abcdef0", "one"),
        ("ABCDEF9", "two"),
        ("123456", "three"),
        ("tp_live_...AAAA", "one"),
    ],
)
def test_key_is_meant_by_its_hash_its_beginning_or_its_label(wanted: str, name: str) -> None:
    assert meant_key(KEYS, wanted)["name"] == name


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("abcdef", "2 keys are meant by 'abcdef'; give more digits of the hash"),
        ("tp_live_...BBBB", "2 keys are meant by 'tp_live_...BBBB'; give more digits of the hash"),
        # Few digits fit many keys by accident.
        ("12345", "there is no key '12345'; `turnpike keys list --all` shows all of them"),
        ("one", "there is no key 'one'; `turnpike keys list --all` shows all of them"),
    ],
)
def test_none_or_several_are_meant(wanted: str, message: str) -> None:
    with pytest.raises(NoSuchKeyError) as raised:
        meant_key(KEYS, wanted)
    assert str(raised.value) == message


def test_whole_key_is_not_repeated() -> None:
    with pytest.raises(NoSuchKeyError) as raised:
        meant_key(KEYS, "tp_live_secretsecretsecret")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "amount"), [("0", "0"), ("2.50", "2.5"), ("0.000000001", "0.000000001"), ("1e3", "1000")]
)
def test_amount_in_dollars_is_exact(text: str, amount: str) -> None:
    assert UsdType().convert(text, None, None) == Decimal(amount)


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "0.0000000001", "1e99"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not an amount"):
        UsdType().convert(text, None, None)


@pytest.mark.parametrize(
    ("amount", "text"), [(None, "-"), (0, "$0"), (Decimal("1E-9"), "$0.000000001"), (Decimal("2.50"), "$2.50")]
)
def test_amounts_are_shown_in_full(amount: Decimal | None, text: str) -> None:
    assert usd(amount) == text
