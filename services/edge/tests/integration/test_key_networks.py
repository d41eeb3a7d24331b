"""Keys that may be used from some networks only, through the public port."""

from __future__ import annotations

import pytest

from edge.settings import HttpSettings
from edge.testing.stack import EdgeStack, OpenEdge, chat_body


async def restricted(edge: EdgeStack, *ranges: str) -> str:
    secret, record = edge.around.accounts.add_key(edge.org.org_id)
    record.ip_ranges[:] = ranges
    await edge.publisher.publish(record)
    return secret


async def asked(edge: EdgeStack, key: str, forwarded_for: str) -> int:
    headers = {"X-Forwarded-For": forwarded_for} if forwarded_for else {}
    return (await edge.call("POST", "/chat/completions", chat_body(), key=key, headers=headers)).status


async def test_s06_a_key_works_from_its_networks_only(edge: EdgeStack) -> None:
    assert await asked(edge, await restricted(edge, "127.0.0.0/8", "2001:db8::/32"), "") == 200
    elsewhere = await restricted(edge, "203.0.113.0/24")
    answer = await edge.call("GET", "/key", key=elsewhere)
    assert answer.status == 403
    assert answer.error["metadata"]["error_type"] == "permission_denied"
    assert b"127.0.0.1" not in answer.body


async def test_s11_a_header_does_not_move_a_caller_whom_no_trusted_proxy_vouches_for(edge: EdgeStack) -> None:
    key = await restricted(edge, "203.0.113.0/24")
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"):
        headers = {header: "for=203.0.113.9" if header == "Forwarded" else "203.0.113.9"}
        assert (await edge.call("GET", "/key", key=key, headers=headers)).status == 403


@pytest.mark.parametrize(
    ("forwarded_for", "status"),
    [
        ("203.0.113.9", 200),
        ("::ffff:203.0.113.9", 200),
        ("203.0.113.9, 127.0.0.2", 200),
        ("198.51.100.1, 203.0.113.9", 200),
        ("203.0.113.9, 198.51.100.1", 403),
        ("203.0.113.9, nonsense", 403),
        ("", 403),
    ],
)
async def test_the_last_address_that_a_trusted_proxy_has_written_counts(
    forwarded_for: str, status: int, open_edge: OpenEdge
) -> None:
    edge = await open_edge(http=HttpSettings(port=0, trusted_proxies=("127.0.0.0/8",)))
    assert await asked(edge, await restricted(edge, "203.0.113.0/24"), forwarded_for) == status


async def test_the_router_learns_the_country_that_a_trusted_proxy_names(open_edge: OpenEdge) -> None:
    edge = await open_edge(http=HttpSettings(port=0, trusted_proxies=("127.0.0.0/8",), country_header="CF-IPCountry"))
    answer = await edge.call("POST", "/chat/completions", chat_body(), headers={"CF-IPCountry": "CH"})
    assert answer.status == 200
    (request,) = edge.around.router.requests
    assert request.caller.country == "CH"
