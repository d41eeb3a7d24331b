"""What members see of keys and activity, by their role, through the public port: docs/organizations.md has the table."""

from __future__ import annotations

import pytest

from edge.testing.stack import EdgeStack
from turnpike.accounts.v1 import member_service_pb2

ROLES = ("owner", "admin", "billing", "developer", "viewer")


def signed_in(edge: EdgeStack, role: str) -> tuple[str, str]:
    """A member with a role: the token of their session, and their id."""
    token = edge.around.sessions.open(edge.org.org_id)
    user_id = edge.around.sessions.organizations.members[edge.org.org_id][-1].user.user_id
    edge.around.sessions.set_role(user_id, member_service_pb2.Role.Value(f"ROLE_{role.upper()}"))
    return token, user_id


def key_of(edge: EdgeStack, user_id: str) -> str:
    """A key that a member made: its hash."""
    _, record = edge.around.accounts.add_key(edge.org.org_id)
    record.creator_user_id = user_id
    return str(record.digest)


@pytest.mark.parametrize("role", ROLES)
async def test_s10_members_see_the_keys_that_their_role_shows(role: str, edge: EdgeStack) -> None:
    token, user_id = signed_in(edge, role)
    own, other = key_of(edge, user_id), key_of(edge, "somebody-else")
    listed = await edge.call("GET", "/keys", key=token)
    statuses = [(await edge.call("GET", f"/keys/{digest}", key=token)).status for digest in (own, other)]
    if role in {"billing", "viewer"}:
        assert (listed.status, statuses) == (403, [403, 403])
        return
    seen = {row["hash"] for row in listed.document["data"]}
    if role == "developer":
        assert (seen, statuses) == ({own}, [200, 404])
        denied = await edge.call("PATCH", f"/keys/{other}", {"disabled": True}, key=token)
        assert denied.status == 404
        assert (await edge.call("DELETE", f"/keys/{other}", key=token)).status == 404
    else:
        assert {own, other} <= seen
        assert statuses == [200, 200]


@pytest.mark.parametrize("role", ROLES)
async def test_s10_members_see_the_activity_that_their_role_shows(role: str, edge: EdgeStack) -> None:
    token, user_id = signed_in(edge, role)
    own, other = key_of(edge, user_id), key_of(edge, "somebody-else")
    asked = edge.around.analytics.asked
    only = user_id if role == "developer" else ""

    assert (await edge.call("GET", "/activity", key=token)).status == 200
    assert (asked[-1].org_id, asked[-1].member_id) == (edge.org.org_id, only)
    assert (await edge.call("GET", f"/activity?user_id={user_id}", key=token)).status == 200
    assert asked[-1].member_id == user_id
    assert (await edge.call("GET", f"/activity?api_key_hash={own}", key=token)).status == 200
    assert (asked[-1].member_id, bool(asked[-1].key_id)) == (only, True)

    count = len(asked)
    by_other = await edge.call("GET", "/activity?user_id=somebody-else", key=token)
    by_key = await edge.call("GET", f"/activity?api_key_hash={other}", key=token)
    expected = (403, 404, count) if role == "developer" else (200, 200, count + 2)
    assert (by_other.status, by_key.status, len(asked)) == expected


@pytest.mark.parametrize("role", ROLES)
async def test_s10_generations_and_queries_of_everybody_are_for_administrators(role: str, edge: EdgeStack) -> None:
    token, _ = signed_in(edge, role)
    expected = 200 if role in {"owner", "admin"} else 403
    query = {"metrics": ["request_count"]}
    assert (await edge.call("GET", "/activity/export", key=token)).status == expected
    assert (await edge.call("POST", "/analytics/query", query, key=token)).status == expected
    # A key of inference is nobody's session.
    assert (await edge.call("GET", "/activity")).status == 403
