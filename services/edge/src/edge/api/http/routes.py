"""The route table: what is answered where, and who may ask."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final

from aiohttp import web

from edge.api.http.errors import ErrorBody, HttpError, openrouter_error
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.domain.errors import WrongKeyKindError, WrongRoleError
from edge.domain.principal import KeyKind, Principal, Role

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]

# OpenRouter's base path, and the one that OpenAI's clients use.
PREFIXES: Final = ("/api/v1", "/v1")
# For what is served beside the API.
ROOT: Final = ("",)


class Access(Enum):
    """Who may use a route. Every route says it."""

    ANYBODY = "anybody"
    ANYBODY_OR_KEY = "anybody, and with a key one sees more"
    ANY_KEY = "any key"
    INFERENCE_KEY = "inference key"
    MANAGEMENT_KEY = "management key, or an administrator"
    OWN_KEYS = "management key, an administrator, or a developer for keys of their own"
    USAGE = "management key, or any member; a developer what keys of their own used"
    MONEY = "management key, an administrator, or whoever looks after the money"
    ORGANIZATION = "management key, or any member"
    AUTHORIZE = "inference key, an administrator, or a developer"
    SESSION = "anybody who is signed in"


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may: holders of keys of these kinds, and signed-in members with these roles; None is also who is in no organisation."""

    keys: frozenset[KeyKind] = frozenset()
    roles: frozenset[Role | None] = frozenset()


_KEYS: Final = frozenset(KeyKind)
_MANAGEMENT: Final = frozenset({KeyKind.MANAGEMENT})
_INFERENCE: Final = frozenset({KeyKind.INFERENCE})
_ADMINISTRATORS: Final = frozenset[Role | None]({Role.OWNER, Role.ADMIN})

# What is not said here is allowed to nobody, and a route with an access that is not here does not start (S10).
PERMISSIONS: Final[Mapping[Access, Permission | None]] = MappingProxyType(
    {
        Access.ANYBODY: None,
        Access.ANYBODY_OR_KEY: None,
        Access.ANY_KEY: Permission(_KEYS),
        Access.INFERENCE_KEY: Permission(_INFERENCE),
        Access.MANAGEMENT_KEY: Permission(_MANAGEMENT, _ADMINISTRATORS),
        Access.OWN_KEYS: Permission(_MANAGEMENT, _ADMINISTRATORS | {Role.DEVELOPER}),
        Access.USAGE: Permission(_MANAGEMENT, frozenset(Role)),
        Access.MONEY: Permission(_MANAGEMENT, _ADMINISTRATORS | {Role.BILLING}),
        Access.ORGANIZATION: Permission(_MANAGEMENT, frozenset(Role)),
        Access.AUTHORIZE: Permission(_INFERENCE, _ADMINISTRATORS | {Role.DEVELOPER}),
        Access.SESSION: Permission(roles=frozenset([*Role, None])),
    }
)


def is_for_sessions(access: Access) -> bool:
    """Whether somebody who is signed in may do it with some role."""
    permission = PERMISSIONS[access]
    return permission is not None and bool(permission.roles)


def check_permission(access: Access, principal: Principal) -> None:
    """Check that a caller may use a route.

    Raises:
        WrongKeyKindError: the key is of another kind.
        WrongRoleError: the member has another role.
    """
    permission = PERMISSIONS[access]
    if permission is None:
        return
    if principal.member is not None:
        if principal.member.role not in permission.roles:
            raise WrongRoleError
    elif principal.key.kind not in permission.keys:
        if not permission.keys:
            raise WrongKeyKindError("API keys cannot perform this operation: sign in")
        principal.check_kind(next(iter(permission.keys)))


@dataclass(frozen=True, slots=True)
class Route:
    """A method on a path below each prefix; `{name}` stands for one part of it.

    Two are equal that say the same of themselves, whoever handles them.

    Attributes:
        operation: what the OpenAPI document says of it.
        error_body: how its errors look.
        prefixes: what it is below.
    """

    method: str
    path: str
    access: Access
    handler: Handler = field(compare=False)
    operation: Operation = field(hash=False)  # it holds mappings
    error_body: ErrorBody = openrouter_error
    prefixes: tuple[str, ...] = PREFIXES


@dataclass(frozen=True, slots=True)
class Match:
    """A route that fits a request. `template` names it in telemetry, without the values in it."""

    route: Route
    template: str
    params: Mapping[str, str]


_NO_PARAMS: Final[Mapping[str, str]] = {}
_NOTHING: Final[Mapping[str, Match]] = {}


class RouteTable:
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Make a table.

        Raises:
            ValueError: two routes are the same, or one does not say who may use it.
        """
        self._fixed: dict[str, dict[str, Match]] = {}
        self._variable: dict[int, list[tuple[tuple[str, ...], dict[str, Match]]]] = {}
        for route in routes:
            if route.access not in PERMISSIONS:
                raise ValueError(f"{route.method} {route.path} does not say who may use it")
            for prefix in route.prefixes:
                self._add(prefix + route.path, route)

    def match(self, method: str, path: str) -> Match:
        """Find the route.

        Args:
            method: HTTP method; HEAD is answered where GET is.
            path: decoded, without the query.

        Raises:
            HttpError: no such path (404), or another method there (405).
        """
        found, params = self._find(path)
        if not found:
            raise HttpError(404, "Not found: there is nothing at this path", "not_found")
        return _choose(found, method, params)

    def methods_at(self, path: str) -> list[str]:
        """Which methods there are at a path; none where there is nothing."""
        found, _ = self._find(path)
        return [*found, "HEAD"] if "GET" in found else list(found)

    def error_body_at(self, path: str) -> ErrorBody:
        """How errors look at a path, whether or not the request fits a route there."""
        found, _ = self._find(path)
        return next((match.route.error_body for match in found.values()), openrouter_error)

    def _find(self, path: str) -> tuple[Mapping[str, Match], Mapping[str, str]]:
        methods = self._fixed.get(path)
        if methods is not None:
            return methods, _NO_PARAMS
        parts = tuple(path.split("/"))
        for template, found in self._variable.get(len(parts), ()):
            params = _bind(template, parts)
            if params is not None:
                return found, params
        return _NOTHING, _NO_PARAMS

    def _add(self, template: str, route: Route) -> None:
        match = Match(route, template, {})
        if "{" not in template:
            methods = self._fixed.setdefault(template, {})
        else:
            parts = tuple(template.split("/"))
            same_length = self._variable.setdefault(len(parts), [])
            methods = next((found for other, found in same_length if other == parts), {})
            if not methods:
                same_length.append((parts, methods))
        if route.method in methods:
            raise ValueError(f"{route.method} {template} twice")
        methods[route.method] = match


def _bind(template: tuple[str, ...], parts: tuple[str, ...]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for expected, part in zip(template, parts, strict=True):
        if expected.startswith("{"):
            if not part:
                return None
            params[expected[1:-1]] = part
        elif expected != part:
            return None
    return params


def _choose(methods: Mapping[str, Match], method: str, params: Mapping[str, str]) -> Match:
    match = methods.get("GET" if method == "HEAD" else method)
    if match is None:
        allowed = sorted(methods)
        headers = {"Allow": ", ".join([*allowed, "HEAD"] if "GET" in methods else allowed)}
        raise HttpError(405, f"Method not allowed: use {' or '.join(allowed)}", headers=headers)
    return Match(match.route, match.template, params) if params else match
