from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import api_keys
from contracts.api_keys import ApiKeyKind, MalformedKeyError


@pytest.mark.parametrize("kind", list(ApiKeyKind))
def test_s01_key_has_a_prefix_178_random_bits_and_a_checksum(kind: ApiKeyKind) -> None:
    key = api_keys.generate(kind, Random(1))
    assert key.startswith(f"tp_{kind.value}_")
    assert len(key) == len("tp_live_") + 30 + 6
    assert api_keys.parse(key) is kind


@given(st.integers(min_value=8, max_value=43), st.sampled_from("0aZz9"), st.integers())
def test_s02_any_changed_character_fails_the_checksum(position: int, replacement: str, seed: int) -> None:
    key = api_keys.generate(ApiKeyKind.INFERENCE, Random(seed))
    changed = key[:position] + replacement + key[position + 1 :]
    if changed == key:
        return
    with pytest.raises(MalformedKeyError):
        api_keys.parse(changed)


@given(st.text())
def test_s02_arbitrary_text_is_refused_without_failing(text: str) -> None:
    with pytest.raises(MalformedKeyError):
        api_keys.parse(text)


def test_s02_refusal_does_not_repeat_the_text() -> None:
    secret = api_keys.generate(ApiKeyKind.INFERENCE, Random(3))[:-1] + "!"
    with pytest.raises(MalformedKeyError) as raised:
        api_keys.parse(secret)
    assert secret not in str(raised.value)


def test_s03_digest_needs_the_pepper() -> None:
    key = api_keys.generate(ApiKeyKind.INFERENCE, Random(1))
    digest = api_keys.digest(key, b"pepper-one")
    assert len(digest) == 64
    assert digest == api_keys.digest(key, b"pepper-one")
    assert digest != api_keys.digest(key, b"pepper-two")


def test_s05_label_shows_the_prefix_and_the_last_four_characters() -> None:
    key = api_keys.generate(ApiKeyKind.MANAGEMENT, Random(1))
    assert api_keys.label(key) == f"tp_mgmt_...{key[-4:]}"
