"""Where a browser goes back to that signs in with an OpenID provider: only ever to our own page that asks for consent."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from edge.session_tokens import cookie_value

RETURN_COOKIE: Final = "turnpike_consent"
CONSENT_PATH: Final = "/auth"


def return_value(query: str) -> str:
    """What the cookie holds of a query of the page."""
    return base64.urlsafe_b64encode(query.encode()).decode().rstrip("=")


def consent_path(headers: Mapping[str, str]) -> str:
    """The page with the query that the cookie holds; empty without one. The page checks its query as if a stranger had written it."""
    text = cookie_value(headers, RETURN_COOKIE)
    if not text:
        return ""
    try:
        query = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
    except ValueError:
        return ""
    return f"{CONSENT_PATH}?{query}" if query.isprintable() and " " not in query else ""
