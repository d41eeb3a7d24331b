from __future__ import annotations

import pytest

from contracts.catalog import CatalogError, parse_credentials


def test_keys_are_found_by_slug() -> None:
    keys = parse_credentials([("b.yaml", 'bolt: "sk-2"\n'), ("a.yaml", "acme: sk-1\nlocal-a: ''\n")])
    assert dict(keys) == {"acme": "sk-1", "local-a": "", "bolt": "sk-2"}
    assert keys.get("other") is None


def test_a_provider_may_have_several_keys() -> None:
    keys = parse_credentials([("a.yaml", "acme: [sk-1, 'sk-2']\nbolt: sk-3\n")])
    assert keys["acme"] == "sk-1"
    assert keys.keys_of("acme") == ("sk-1", "sk-2")
    assert keys.keys_of("bolt") == ("sk-3",)
    assert "sk-2" not in repr(keys)


def test_no_credentials_are_fine() -> None:
    assert not parse_credentials([])
    assert not parse_credentials([("a.yaml", ""), ("b.yaml", "# none yet\n"), ("c.yaml", "{}")])


def test_a_key_is_not_shown() -> None:
    assert "sk-1" not in repr(parse_credentials([("a.yaml", "acme: sk-1\n")]))


@pytest.mark.parametrize(
    "text",
    [
        "acme: []",
        "acme: [sk-hidden, [sk-hidden]]",
        "acme: [sk-hidden, 1234567]",
        "acme: [sk-hidden, sk-hidden]",
        "acme: [sk-hidden, 'sk hidden']",
        "acme: {key: sk-hidden}",
        "acme: 1234567",
        "acme: null",
        "acme: 'sk-hidden with spaces'",
        'acme: "sk-hidden\\n"',
        "acme: sk-hidden-ü",
        "Acme Inc: sk-hidden",
        "acme: sk-hidden\nacme: sk-hidden",
        "acme: *sk-hidden",
        "- sk-hidden",
        "sk-hidden",
        "acme: sk-hidden\n  b: 1",
    ],
)
def test_a_fault_is_named_without_the_key(text: str) -> None:
    with pytest.raises(CatalogError) as caught:
        parse_credentials([("keys.yaml", text)])
    assert str(caught.value).startswith("keys.yaml:")
    assert "hidden" not in str(caught.value)
    assert "1234567" not in str(caught.value)
