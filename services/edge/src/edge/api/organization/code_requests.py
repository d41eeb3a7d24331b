"""What a code gives, and where it may be sent: the same rules for programs (`/auth/keys/code`) and for the page that asks people."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from edge.api.management.key_requests import INTERVALS
from edge.api.management.members import JsonMembers
from edge.domain.errors import ForbiddenError
from edge.domain.principal import Key, KeyAccess, Principal
from turnpike.accounts.v1 import records_pb2
from turnpike.accounts.v1 import session_service_pb2 as messages

CHALLENGE_METHODS: Final = {"S256": "S256", "plain": "plain"}
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MAX_URL: Final = 2_000
# Browsers read a backslash as a slash and leave out line ends, so a URL with either names another host to them than to us.
_URL: Final = re.compile(r"[!-\[\]-~]+")
_HOST: Final = re.compile(r"[a-z0-9.-]+|::1")


def code_request(body: JsonMembers, principal: Principal) -> messages.CreateAuthCodeRequest:
    """Make the call for a code of the caller's organisation, and in a session for its user.

    Args:
        body: members of an `AuthCodeBody`.
        principal: who asks.

    Raises:
        InvalidInputError: a member is wrong.
        ForbiddenError: the caller is a key that is bound by something.
    """
    callback(body)
    if principal.member is None:
        _check_unrestricted(principal.key)
    own = principal.key.workspace_id or principal.org.org_id
    workspace_id = body.text("workspace_id", most=100) or own
    if principal.member is None and workspace_id != own:
        raise body.wrong("workspace_id", "is not the workspace of this key")
    request = messages.CreateAuthCodeRequest(
        org_id=principal.org.org_id,
        workspace_id=workspace_id,
        user_id=_user_id(principal),
        code_challenge=body.text("code_challenge", most=128) or "",
        code_challenge_method=body.choice("code_challenge_method", CHALLENGE_METHODS) or "",
        key_label=body.text("key_label", most=100) or "",
        limit_nano_usd=body.dollars("limit"),
        limit_reset=records_pb2.SpendInterval.ValueType(body.choice("usage_limit_type", INTERVALS) or 0),
    )
    expires_at = body.instant("expires_at")
    if expires_at is not None:
        request.key_expires_at.FromDatetime(expires_at)
    return request


def callback(body: JsonMembers) -> str | None:
    """Return where the code will be sent: HTTPS, or this machine, at any port. None: it is shown to the user.

    Raises:
        InvalidInputError: it must not be sent there, or neither an address nor a challenge is given.
    """
    text = body.text("callback_url", most=_MAX_URL)
    if text is None:
        if body.text("code_challenge") is None:
            raise body.wrong("code_challenge", "required without a callback_url")
        return None
    try:
        url = urlsplit(text)
        host = url.hostname or ""
        _ = url.port
    except ValueError:
        raise body.wrong("callback_url", "expected a URL") from None
    if _URL.fullmatch(text) is None:
        raise body.wrong("callback_url", "expected a URL in ASCII, without spaces and backslashes")
    if _HOST.fullmatch(host) is None or url.username is not None or url.fragment:
        raise body.wrong("callback_url", "expected a URL without credentials and fragment")
    if url.scheme != "https" and not (url.scheme == "http" and host in _LOOPBACK):
        raise body.wrong("callback_url", "expected https, or http on this machine")
    return text


def _check_unrestricted(key: Key) -> None:
    """Check that the key may make another one, which would not be bound by what binds it.

    Raises:
        ForbiddenError: something does.
    """
    if key.limit is not None or key.expires_at_ms is not None or key.rate_limits or key.access != KeyAccess():
        raise ForbiddenError("A key that is limited or restricted cannot make other keys")


def _user_id(principal: Principal) -> str:
    """Whose key it will be; empty when that is not known."""
    if principal.member is not None:
        return principal.member.user_id
    try:
        return str(UUID(principal.key.creator_user_id))
    except ValueError:
        return ""
