"""Where it is kept who is signed in, and which sign-in a command takes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from turnpike_cli.connection import Connection, connection_to
from turnpike_cli.errors import CommandError
from turnpike_cli.sign_ins import SignIn, SignIns, TokenKind

URL = "https://t.example/api/v1"
SESSION = SignIn(TokenKind.SESSION, "tp_sess_one")
KEY = SignIn(TokenKind.KEY, "tp_live_one")


@pytest.fixture
def sign_ins(tmp_path: Path) -> SignIns:
    return SignIns(tmp_path / "config" / "turnpike")


def test_a_sign_in_is_kept_for_its_owner_only(sign_ins: SignIns) -> None:
    sign_ins.keep(URL, SESSION)
    assert stat.S_IMODE(sign_ins.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(sign_ins.path.parent.stat().st_mode) == 0o700
    assert (sign_ins.current, sign_ins.at(URL)) == (URL, SESSION)
    assert "tp_sess_one" not in repr(SESSION)


def test_each_turnpike_has_a_sign_in_of_its_own(sign_ins: SignIns) -> None:
    other = "https://other.example/api/v1"
    sign_ins.keep(URL, SESSION)
    sign_ins.keep(other, KEY)
    assert (sign_ins.current, sign_ins.at(URL), sign_ins.at(other)) == (other, SESSION, KEY)
    sign_ins.forget(other)
    assert (sign_ins.current, sign_ins.at(URL), sign_ins.at(other)) == (None, SESSION, None)


def test_a_file_that_others_can_read_is_not_used(sign_ins: SignIns) -> None:
    sign_ins.keep(URL, SESSION)
    sign_ins.path.chmod(0o640)
    with pytest.raises(CommandError, match="others can read"):
        sign_ins.at(URL)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"current": null, "sign_ins": {"x": {}}}', '{"current": 1, "sign_ins": 2}']
)
def test_a_damaged_file_is_one_line(sign_ins: SignIns, text: str) -> None:
    sign_ins.keep(URL, SESSION)
    sign_ins.path.write_text(text)
    with pytest.raises(CommandError, match="is not readable; delete it"):
        sign_ins.at(URL)


def test_a_session_stands_in_for_a_management_key_at_its_own_turnpike(sign_ins: SignIns, tmp_path: Path) -> None:
    sign_ins.keep(URL, SESSION)
    assert connection_to("https://t.example", None, tmp_path, sign_ins) == Connection(URL, "tp_sess_one")
    assert connection_to("https://t.example", "tp_mgmt_x", tmp_path, sign_ins) == Connection(URL, "tp_mgmt_x")
    with pytest.raises(CommandError, match="or `turnpike login` there"):
        connection_to("https://elsewhere.example", None, tmp_path, sign_ins)


def test_without_a_stack_the_last_sign_in_is_meant(sign_ins: SignIns, tmp_path: Path) -> None:
    sign_ins.keep(URL, SESSION)
    assert connection_to(None, None, tmp_path, sign_ins) == Connection(URL, "tp_sess_one")


def test_a_key_manages_nothing(sign_ins: SignIns, tmp_path: Path) -> None:
    sign_ins.keep(URL, KEY)
    with pytest.raises(CommandError, match="which manages nothing"):
        connection_to(URL, None, tmp_path, sign_ins)
