"""Requests as clients send them, each with one member made wrong: a 4xx that names the member, in the dialect of the route."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

from jsonschema import Draft202012Validator

from edge.testing.stack import Answer, EdgeStack
from turnpike.usage.v1.usage_event_pb2 import UsageEvent

# By operation: bodies in the shapes of recorded requests. Every operation that reads a JSON body has one.
SEEDS: Final[Mapping[str, Sequence[dict[str, Any]]]] = json.loads(
    (Path(__file__).parent / "seeds" / "requests.json").read_text(encoding="utf-8")
)
REQUESTS: Final = 200
_SEED: Final = 20_260_101
Place = tuple[str | int, ...]


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Every member and entry of a document, the outer ones first."""
    if place:
        yield place
    if isinstance(value, dict):
        for name in value:
            yield from places(value[name], (*place, name))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from places(entry, (*place, index))


def wrong(value: Any, random: Random) -> Any:
    """Another value in its place: of another type, out of range, or no allowed word."""
    choices: list[Any] = [
        True,
        -1,
        10**12,
        1.5,
        "no such word",
        "",
        [],
        {},
        [[]],
        {"type": "no such type"},
        "x" * 5_000,
    ]
    return random.choice([each for each in choices if each != value])


def malformed(
    body: dict[str, Any], valid: Draft202012Validator, random: Random, spared: Sequence[str] = ()
) -> tuple[dict[str, Any], Place]:
    """Make one member wrong, or leave out one that is required; what the schema still allows is not taken.

    Args:
        body: valid.
        valid: knows what is.
        random: chooses.
        spared: members that are not touched.
    """
    everywhere = [place for place in places(body) if place[0] not in spared]
    while True:
        place = random.choice(everywhere)
        changed = copy.deepcopy(body)
        holder: Any = changed
        for part in place[:-1]:
            holder = holder[part]
        if isinstance(holder, dict) and random.random() < 0.25:
            del holder[place[-1]]
        else:
            holder[place[-1]] = wrong(holder[place[-1]], random)
        if not valid.is_valid(changed):
            return changed, place


def written(place: Place) -> str:
    """A place as errors name it: `messages[0].content`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def names(answer: Answer, place: Place) -> bool:
    """Whether an error names the member, one that holds it, or one within it."""
    error = answer.document["error"]
    param = (error.get("metadata") or {}).get("param") or error.get("param")
    if param is None:
        # Anthropic's errors have a message only, which begins with the path.
        param = re.split(r":| ", error["message"])[0]
    wanted = written(place)
    return any(
        short == long or re.match(re.escape(short) + r"[.\[]", long) is not None
        for short, long in ((param, wanted), (wanted, param))
    )


def in_dialect(path: str, answer: Answer) -> bool:
    """Whether an error has the shape that clients of the route read."""
    document = answer.document
    if path.startswith("/messages"):
        return bool(document["type"] == "error" and document["error"]["type"] == "invalid_request_error")
    return bool(document["error"]["code"] == answer.status or document["error"]["type"] == "invalid_request_error")


async def made_at(edge: EdgeStack, path: str) -> str:
    """The path with the names of things that are there: made for it where they have to be."""
    if "{id}" in path:
        collection = path.partition("/{id}")[0]
        # Slugs of workspaces are unique.
        body = SEEDS[f"POST {collection}"][0] | ({"slug": f"made-{uuid4().hex}"} if collection == "/workspaces" else {})
        answer = await edge.call("POST", collection, body, key=edge.management_key)
        path = path.replace("{id}", answer.document["data"]["id"])
    if "{hash}" in path:
        _, spare = edge.around.accounts.add_key(edge.org.org_id)
        await edge.publisher.publish(spare)
        path = path.replace("{hash}", spare.digest)
    if "{user_id}" in path:
        path = path.replace("{user_id}", edge.around.sessions.organizations.join(edge.org.org_id).user.user_id)
    return path.replace("{slug}", "kept").replace("{interval}", "daily")


async def placed(edge: EdgeStack, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """The body with the names of what is there, where the seed has made-up ones."""
    session = edge.around.sessions.open(edge.org.org_id)
    if name == "POST /auth/keys":
        answer = await edge.call("POST", "/auth/keys/code", SEEDS["POST /auth/keys/code"][0], key=session)
        return body | {"code": answer.document["data"]["id"]}
    if name == "PATCH /auth/session":
        return body | {"organization_id": edge.org.org_id}
    if name == "POST /generation/feedback":
        event = UsageEvent(generation_id=body["generation_id"], org_id=edge.org.org_id)
        edge.around.records.events[event.generation_id] = event
    if name.startswith("POST /workspaces/{id}/members/"):
        return body | {"user_ids": [edge.around.sessions.organizations.join(edge.org.org_id).user.user_id]}
    return body


def key_for(edge: EdgeStack, operation: Mapping[str, Any]) -> str:
    """A key that satisfies the first security scheme of an operation; "" where it needs none.

    A session is opened for each call, because some calls end those that there are.
    """
    needed = [scheme for each in operation["security"] for scheme in each]
    match needed[:1]:
        case ["inferenceKey"]:
            return edge.key
        case ["managementKey"]:
            return edge.management_key
        case ["session"]:
            return edge.around.sessions.open(edge.org.org_id)
    return ""


async def test_every_seed_is_taken_as_it_is(edge: EdgeStack) -> None:
    """What is made wrong below was right before, so that a refusal is of what was made wrong."""
    document = (await edge.call("GET", "/openapi.json")).document
    refused = {}
    for name, bodies in SEEDS.items():
        method, path = name.split()
        for body in bodies:
            sent, key = await placed(edge, name, body), key_for(edge, document["paths"][path][method.lower()])
            answer = await edge.call(method, await made_at(edge, path), sent, key=key)
            if answer.status >= 300:
                refused[name] = answer.status, answer.body
    # Nobody was invited: the token of an invitation is known to whoever got it only.
    assert {name: status for name, (status, _) in refused.items()} == {
        "POST /auth/invitations/accept": 404,
        "POST /auth/sign-up": 404,
    }, refused


async def test_every_operation_with_a_body_has_a_seed_that_is_valid(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    described = {
        f"{method.upper()} {path}": operation["requestBody"]["content"]["application/json"]["schema"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert sorted(described) == sorted(SEEDS)
    for name, schema in described.items():
        valid = Draft202012Validator({**schema, "components": document["components"]})
        for body in SEEDS[name]:
            assert [error.message for error in valid.iter_errors(body)] == [], name


async def test_two_hundred_malformed_requests_are_refused_by_the_name_of_the_member(edge: EdgeStack) -> None:
    document = (await edge.call("GET", "/openapi.json")).document
    random = Random(_SEED)
    made = {name: await made_at(edge, name.split()[1]) for name in SEEDS}
    sent, faults = 0, []
    while sent < REQUESTS:
        for name, bodies in SEEDS.items():
            method, path = name.split()
            operation = document["paths"][path][method.lower()]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            valid = Draft202012Validator({**schema, "components": document["components"]})
            # The text of a request that is kept as a preset need not be there.
            spared = ("messages", "input") if path.startswith("/presets/") else ()
            body, place = malformed(random.choice(bodies), valid, random, spared)
            answer = await edge.call(method, made[name], body, key=key_for(edge, operation))
            sent += 1
            if not 400 <= answer.status < 500 or not in_dialect(path, answer) or not names(answer, place):
                faults.append(
                    f"{name} {written(place)}: {answer.status} {answer.body[:300]!r} <- {json.dumps(body)[:600]}"
                )
    assert not faults, f"{len(faults)} of {sent}:\n" + "\n".join(faults[:30])
