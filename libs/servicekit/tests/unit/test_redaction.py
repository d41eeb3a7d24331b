from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretBytes, SecretStr

from servicekit.redaction import MASK, Redactor

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
BODIES = st.text(BASE62, min_size=20, max_size=48)
SECRETS = st.one_of(
    BODIES.map(lambda body: f"tp_live_{body}"),
    BODIES.map(lambda body: f"sk-{body}"),
    BODIES.map(lambda body: f"sk-proj-{body}"),
    BODIES.map(lambda body: f"Bearer {body}"),
)


@given(secret=SECRETS, before=st.text("abc ({[\"'=,;\n").map(lambda text: f"{text} "), after=st.text("abc )]};,\"'\n"))
def test_s47_a_secret_of_known_form_is_masked_wherever_it_stands(secret: str, before: str, after: str) -> None:
    redacted = Redactor().redact(f"{before}{secret} {after}")
    assert secret.split()[-1] not in redacted
    assert MASK in redacted


NESTED = st.recursive(
    SECRETS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.dictionaries(SECRETS, inner, min_size=1, max_size=3),
        st.tuples(inner),
    ),
    max_leaves=6,
)


@given(NESTED)
def test_s47_nesting_hides_no_secret_and_the_result_is_json(value: Any) -> None:
    text = json.dumps(Redactor().redact(value))
    assert "tp_live_" not in text
    assert "sk-" not in text
    assert "Bearer" not in text


@pytest.mark.parametrize(
    "value",
    [
        SecretStr("hunter2"),
        SecretBytes(b"hunter2"),
        [SecretStr("hunter2")],
        {"inner": (SecretStr("hunter2"),)},
        {"password": "hunter2"},
        {"deep": {"x-api-key-hash": "hunter2", "API_KEY": "hunter2"}},
        {"Authorization": "Basic hunter2"},
        b"postgres://admin:hunter2@db/main",
        "postgres://admin:p@hunter2@db:5432/main",
        "redis://:hunter2@cache",
    ],
)
def test_s47_secrets_are_masked_by_type_by_field_name_and_in_addresses(value: Any) -> None:
    redacted = str(Redactor().redact(value))
    assert "hunter2" not in redacted
    assert MASK in redacted


def test_s47_objects_are_masked_in_their_text_form() -> None:
    @dataclass
    class Login:
        header: str
        password: SecretStr

    redacted = Redactor().redact(Login("bearer abc.def", SecretStr("hunter2")))
    assert "abc.def" not in redacted
    assert "hunter2" not in redacted


def test_fields_of_an_event_are_masked_by_name_and_empty_ones_show_that_they_are() -> None:
    event = {"event": "key.checked", "client_secret": "hunter2", "api_key": "", "password": None, "count": 3}
    assert Redactor()(None, "info", event) == {
        "event": "key.checked",
        "client_secret": MASK,
        "api_key": "",
        "password": None,
        "count": 3,
    }


def test_what_is_not_secret_stays_as_it_is() -> None:
    value = {"url": "http://127.0.0.1:8080/v1", "tokens": 12, "ok": True, "ratio": 0.5, "none": None, "id": "gen-1-abc"}
    assert Redactor().redact(value) == value


def test_mappings_with_keys_that_json_has_not_get_texts() -> None:
    assert Redactor().redact({("topic", 0): 5, 7: "x"}) == {"('topic', 0)": 5, "7": "x"}


def test_patterns_and_names_can_be_replaced_and_left_out() -> None:
    redactor = Redactor(patterns=[r"\d{4}-\d{4}"], fields=["card"])
    event = {"event": "card.seen 1234-5678", "card_number": "x", "password": "y"}
    assert redactor(None, "info", dict(event)) == {
        "event": f"card.seen {MASK}",
        "card_number": MASK,
        "password": "y",
    }
    assert Redactor(patterns=[], fields=[])(None, "info", dict(event)) == event


def test_many_field_names_made_of_data_do_not_fill_the_memory() -> None:
    redactor = Redactor()
    redactor.redact({f"name-{number}": number for number in range(5000)})
    assert redactor.redact({"password-5001": "hunter2"}) == {"password-5001": MASK}
    assert len(redactor._secret_names) <= 1000
