"""Every RPC that changes something of an organisation is in its audit log: the RPCs are those of the contract."""

from __future__ import annotations

import base64
import hashlib
import importlib
import pkgutil
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import turnpike.accounts.v1
from accounts.adapters.postgres.audit_log import PostgresAuditLog
from accounts.adapters.postgres.database import Database
from accounts.adapters.postgres.member_store import PostgresMemberStore
from accounts.domain.accounts import KeyKind
from accounts.domain.people import OPERATOR
from accounts.identity import Identity
from accounts.members import Members
from accounts.settlement import Settlement
from accounts.testing.shop import ADDRESSES, Shop
from accounts.testing.usage_events import UsageEvents, usage_records
from contracts import api_keys
from contracts.topics import USAGE
from servicekit.clock import SystemClock
from servicekit.kafka import TopicPartition
from turnpike.accounts.v1 import member_service_pb2

PEPPER = b"a pepper of at least thirty-two bytes"
USD = 10**9
RPCS: Final[Mapping[str, MethodDescriptor]] = {
    f"{service.name}/{method.name}": method
    for module in pkgutil.iter_modules(turnpike.accounts.v1.__path__)
    if module.name.endswith("_service_pb2")
    for service in importlib.import_module(f"turnpike.accounts.v1.{module.name}").DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
READS: Final = ("Get", "List", "Resolve", "Sum", "Verify")
EXEMPT: Final = {
    "KeyService/MoveKeys": "which pepper a key is looked up under; nobody may do more or less, and its hash stays",
    "DestinationService/ReportDeliveries": "what became of records; a destination that is given up is audited where it is",
    "LeaseService": "credit and rate limits that edges borrow and give back; the ledger has what was spent of them",
    "ContentService/KeepContent": "what a caller said is kept; whether it is, is a setting of key and workspace, and audited",
    "ContentService/SubmitFeedback": "an opinion on a generation; it changes nothing that anybody may do or owes",
    "SessionService/SignIn": "a session is a person's, not an organisation's",
    "SessionService/BeginOidc": "nobody is known yet",
    "SessionService/FinishOidc": "a session is a person's, not an organisation's",
    "SessionService/SwitchOrg": "what a person looks at; it changes nothing of either organisation",
    "SessionService/EndSession": "a session is a person's, not an organisation's",
    "SessionService/ChangePassword": "a password is a person's, who may be in many organisations",
    "SessionService/CreateAuthCode": "nothing can be done with a code but to make a key, and that is audited",
}
CANARY, PROMPT, INSTRUCTION = "sk-canary-0123456789-TAIL", "what-is-asked-canary", "be-brief-canary"
WHERE_TO: Final[dict[str, Any]] = {"name": "d", "enabled": True, "sampling_rate": 1.0}
ACTOR = member_service_pb2.Actor(
    kind=member_service_pb2.ACTOR_KIND_USER, id=str(UUID(int=7)), role=member_service_pb2.ROLE_OWNER, ip="192.0.2.9"
)


@dataclass
class World:
    """Accounts on a real socket, and an organisation there."""

    channel: grpc.aio.Channel
    org_id: str
    key_id: str
    identity: Identity
    members: Members
    shop: Shop
    settlement: Settlement
    usage_event: UsageEvents
    sql: asyncpg.Connection

    async def call(self, rpc: str, **members: Any) -> Any:
        """Make a call in somebody's name; members of a request of that name, which name the organisation by default."""
        method = RPCS[rpc]
        request: Message = GetMessageClass(method.input_type)(**members)
        if "org_id" in method.input_type.fields_by_name and "org_id" not in members:
            request.org_id = self.org_id  # type: ignore[attr-defined]  # the descriptor says that it has one
        ask = self.channel.unary_unary(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        return await ask(request, metadata=(("turnpike-actor-bin", ACTOR.SerializeToString()),))

    async def user(self) -> str:
        """Make a member; returns the user's id."""
        email = f"{uuid4().hex}@example.com"
        invited = await self.call("MemberService/CreateInvitation", email=email, role=member_service_pb2.ROLE_VIEWER)
        digest = api_keys.digest(invited.token, PEPPER)
        opened = await self.call(
            "SessionService/SignUp", invitation_digest=digest, password="a long enough password", ip=ACTOR.ip
        )
        return str(opened.opened.session.user.user_id)


@pytest.fixture
async def world(
    control_plane: grpc.aio.Channel,
    database: Database,
    audit: PostgresAuditLog,
    identity: Identity,
    shop: Shop,
    settlement: Settlement,
    usage_event: UsageEvents,
    sql: asyncpg.Connection,
) -> World:
    org = await identity.create_org("Audited")
    key, _ = await identity.create_key(str(org.org_id), "key", KeyKind.INFERENCE, None, None, "")
    members = Members(PostgresMemberStore(database, audit), SystemClock(), Random(), PEPPER)
    return World(control_plane, str(org.org_id), str(key.key_id), identity, members, shop, settlement, usage_event, sql)


async def _guardrail(world: World) -> str:
    made = await world.call("GuardrailService/CreateGuardrail", name="g", policy={"limit_nano_usd": USD})
    return str(made.guardrail.guardrail_id)


async def _key(world: World) -> str:
    made = await world.call("KeyService/CreateKey", name="k", kind=1)
    return str(made.key.digest)


async def _byok(world: World) -> str:
    made = await world.call("ByokService/CreateByokKey", provider="openai", key=CANARY, fields={"name": "b"})
    return str(made.key.byok_key_id)


async def _destination(world: World) -> str:
    config = {"members": {"url": f"https://example.com/{CANARY}"}, "headers": {"Authorization": CANARY}}
    made = await world.call("DestinationService/CreateDestination", type=2, config=config, fields=WHERE_TO)
    return str(made.destination.destination_id)


async def _workspace(world: World) -> str:
    slug = f"w-{uuid4().hex[:8]}"
    made = await world.call("WorkspaceService/CreateWorkspace", fields={"name": "w", "slug": slug})
    return str(made.workspace.workspace_id)


async def _found_org(world: World, rpc: str, **members: Any) -> None:
    made = await world.call(rpc, name="New", **members)
    world.org_id = made.org.org_id


async def _assign(world: World) -> dict[str, Any]:
    named = {"guardrail_id": await _guardrail(world), "user_ids": [await world.user()]}
    await world.call("GuardrailService/AssignGuardrail", **named)
    return named


async def _unassign(world: World) -> None:
    await world.call("GuardrailService/UnassignGuardrail", **await _assign(world))


async def _accept(world: World) -> None:
    user_id = await world.user()
    other = await world.identity.create_org("Other")
    email = await world.sql.fetchval("SELECT email FROM users WHERE user_id = $1", UUID(user_id))
    _, token = await world.members.invite(str(other.org_id), email, 4, OPERATOR)
    world.org_id = str(other.org_id)
    digest = api_keys.digest(token, PEPPER)
    await world.call("MemberService/AcceptInvitation", token_digest=digest, user_id=user_id)


async def _exchange(world: World) -> None:
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    code = await world.call(
        "SessionService/CreateAuthCode", code_challenge=challenge, code_challenge_method="S256", key_label="app"
    )
    digest_of_code = api_keys.digest(code.code, PEPPER)
    await world.call("SessionService/ExchangeAuthCode", code_digest=digest_of_code, code_verifier=verifier)


async def _purchase(world: World) -> None:
    await world.call(
        "PaymentService/CreatePurchase", credit_nano_usd=10 * USD, idempotency_key="k", success_url=ADDRESSES[0],
        cancel_url=ADDRESSES[1],
    )  # fmt: skip


async def _webhook(world: World) -> None:
    _, url = await world.shop.payments.buy(world.org_id, 10 * USD, "w", *ADDRESSES, keep_method=False)
    async with world.shop.http.post(url, allow_redirects=False):
        pass
    await world.shop.wait_for(2)
    for payload, signed in world.shop.heard:
        await world.call("PaymentService/HandlePaymentWebhook", payload=payload, signature=signed)


async def _refund_purchase(world: World) -> None:
    purchase = await world.shop.bought(UUID(world.org_id))
    await world.call(
        "PaymentService/RefundPurchase", purchase_id=str(purchase.purchase_id), amount_nano_usd=USD, idempotency_key="r"
    )


async def _refund_usage(world: World) -> None:
    event = world.usage_event(UUID(world.org_id), UUID(world.key_id))
    await world.settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    await world.call(
        "PaymentService/RefundUsage", generation_id=event.generation_id, amount_nano_usd=1, idempotency_key="u"
    )


async def _accept_suspended(world: World) -> None:
    event = world.usage_event(UUID(world.org_id), UUID(world.key_id))
    event.cost_nano_usd += 1
    await world.settlement.handle("c1", TopicPartition(USAGE.name, 0), usage_records([event]))
    suspense_id = str(await world.sql.fetchval("SELECT suspense_id FROM suspended_usage"))
    await world.call("SuspenseService/ClearSuspended", suspense_id=suspense_id, note="a letter", accept={})


async def _win_dispute(world: World) -> None:
    purchase = await world.shop.bought(UUID(world.org_id))
    payment = await world.sql.fetchval("SELECT payment_ref FROM purchases")
    await world.shop.say("charge.dispute.created", payment_intent=payment, amount=1050, currency="usd")
    await world.call("PaymentService/WinDispute", purchase_id=str(purchase.purchase_id), reason="a letter")


async def _sign_up(world: World) -> None:
    await world.user()


async def _update_member(world: World) -> None:
    await world.call("MemberService/UpdateMember", user_id=await world.user(), role=member_service_pb2.ROLE_DEVELOPER)


async def _revoke(world: World) -> None:
    made = await world.call("MemberService/CreateInvitation", email="x@example.com", role=4)
    await world.call("MemberService/RevokeInvitation", invitation_id=made.invitation.invitation_id)


async def _workspace_members(world: World, rpc: str) -> None:
    workspace, user_id = await _workspace(world), await world.user()
    await world.call("WorkspaceService/AddWorkspaceMembers", workspace=workspace, user_ids=[user_id])
    if rpc != "WorkspaceService/AddWorkspaceMembers":
        await world.call(rpc, workspace=workspace, user_ids=[user_id])


async def _budget(world: World, rpc: str) -> None:
    about = {"workspace": world.org_id, "interval": 1}
    await world.call("WorkspaceService/PutBudget", limit_nano_usd=USD, **about)
    if rpc != "WorkspaceService/PutBudget":
        await world.call(rpc, **about)


async def _call(world: World, rpc: str, **members: Any) -> None:
    await world.call(
        rpc, **{name: await value if isinstance(value, Awaitable) else value for name, value in members.items()}
    )


Exercise = Callable[[World], Awaitable[Any]]
EXERCISES: Final[Mapping[str, tuple[str, Exercise]]] = {
    "KeyService/CreateKey": ("key.created", _key),
    "KeyService/UpdateKey": (
        "key.changed", lambda w: _call(w, "KeyService/UpdateKey", digest=_key(w), disabled=True, logs_content=True)),
    "KeyService/DeleteKey": ("key.deleted", lambda w: _call(w, "KeyService/DeleteKey", digest=_key(w))),
    "OrgService/CreateOrg": ("organization.created", lambda w: _found_org(w, "OrgService/CreateOrg")),
    "OrgService/GrantCredit": (
        "credit.granted", lambda w: _call(w, "OrgService/GrantCredit", amount_nano_usd=USD, idempotency_key="g")),
    "OrgService/SetRateLimits": (
        "organization.limits_changed",
        lambda w: _call(w, "OrgService/SetRateLimits", rate_limits=[{"limit": {"quantity": 1, "interval": 1, "amount": 9}}])),
    "MemberService/FoundOrg": ("organization.created", lambda w: _found(w)),
    "MemberService/CreateInvitation": (
        "invitation.created",
        lambda w: _call(w, "MemberService/CreateInvitation", email="a@example.com", role=4)),
    "MemberService/RevokeInvitation": ("invitation.revoked", _revoke),
    "MemberService/AcceptInvitation": ("member.joined", _accept),
    "MemberService/UpdateMember": ("member.role_changed", _update_member),
    "MemberService/RemoveMember": (
        "member.removed", lambda w: _call(w, "MemberService/RemoveMember", user_id=w.user())),
    "SessionService/SignUp": ("member.joined", _sign_up),
    "SessionService/ExchangeAuthCode": ("key.created", _exchange),
    "WorkspaceService/CreateWorkspace": ("workspace.created", _workspace),
    "WorkspaceService/UpdateWorkspace": (
        "workspace.changed",
        lambda w: _call(
            w, "WorkspaceService/UpdateWorkspace", workspace=w.org_id, fields={"is_observability_io_logging_enabled": True}
        )),
    "WorkspaceService/DeleteWorkspace": (
        "workspace.deleted", lambda w: _call(w, "WorkspaceService/DeleteWorkspace", workspace=_workspace(w))),
    "WorkspaceService/PutBudget": ("budget.set", lambda w: _budget(w, "WorkspaceService/PutBudget")),
    "WorkspaceService/DeleteBudget": ("budget.removed", lambda w: _budget(w, "WorkspaceService/DeleteBudget")),
    "WorkspaceService/AddWorkspaceMembers": (
        "workspace.members_added", lambda w: _workspace_members(w, "WorkspaceService/AddWorkspaceMembers")),
    "WorkspaceService/RemoveWorkspaceMembers": (
        "workspace.members_removed", lambda w: _workspace_members(w, "WorkspaceService/RemoveWorkspaceMembers")),
    "GuardrailService/CreateGuardrail": ("guardrail.created", _guardrail),
    "GuardrailService/UpdateGuardrail": (
        "guardrail.changed",
        lambda w: _call(w, "GuardrailService/UpdateGuardrail", guardrail_id=_guardrail(w), revision=1, name="h")),
    "GuardrailService/DeleteGuardrail": (
        "guardrail.deleted", lambda w: _call(w, "GuardrailService/DeleteGuardrail", guardrail_id=_guardrail(w))),
    "GuardrailService/AssignGuardrail": ("guardrail.assigned", _assign),
    "GuardrailService/UnassignGuardrail": (
        "guardrail.unassigned",
        _unassign),
    "ByokService/CreateByokKey": ("byok_key.created", _byok),
    "ByokService/UpdateByokKey": (
        "byok_key.changed",
        lambda w: _call(w, "ByokService/UpdateByokKey", byok_key_id=_byok(w), key=CANARY + "2", fields={"name": "c"})),
    "ByokService/DeleteByokKey": (
        "byok_key.deleted", lambda w: _call(w, "ByokService/DeleteByokKey", byok_key_id=_byok(w))),
    "DestinationService/CreateDestination": ("destination.created", _destination),
    "DestinationService/UpdateDestination": (
        "destination.changed",
        lambda w: _call(
            w, "DestinationService/UpdateDestination", destination_id=_destination(w), fields=WHERE_TO | {"name": "other"}
        )),
    "DestinationService/DeleteDestination": (
        "destination.deleted",
        lambda w: _call(w, "DestinationService/DeleteDestination", destination_id=_destination(w))),
    "PresetService/SavePreset": (
        "preset.saved",
        lambda w: _call(
            w, "PresetService/SavePreset", slug="p", system_prompt=INSTRUCTION,
            config_json=b'{"models":["a/b"],"messages":"' + PROMPT.encode() + b'"}',
        )),
    "PaymentService/CreatePurchase": ("purchase.created", _purchase),
    "PaymentService/HandlePaymentWebhook": ("purchase.paid", _webhook),
    "PaymentService/RefundPurchase": ("purchase.refund_ordered", _refund_purchase),
    "PaymentService/RefundUsage": ("usage.refunded", _refund_usage),
    "PaymentService/WinDispute": ("purchase.dispute_won", _win_dispute),
    "SuspenseService/ClearSuspended": ("suspense.accepted", _accept_suspended),
    "PaymentService/SetTopUp": (
        "top_up.changed", lambda w: _call(w, "PaymentService/SetTopUp", top_up={"notice_nano_usd": USD})),
}  # fmt: skip


async def _found(world: World) -> None:
    await _found_org(world, "MemberService/FoundOrg", user_id=await world.user())


def test_s45_every_rpc_is_read_only_audited_or_exempt_with_a_reason() -> None:
    """Fails for a new RPC until somebody has decided what it is, and shown it."""
    reads = {name for name in RPCS if name.partition("/")[2].startswith(READS)}
    exempt = {name for name in RPCS if name in EXEMPT or name.partition("/")[0] in EXEMPT}
    assert set(RPCS) - reads - exempt == set(EXERCISES)


@pytest.mark.parametrize("rpc", sorted(EXERCISES))
async def test_s45_a_change_writes_its_entry_with_who_asked_and_no_secret(
    rpc: str, world: World, audit: PostgresAuditLog
) -> None:
    action, exercise = EXERCISES[rpc]
    await exercise(world)
    entries = [entry for entry in await audit.page(UUID(world.org_id), 0, 100) if entry.action == action]
    assert entries, f"{rpc} wrote no {action}"
    entry = entries[-1]
    if rpc == "PaymentService/HandlePaymentWebhook":
        assert (entry.actor_kind, entry.actor_id, entry.ip) == ("system", "payment-provider", "")
    elif action == "member.joined":
        assert (entry.actor_kind, f"user/{entry.actor_id}", entry.ip) == ("user", entry.target, ACTOR.ip)
    else:
        assert (entry.actor_kind, entry.actor_id, entry.ip) == ("user", ACTOR.id, ACTOR.ip)
    assert (entry.before, entry.after) != ("{}", "{}")
    found = await audit.verify(UUID(world.org_id), None)
    assert (found.broken_at, found.reason) == (0, "")
    written = str(await world.sql.fetch("SELECT * FROM audit_entries"))
    for secret in (CANARY, CANARY[-4:], PROMPT, INSTRUCTION):
        assert secret not in written
