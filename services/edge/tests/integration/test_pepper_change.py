"""The pepper is changed, seen at the public port: keys, sessions and codes of the previous one go on, and keys move (S3)."""

from __future__ import annotations

from pydantic import SecretStr

from contracts import api_keys
from edge.settings import KeysSettings
from edge.testing.accounts import PEPPER, PREVIOUS_PEPPER
from edge.testing.stack import OpenEdge
from edge.testing.waiting import eventually


async def test_s03_with_two_peppers_what_was_made_under_the_previous_one_works_moves_and_is_revoked(
    open_edge: OpenEdge,
) -> None:
    keys = KeysSettings(pepper=SecretStr(PEPPER.decode()), previous_pepper=SecretStr(PREVIOUS_PEPPER.decode()))
    edge = await open_edge(keys=keys)
    accounts, sessions = edge.around.accounts, edge.around.sessions
    known, record = accounts.add_key(edge.org.org_id, pepper=PREVIOUS_PEPPER)
    await edge.publisher.publish(record)
    asked_about, unpublished = accounts.add_key(edge.org.org_id, pepper=PREVIOUS_PEPPER)
    unknown, never = accounts.add_key(edge.org.org_id, pepper=PREVIOUS_PEPPER)
    del accounts.keys[never.digest]
    for key, status in ((known, 200), (asked_about, 200), (edge.key, 200), (unknown, 401)):
        assert (await edge.chat(key=key)).status == status

    # They move in the background, and nothing of a key changes for its owner but that.
    await eventually(lambda: record.lookup_digest and unpublished.lookup_digest)
    assert record.lookup_digest == api_keys.digest(known, PEPPER)
    await edge.publisher.publish(record)
    await edge.publisher.bury(record.digest)
    assert (await edge.chat(key=known)).status == 200
    own = await edge.call("GET", "/key", key=known)
    assert own.status == 200

    # Revoked by the digest that it was published under last.
    del accounts.keys[record.digest]
    await edge.publisher.bury(record.lookup_digest)

    async def is_refused() -> bool:
        return (await edge.chat(key=known)).status == 401

    await eventually(is_refused)

    # Sessions and codes of a process that has the previous pepper still, and then of one that has the current one.
    sessions.pepper = PREVIOUS_PEPPER
    token = sessions.open(edge.org.org_id)
    wish = {"callback_url": "https://app.example/", "code_challenge": "v" * 43, "code_challenge_method": "plain"}
    made = await edge.call("POST", "/auth/keys/code", wish)
    assert made.status == 200, made.body
    sessions.pepper = PEPPER
    assert (await edge.call("GET", "/auth/session", key=token)).status == 200
    switched = await edge.call("PATCH", "/auth/session", {"organization_id": edge.org.org_id}, key=token)
    assert switched.status == 200, switched.body
    assert (await edge.call("GET", "/auth/session", key=token)).status == 401
    exchange = {"code": made.document["data"]["id"], "code_verifier": "v" * 43, "code_challenge_method": "plain"}
    assert [(await edge.call("POST", "/auth/keys", exchange, key="")).status for _ in range(2)] == [200, 403]
