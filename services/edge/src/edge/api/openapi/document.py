"""The OpenAPI document, made of the routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from edge.api.http.operations import EVENT_STREAM, JSON, Operation
from edge.api.http.routes import PERMISSIONS, PREFIXES, Access, Route
from edge.api.openapi.schemas import Schemas, members
from edge.api.openapi.statuses import error_statuses, reads_a_body
from edge.domain.principal import KeyKind

OPENAPI: Final = "3.1.0"
_NAME: Final = re.compile(r"\{([^}]+)\}")
_INFERENCE: Final = {"inferenceKey": list[str]()}
_MANAGEMENT: Final = {"managementKey": list[str]()}
_SESSION: Final = {"session": list[str]()}
_SCHEMES: Final = {
    "inferenceKey": {"type": "http", "scheme": "bearer", "description": "A key for inference, `tp_live_...`."},
    "managementKey": {"type": "http", "scheme": "bearer", "description": "A management key, `tp_mgmt_...`."},
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "Somebody who is signed in and whose role allows it: `tp_sess_...`, or the cookie of a browser.",
    },
}
_DESCRIPTION: Final = (
    "Turnpike speaks OpenRouter's API, and OpenAI's and Anthropic's where these differ. Every path below `/api/v1` is also "
    "served below `/v1`. HEAD is answered where GET is."
)
_UNNAMED_STATUSES: Final = {524: "Timeout at the provider", 529: "Provider overloaded"}
_DONE: Final = "[DONE]"
_BYTES: Final = {"type": "string", "format": "binary"}


def openapi_document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    """Make the document.

    Args:
        routes: all of them; what is beside the API is left out.
        version: of the API.

    Raises:
        ValueError: two operations have the same id.
    """
    described = [route for route in routes if route.prefixes == PREFIXES]
    ids = [route.operation.id for route in described]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ValueError(f"operation ids twice: {', '.join(twice)}")
    schemas = Schemas(kind for route in described for kind in _types(route.operation))
    paths: dict[str, Any] = {}
    for route in sorted(described, key=lambda each: each.path):
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": "Turnpike", "version": version, "description": _DESCRIPTION},
        "servers": [{"url": prefix} for prefix in PREFIXES],
        "tags": [{"name": name} for name in sorted({route.operation.tag for route in described})],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SCHEMES,
        },
    }


def _types(operation: Operation) -> Iterator[Any]:
    candidates: Iterable[Any] = (
        operation.answer,
        operation.body,
        operation.error,
        *operation.content.values(),
        *operation.bodies.values(),
    )
    return (kind for kind in candidates if kind is not None)


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation = route.operation
    document: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        document["description"] = operation.description
    document["security"] = _security(route.access)
    parameters = list(_parameters(route))
    if parameters:
        document["parameters"] = parameters
    if reads_a_body(operation):
        kinds = ({JSON: operation.body} if operation.body is not None else {}) | dict(operation.bodies)
        document["requestBody"] = {
            "required": operation.body_required,
            "content": {media_type: _media(kind, schemas) for media_type, kind in kinds.items()},
        }
    document["responses"] = _responses(route, schemas)
    return document


def _security(access: Access) -> list[dict[str, list[str]]]:
    """Any one of the requirements will do. An empty one among others makes them optional."""
    permission = PERMISSIONS[access]
    if permission is None:
        return [] if access is Access.ANYBODY else [{}, _INFERENCE, _MANAGEMENT]
    found = [_INFERENCE] if KeyKind.INFERENCE in permission.keys else []
    found += [_MANAGEMENT] if KeyKind.MANAGEMENT in permission.keys else []
    return found + ([_SESSION] if permission.roles else [])


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name in _NAME.findall(route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for place, kind in (("query", route.operation.query), ("header", route.operation.headers)):
        if kind is None:
            continue
        for name, required, schema in members(kind):
            parameter = {"name": name, "in": place, "required": required}
            if "description" in schema:
                parameter["description"] = schema.pop("description")
            yield {**parameter, "schema": schema}


def _responses(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation = route.operation
    kinds = ({JSON: operation.answer} if operation.answer is not None else {}) | dict(operation.content)
    good: dict[str, Any] = {"description": HTTPStatus(operation.status).phrase}
    if kinds:
        good["content"] = {
            media_type: _events(kind, schemas) if media_type == EVENT_STREAM else _media(kind, schemas)
            for media_type, kind in kinds.items()
        }
    responses = {str(operation.status): good}
    for status in error_statuses(route):
        responses[str(status)] = {"description": _phrase(status), "content": {JSON: _media(operation.error, schemas)}}
    return responses


def _media(kind: Any, schemas: Schemas) -> dict[str, Any]:
    return {"schema": dict(_BYTES) if kind is None else schemas.of(kind)}


def _events(kind: Any, schemas: Schemas) -> dict[str, Any]:
    """A stream is described by its events, as OpenAPI 3.2 and OpenRouter do: the type is that of an event's data."""
    data = {"contentMediaType": JSON, "contentSchema": schemas.of(kind)}
    properties = {
        "event": {"type": "string"},
        "data": {"type": "string", "anyOf": [{"const": _DONE, "description": "The end of the stream."}, data]},
    }
    return {"schema": {"type": "object", "required": ["data"], "properties": properties}}


def _phrase(status: int) -> str:
    return _UNNAMED_STATUSES.get(status) or HTTPStatus(status).phrase
