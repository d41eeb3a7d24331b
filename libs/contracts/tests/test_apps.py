"""An application is named by where it lives, else by its title."""

from __future__ import annotations

import pytest

from contracts.apps import NO_APP, app_of


@pytest.mark.parametrize(
    ("referer", "title", "name"),
    [
        ("https://App.Example/chat?x=1", "A title", "https://app.example"),
        ("http://app.example:80/", "", "http://app.example"),
        ("https://app.example:8443", "", "https://app.example:8443"),
        ("https://[::1]:9/", "", "https://[::1]:9"),
        ("", " Title only ", "Title only"),
        ("vscode-file://x", "Editor", "Editor"),
        ("https://host:notaport/", "Editor", "Editor"),
        ("https://[broken", "Editor", "Editor"),
    ],
)
def test_application_has_the_origin_of_its_address_or_its_title(referer: str, title: str, name: str) -> None:
    app = app_of(referer, title)
    assert app.name == name
    assert 0 < app.app_id < 2**31
    assert app_of(name if "://" in name else "", name).app_id == app.app_id


def test_request_that_names_no_application_has_none() -> None:
    assert app_of("", "  ") == NO_APP
    assert app_of("not an address", "") == NO_APP
