"""What was said in generations, and what people think of them, through the real HTTP port."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import ErrorReason
from edge.content_log import MAX_CONTENT_BYTES, ContentLog
from edge.domain.errors import RefusedError
from edge.ports import GenerationContent
from edge.testing.contents import MemoryContents
from edge.testing.router import Message, broken, completed, piece, refuse, route, scripted
from edge.testing.stack import Answer, EdgeStack, chat_body
from edge.testing.waiting import eventually
from servicekit.testing import ManualClock, RecordingTelemetry, running
from turnpike.usage.v1 import usage_event_pb2

GENERATION = "gen-1790000000-aaaaaaaaaaaaaaaaaaaa"


@pytest.fixture
async def logging_key(edge: EdgeStack) -> str:
    key, record = edge.around.accounts.add_key(edge.org.org_id)
    record.logs_content = True
    await edge.publisher.publish(record)
    return key


async def content_of(edge: EdgeStack, answer: Answer, key: str) -> Any:
    generation_id = answer.headers["X-Generation-Id"]
    await eventually(lambda: (edge.org.org_id, generation_id) in edge.around.contents.contents)
    found = await edge.call("GET", f"/generation/content?id={generation_id}", key=key)
    assert found.status == 200, found.body
    return found.document["data"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_is_said_with_a_key_that_opted_in_is_kept(edge: EdgeStack, logging_key: str, stream: bool) -> None:
    edge.around.router.script = scripted(
        Message(route=route(), deltas=[piece(reasoning="Hm. "), piece("Hello")]),
        Message(deltas=[piece(" world", finish_reason="stop"), piece("another choice", index=1)], outcome=completed()),
    )
    answer = await edge.chat(key=logging_key, stream=stream)
    assert await content_of(edge, answer, logging_key) == {
        "input": {"messages": chat_body()["messages"]},
        "output": {"completion": "Hello world", "reasoning": "Hm. "},
        "error": None,
    }


async def test_s46_nothing_is_kept_unless_the_key_opted_in_and_never_with_zero_retention(
    edge: EdgeStack, logging_key: str
) -> None:
    plain = await edge.chat()
    private = await edge.chat(key=logging_key, provider={"zdr": True})
    kept = await edge.chat(key=logging_key)
    await content_of(edge, kept, logging_key)
    # They were said before the one that has been kept, and there is one queue.
    assert [name[1] for name in edge.around.contents.contents] == [kept.headers["X-Generation-Id"]]
    for answer in (plain, private):
        missing = await edge.call("GET", f"/generation/content?id={answer.headers['X-Generation-Id']}")
        assert missing.status == 404


async def test_s09_a_key_sees_what_it_said_itself_and_a_management_key_what_every_key_said(
    edge: EdgeStack, logging_key: str
) -> None:
    answer = await edge.chat(key=logging_key)
    await content_of(edge, answer, edge.management_key)
    other = edge.around.accounts.add_org()
    stranger, record = edge.around.accounts.add_key(other.org_id)
    await edge.publisher.publish(other, record)
    for key in (edge.key, stranger):
        path = f"/generation/content?id={answer.headers['X-Generation-Id']}"
        assert (await edge.call("GET", path, key=key)).status == 404


async def test_a_failure_is_kept_with_what_each_attempt_ended_with(edge: EdgeStack, logging_key: str) -> None:
    metadata = {
        "provider_name": "Acme",
        "http_status": "503",
        "previous_errors": '[{"provider":"Acme","code":"overloaded","status":529}]',
    }
    edge.around.router.script = refuse(RefusedError(ErrorReason.PROVIDER_OVERLOADED, "Overloaded", metadata))
    refused = await content_of(edge, await edge.chat(key=logging_key), logging_key)
    assert refused["output"] == {"completion": None, "reasoning": None}
    assert (refused["error"]["message"], refused["error"]["status"]) == ("Overloaded", 503)
    assert refused["error"]["previous_errors"] == [
        {"code": 529, "message": "overloaded", "provider_name": "Acme", "raw": None}
    ]
    edge.around.router.script = scripted(Message(route=route(), deltas=[piece("Hel")], outcome=broken(504, "timeout")))
    cut = await content_of(edge, await edge.chat(key=logging_key, stream=True), logging_key)
    assert cut["output"]["completion"] == "Hel"
    assert (cut["error"]["status"], cut["error"]["provider_name"]) == (504, "Acme")


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?id=", 400), ("?id=nonsense", 400), (f"?id={GENERATION}", 404)]
)
async def test_a_content_that_is_not_there(edge: EdgeStack, query: str, status: int) -> None:
    assert (await edge.call("GET", f"/generation/content{query}")).status == status


async def test_a_keeper_that_is_away_holds_up_no_answer(edge: EdgeStack, logging_key: str) -> None:
    edge.around.contents.down = True
    answer = await edge.chat(key=logging_key)
    assert answer.status == 200
    edge.around.contents.down = False
    await content_of(edge, answer, logging_key)


async def test_feedback_is_taken_on_generations_that_there_are(edge: EdgeStack) -> None:
    event = usage_event_pb2.UsageEvent(generation_id=GENERATION, org_id=edge.org.org_id)
    edge.around.records.events[GENERATION] = event
    body = {"generation_id": GENERATION, "category": "latency", "comment": "slow"}
    key = edge.management_key
    answer = await edge.call("POST", "/generation/feedback", body, key=key)
    assert (answer.status, answer.document) == (200, {"data": {"success": True}})
    (kept,) = edge.around.contents.feedback
    assert (kept.org_id, kept.generation_id, kept.category, kept.comment) == (
        edge.org.org_id, GENERATION, "latency", "slow",
    )  # fmt: skip
    unknown = await edge.call(
        "POST", "/generation/feedback", body | {"generation_id": "gen-1-bbbbbbbbbbbbbbbbbbbb"}, key=key
    )
    assert unknown.status == 404
    assert (await edge.call("POST", "/generation/feedback", body)).status == 403
    for wrong, param in (
        ({"category": "praise"}, "category"),
        ({"comment": "x" * 1_001}, "comment"),
        ({"generation_id": "nonsense"}, "generation_id"),
        ({"more": 1}, "more"),
    ):
        refused = await edge.call("POST", "/generation/feedback", body | wrong, key=key)
        assert (refused.status, refused.error["metadata"]["param"]) == (400, param)


async def test_what_does_not_fit_into_the_queue_is_lost_and_the_rest_is_handed_over_before_the_end() -> None:
    library, telemetry = MemoryContents(), RecordingTelemetry()
    log = ContentLog(library, ManualClock(), telemetry.meter)
    log.add(GenerationContent("o", "k", "large", b"x" * (MAX_CONTENT_BYTES + 1)))
    for number in range(40):
        log.add(GenerationContent("o", "k", str(number), b"x" * MAX_CONTENT_BYTES))
    async with running(log):
        pass
    assert [name[1] for name in library.contents] == [str(number) for number in range(16)]


async def test_the_switch_of_a_key_is_its_owners(edge: EdgeStack) -> None:
    made = await edge.call("POST", "/keys", {"name": "logs", "logs_content": True}, key=edge.management_key)
    assert (made.status, made.document["data"]["logs_content"]) == (201, True)
    path = f"/keys/{made.document['data']['hash']}"
    changed = await edge.call("PATCH", path, {"logs_content": False}, key=edge.management_key)
    assert (changed.status, changed.document["data"]["logs_content"]) == (200, False)
    wrong = await edge.call("PATCH", path, {"logs_content": "yes"}, key=edge.management_key)
    assert (wrong.status, wrong.error["metadata"]["param"]) == (400, "logs_content")
