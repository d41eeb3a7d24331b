"""What an application asks for in the address of the page, and what the page's forms send."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from aiohttp import web
from msgspec import Meta, Struct

from edge.api.http.bodies import JsonBodies
from edge.api.http.errors import HttpError
from edge.api.http.queries import read_query
from edge.api.management.members import JsonMembers, read_body
from edge.api.organization.code_requests import callback
from edge.api.organization.requests import AuthCodeBody
from edge.domain.errors import CrossSiteError, InvalidInputError

FORM: Final = "application/x-www-form-urlencoded"
_DOLLARS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MOST_FIELDS: Final = 10
_PORTS: Final = {"https": 443, "http": 80}

_Text = Annotated[str, Meta(max_length=1_000)]


class ConsentQuery(Struct, frozen=True, kw_only=True):
    """What an application asks for; see `AuthCodeBody`. `state` comes back to it as it was."""

    callback_url: _Text | None = None
    code_challenge: _Text | None = None
    code_challenge_method: _Text | None = None
    key_label: _Text | None = None
    limit: _Text | None = None
    usage_limit_type: _Text | None = None
    expires_at: _Text | None = None
    workspace_id: _Text | None = None
    state: _Text | None = None


class ConsentForm(Struct, frozen=True, kw_only=True):
    """What somebody decided: `allow`, `deny`, or `leave` to sign in as somebody else."""

    decision: str
    csrf_token: str
    limit: str | None = None


class SignInForm(Struct, frozen=True, kw_only=True):
    """Who somebody is."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What an application asks for, checked as far as it can be without knowing who is asked.

    Attributes:
        query: the same as it is written in an address.
        body: the same as members of an `AuthCodeBody`.
        callback_url: where the application is told; None to show the code.
        state: for the application.
    """

    query: str
    body: JsonMembers
    callback_url: str | None
    state: str | None

    @property
    def host(self) -> str:
        """Who the application is, as far as anybody can know: the host, and the port where it is an unusual one."""
        url = urlsplit(self.callback_url or "")
        unusual = url.port not in (None, _PORTS.get(url.scheme))
        return f"{url.hostname}:{url.port}" if unusual else url.hostname or ""

    @property
    def origin(self) -> str:
        """Scheme, host and port of the application as a content security policy names them; empty without a callback."""
        if self.callback_url is None:
            return ""
        url = urlsplit(self.callback_url)
        # There is no way to name an IPv6 address there.
        return f"{url.scheme}:" if ":" in (url.hostname or "") else f"{url.scheme}://{self.host}"

    def answer(self, **parameters: str) -> str:
        """The callback with these parameters."""
        url = urlsplit(self.callback_url or "")
        if self.state is not None:
            parameters["state"] = self.state
        query = "&".join(part for part in (url.query, urlencode(parameters)) if part)
        return urlunsplit((url.scheme, url.netloc, url.path or "/", query, ""))

    def with_limit(self, limit: str) -> Wish:
        """The same with another limit, as the person typed it; empty is none.

        Raises:
            InvalidInputError: no amount of dollars.
        """
        members = dict(parse_qsl(self.query))
        members.pop("limit", None)
        return _wish(members | ({"limit": limit} if limit else {}))


def read_wish(request: web.BaseRequest) -> Wish:
    """Read the query of the page.

    Raises:
        InvalidInputError: a parameter is wrong; nothing is sent to its callback then.
        InvalidRequestError: likewise.
    """
    query = read_query(request, ConsentQuery)
    members = {name: getattr(query, name) for name in query.__struct_fields__}
    return _wish({name: value for name, value in members.items() if value is not None})


def _wish(members: Mapping[str, str]) -> Wish:
    asked: dict[str, object] = {name: value for name, value in members.items() if name not in ("state", "limit")}
    text = json.dumps(asked)
    limit = members.get("limit")
    if limit is not None:
        if _DOLLARS.fullmatch(limit) is None:
            raise InvalidInputError("limit: expected dollars with at most nine decimals", "limit")
        # As it is written: a float could not hold every nano-dollar. Leading zeros are no JSON.
        number = limit.lstrip("0") or "0"
        number = f"0{number}" if number.startswith(".") else number
        text = f'{text[:-1]}{", " if asked else ""}"limit": {number}}}'
    body = read_body(text.encode(), AuthCodeBody)
    return Wish(urlencode(members), body, callback(body), members.get("state"))


async def read_form(request: web.BaseRequest, bodies: JsonBodies) -> dict[str, str]:
    """Read a form that one of our own pages sent.

    Raises:
        CrossSiteError: it may have been another site's.
        HttpError: no form.
    """
    check_own_page(request)
    data = await bodies.read(request, FORM)
    try:
        return dict(
            parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=bool(data), max_num_fields=_MOST_FIELDS)
        )
    except ValueError:
        raise HttpError(400, "The form is broken") from None


def check_own_page(request: web.BaseRequest) -> None:
    """Check that one of our own pages sent a form. Every browser says where a form comes from.

    Raises:
        CrossSiteError: it does not say so.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        own = site == "same-origin"
    else:
        own = origin is not None and urlsplit(origin).netloc == request.host
    if not own:
        raise CrossSiteError("Requests of other sites are not taken here")
