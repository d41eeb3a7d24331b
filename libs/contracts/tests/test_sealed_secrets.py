"""Envelope encryption of what customers entrust."""

from __future__ import annotations

import base64
import copy
import secrets
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sealed_secrets import (
    KEY_BYTES,
    NONCE_BYTES,
    KeyEncryptionKeys,
    Purpose,
    SealedSecret,
    SealError,
    Secret,
    parse_keks,
)

OLD, NEW = bytes(range(KEY_BYTES)), bytes(reversed(range(KEY_BYTES)))
KEKS = KeyEncryptionKeys("old", {"old": OLD})
PURPOSE = Purpose("org-1", "openai", "secret-1", 1)
TEXT = "sk-canary-0123456789"


def with_part(sealed: SealedSecret, part: str, value: bytes) -> SealedSecret:
    parts: dict[str, Any] = {part: value}
    return replace(sealed, **parts)


@given(st.text(min_size=1).filter(lambda text: text.isprintable()))
def test_s20_what_is_sealed_opens_again(text: str) -> None:
    assert KEKS.open(KEKS.seal(text, PURPOSE, secrets.token_bytes), PURPOSE).reveal() == text


def test_s20_every_secret_has_a_data_key_and_nonces_of_its_own() -> None:
    drawn: list[int] = []

    def random_bytes(count: int) -> bytes:
        drawn.append(count)
        return secrets.token_bytes(count)

    sealed = [KEKS.seal(TEXT, PURPOSE, random_bytes) for _ in range(50)]
    assert drawn == [KEY_BYTES, NONCE_BYTES, NONCE_BYTES] * 50
    for part in ("wrapped_key", "key_nonce", "ciphertext", "nonce"):
        assert len({getattr(each, part) for each in sealed}) == 50
    assert all(len(each.nonce) == len(each.key_nonce) == 12 for each in sealed)


@pytest.mark.parametrize(
    "purpose",
    [
        replace(PURPOSE, org_id="org-2"),
        replace(PURPOSE, provider="anthropic"),
        replace(PURPOSE, secret_id="secret-2"),
        replace(PURPOSE, version=2),
    ],
)
def test_s21_a_row_that_was_moved_does_not_open(purpose: Purpose) -> None:
    sealed = KEKS.seal(TEXT, PURPOSE, secrets.token_bytes)
    with pytest.raises(SealError):
        KEKS.open(sealed, purpose)
    # Not even with a data key that belongs there.
    other = KEKS.seal(TEXT, purpose, secrets.token_bytes)
    mixed = replace(other, ciphertext=sealed.ciphertext, nonce=sealed.nonce)
    with pytest.raises(SealError):
        KEKS.open(mixed, purpose)


@pytest.mark.parametrize("part", ["wrapped_key", "key_nonce", "ciphertext", "nonce"])
def test_s20_any_changed_bit_is_noticed(part: str) -> None:
    sealed = KEKS.seal(TEXT, PURPOSE, secrets.token_bytes)
    value = bytearray(getattr(sealed, part))
    value[-1] ^= 1
    with pytest.raises(SealError):
        KEKS.open(with_part(sealed, part, bytes(value)), PURPOSE)
    with pytest.raises(SealError):
        KEKS.open(with_part(sealed, part, b""), PURPOSE)


def test_s22_a_new_kek_wraps_the_data_key_anew_and_leaves_the_secret_as_it_is() -> None:
    sealed = KEKS.seal(TEXT, PURPOSE, secrets.token_bytes)
    both = KeyEncryptionKeys("new", {"old": OLD, "new": NEW})
    again = both.rewrap(sealed, PURPOSE, secrets.token_bytes)
    assert (again.kek_id, again.ciphertext, again.nonce) == ("new", sealed.ciphertext, sealed.nonce)
    assert again.wrapped_key != sealed.wrapped_key
    only_new = KeyEncryptionKeys("new", {"new": NEW})
    assert only_new.open(again, PURPOSE).reveal() == TEXT
    with pytest.raises(SealError, match="no key-encryption key old"):
        only_new.open(sealed, PURPOSE)


def test_s23_nothing_shows_a_secret_but_reveal() -> None:
    secret = Secret(TEXT)
    sealed = KEKS.seal(TEXT, PURPOSE, secrets.token_bytes)
    shown = f"{secret} {secret!r} {[secret]} {sealed!r} {KEKS!r} {vars(KEKS).keys()}"
    assert TEXT not in shown
    assert "sk-" not in shown
    # Pickling goes the same way.
    with pytest.raises(TypeError):
        copy.copy(secret)


def test_a_file_of_keys_is_read() -> None:
    text = f"current: b\nkeys:\n  a: {base64.b64encode(OLD).decode()}\n  b: {base64.b64encode(NEW).decode()}\n"
    keks = parse_keks(text)
    assert keks.current == "b"
    sealed = keks.seal(TEXT, PURPOSE, secrets.token_bytes)
    assert KeyEncryptionKeys("b", {"b": NEW}).open(sealed, PURPOSE).reveal() == TEXT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "current: a",
        "current: a\nkeys: {}",
        "current: a\nkeys: {a: c2hvcnQ=}",
        "current: a\nkeys: {a: hunter2!}",
        "{",
    ],
)
def test_a_bad_file_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_keks(text)
    assert "hunter2" not in str(raised.value)
