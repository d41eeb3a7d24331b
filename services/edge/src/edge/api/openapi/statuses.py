"""Which statuses a route answers with: those that follow from what every request goes through, and its own."""

from __future__ import annotations

from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route

# Headers that are no headers, a query or a path that is wrong; a defect; the headers are too large; too much of one address.
_EVERYWHERE = (400, 429, 431, 500, 503)
# No key, one that may not.
_WITH_A_KEY = (401, 403)
# Slow, too large, of another type or compressed, an expectation.
_WITH_A_BODY = (408, 413, 415, 417)


def reads_a_body(operation: Operation) -> bool:
    """Say whether the operation has a body."""
    return operation.body is not None or bool(operation.bodies)


def error_statuses(route: Route) -> list[int]:
    """The statuses of refusals, in order."""
    operation = route.operation
    found = {*_EVERYWHERE, *operation.errors}
    if route.access not in (Access.ANYBODY, Access.ANYBODY_OR_KEY):
        found.update(_WITH_A_KEY)
    if reads_a_body(operation):
        found.update(_WITH_A_BODY)
    if "{" in route.path:
        found.add(404)
    return sorted(found)
