"""Who may call, with the directory on a real broker and the owner of the keys behind real gRPC."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from contracts import api_keys
from edge.settings import AccountsSettings
from edge.testing.accounts import PEPPER, USD
from edge.testing.stack import EdgeStack, Neighbours, OpenEdge, edge_stack
from edge.testing.waiting import eventually
from servicekit.testing import kafka_broker
from turnpike.accounts.v1 import records_pb2

MADE_UP = "tp_live_" + "a" * 36


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", f"Bearer {MADE_UP}", "Bearer sk-or-v1-0123"],
)
async def test_s02_what_cannot_be_a_key_is_401_without_any_question(authorization: str | None, edge: EdgeStack) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await edge.call("POST", "/chat/completions", {}, key="", headers=headers)
    assert answer.status == 401
    assert answer.error["metadata"]["error_type"] == "authentication"
    assert edge.around.accounts.asked == []


async def test_a_published_key_is_known_without_a_question(edge: EdgeStack) -> None:
    assert (await edge.chat()).status == 200
    assert edge.around.accounts.asked == []


async def test_s07_unknown_revoked_and_malformed_keys_get_one_answer(edge: EdgeStack) -> None:
    accounts = edge.around.accounts
    revoked, record = accounts.add_key(edge.org.org_id)
    unknown, never = accounts.add_key(edge.org.org_id)
    del accounts.keys[record.digest], accounts.keys[never.digest]
    answers = [await edge.chat(key=key) for key in (MADE_UP, unknown, revoked)]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    names = {frozenset(name for name in answer.headers if name != "Date") for answer in answers}
    assert len(names) == 1


async def test_s08_no_key_is_taken_from_the_address(edge: EdgeStack) -> None:
    for query in (f"?key={edge.key}", f"?api_key={edge.key}", f"?access_token={edge.key}"):
        answer = await edge.call("POST", f"/chat/completions{query}", {}, key="")
        assert answer.status == 401
    await eventually(lambda: len([s for s in edge.telemetry.spans if s.name.startswith("POST")]) == 3)
    assert edge.key not in str([(span.name, dict(span.attributes or {})) for span in edge.telemetry.spans])


async def test_a1_a_new_key_works_before_it_is_published_and_an_unknown_one_is_asked_about_once(
    edge: EdgeStack,
) -> None:
    accounts = edge.around.accounts
    fresh, record = accounts.add_key(edge.org.org_id)
    unknown, never = accounts.add_key(edge.org.org_id)
    del accounts.keys[never.digest]
    for _ in range(3):
        assert (await edge.chat(key=fresh)).status == 200
        assert (await edge.chat(key=unknown)).status == 401
    assert sorted(accounts.asked) == sorted([record.digest, never.digest])


async def test_a3_an_unknown_key_is_503_while_accounts_is_down_and_never_401(
    open_edge: OpenEdge, around: Neighbours
) -> None:
    edge = await open_edge()
    key, _ = around.accounts.add_key(edge.org.org_id)
    around.accounts.down = True
    for _ in range(2):
        answer = await edge.chat(key=key)
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "2"
        assert answer.error["metadata"]["error_type"] == "provider_overloaded"
    around.accounts.down = False
    assert (await edge.chat(key=key)).status == 200


async def test_a3_an_accounts_that_cannot_be_reached_is_503(open_edge: OpenEdge, around: Neighbours) -> None:
    edge = await open_edge(accounts=AccountsSettings(target="127.0.0.1:1"))
    key, _ = around.accounts.add_key(edge.org.org_id)
    assert (await edge.chat(key=key)).status == 503
    # A key that is known, of an organisation of whose credit nothing is lent here.
    assert (await edge.chat()).status == 503


async def test_a5_a_revoked_key_stops_working_when_that_is_published(edge: EdgeStack) -> None:
    assert (await edge.chat()).status == 200
    del edge.around.accounts.keys[edge.key_record.digest]
    await edge.publisher.bury(edge.key_record.digest)
    await eventually(lambda: refused(edge, 401))


async def test_a5_a_disabled_key_stops_working_when_that_is_published(edge: EdgeStack) -> None:
    edge.key_record.disabled = True
    edge.key_record.revision = 2
    await edge.publisher.publish(edge.key_record)
    await eventually(lambda: refused(edge, 401))


async def test_a5_a_revoked_key_that_was_asked_about_stops_working_when_that_is_published(edge: EdgeStack) -> None:
    key, record = edge.around.accounts.add_key(edge.org.org_id)
    assert (await edge.chat(key=key)).status == 200
    assert edge.around.accounts.asked == [record.digest]
    del edge.around.accounts.keys[record.digest]
    await edge.publisher.publish(record)
    await edge.publisher.bury(record.digest)

    async def is_refused() -> bool:
        return (await edge.chat(key=key)).status == 401

    # Long before the minute for which an answer is fresh.
    await eventually(is_refused)


async def test_a_suspended_organisation_may_not_spend(edge: EdgeStack) -> None:
    edge.org.status = records_pb2.ORG_STATUS_FROZEN
    edge.org.revision = 2
    await edge.publisher.publish(edge.org)
    await eventually(lambda: refused(edge, 403))
    assert (await edge.call("GET", "/key")).status == 200


async def test_credit_that_is_bought_counts_at_once(edge: EdgeStack) -> None:
    edge.org.balance_nano_usd = 0
    answer = await edge.chat(max_tokens=100)
    assert answer.status == 402
    assert "You requested up to 100 tokens, but can only afford 0" in answer.error["message"]
    asked = len(edge.around.leases.calls)
    assert (await edge.chat(max_tokens=100)).status == 402
    assert len(edge.around.leases.calls) == asked, "nothing could have come back since"
    edge.org.balance_nano_usd, edge.org.revision = 10 * USD, 2
    await edge.publisher.publish(edge.org)

    async def is_served() -> bool:
        return (await edge.chat()).status == 200

    await eventually(is_served)


async def test_an_organisation_that_owes_is_refused_when_that_is_published(edge: EdgeStack) -> None:
    edge.org.balance_nano_usd, edge.org.revision = -1, 2
    await edge.publisher.publish(edge.org)
    await eventually(lambda: refused(edge, 402))


async def test_a_key_with_a_spent_limit_is_402(edge: EdgeStack) -> None:
    key, record = edge.around.accounts.add_key(edge.org.org_id, limit=USD, spent=USD)
    await edge.publisher.publish(record)
    answer = await edge.chat(key=key)
    assert answer.status == 402
    assert answer.error["metadata"]["error_type"] == "payment_required"


async def test_known_keys_go_on_when_broker_and_accounts_are_gone(around: Neighbours, tmp_path: Path) -> None:
    with kafka_broker() as broker:
        async with edge_stack(tmp_path / "state", broker.bootstrap, around) as edge:
            assert (await edge.chat()).status == 200
            broker.kill()
            around.accounts.down = around.leases.down = True
            assert (await edge.chat()).status == 200


async def test_credit_that_nobody_can_lend_is_503_and_never_402(edge: EdgeStack) -> None:
    edge.around.leases.down = True
    answer = await edge.chat()
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert edge.around.router.requests == []
    edge.around.leases.down = False
    await eventually(lambda: refused(edge, 200))


async def test_the_answer_is_as_long_as_is_affordable_where_nothing_else_is_said(edge: EdgeStack) -> None:
    edge.org.balance_nano_usd = 1_000_000
    assert (await edge.chat()).status == 200
    (request,) = edge.around.router.requests
    assert 400 < request.caller.max_output_tokens <= 500
    assert request.caller.hold_nano_usd <= 1_000_000
    assert request.caller.lease_id


@pytest.mark.parametrize("path", ["/messages", "/responses"])
async def test_a_limit_of_the_caller_that_is_not_affordable_is_402_in_every_dialect(edge: EdgeStack, path: str) -> None:
    edge.org.balance_nano_usd = 1_000_000
    body = {
        "/messages": {"max_tokens": 5_000, "messages": [{"role": "user", "content": "Hi"}]},
        "/responses": {"max_output_tokens": 5_000, "input": "Hi"},
    }[path]
    answer = await edge.call("POST", path, {"model": "acme/one", **body})
    assert answer.status == 402
    assert "can only afford 4" in answer.document["error"]["message"]


async def refused(edge: EdgeStack, status: int) -> bool:
    return (await edge.chat()).status == status


async def test_no_key_is_in_a_log_line(edge: EdgeStack, capfd: pytest.CaptureFixture[str]) -> None:
    unknown = api_keys.generate(api_keys.ApiKeyKind.INFERENCE, Random(9))
    await edge.chat()
    await edge.chat(key=unknown)
    await edge.chat(key=MADE_UP)
    output = "".join(capfd.readouterr())
    assert "request.finished" in output
    for secret in (edge.key, unknown, MADE_UP, PEPPER.decode(), "Say something", "Hello world"):
        assert secret not in output
