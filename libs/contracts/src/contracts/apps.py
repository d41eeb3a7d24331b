"""Which application a request comes from, as it states itself."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_SCHEMES: Final = frozenset({"http", "https"})
_MAX_NAME: Final = 200
_ID_BITS: Final = 0x7FFF_FFFF


class App(NamedTuple):
    """An application.

    Attributes:
        app_id: a positive number of 31 bits made of the name, so that everybody computes the same one; 0 for none.
        name: the origin of `HTTP-Referer` (`https://app.example`), else the title; empty for none.
    """

    app_id: int
    name: str


NO_APP: Final = App(0, "")


@lru_cache(maxsize=1_024)  # few applications make most requests
def app_of(http_referer: str, app_title: str) -> App:
    """Name the application of a request: by the origin of its address, because titles change; else by its title."""
    name = (_origin(http_referer) or app_title.strip())[:_MAX_NAME]
    if not name:
        return NO_APP
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=4).digest()
    return App((int.from_bytes(digest, "big") & _ID_BITS) or 1, name)


def _origin(address: str) -> str:
    try:
        parts = urlsplit(address.strip())
        port = parts.port
    except ValueError:
        return ""
    if parts.scheme.lower() not in _SCHEMES or not parts.hostname:
        return ""
    default = port is None or (parts.scheme.lower(), port) in {("http", 80), ("https", 443)}
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme.lower()}://{host}" + ("" if default else f":{port}")
