"""What an edge may rely on of members, workspaces, sessions and purchases: the doubles hold to it as the service does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from uuid import uuid4

import grpc
import pytest

from turnpike.accounts.v1 import member_service_pb2 as members
from turnpike.accounts.v1 import payment_service_pb2 as payments
from turnpike.accounts.v1 import session_service_pb2 as sessions
from turnpike.accounts.v1 import workspace_service_pb2 as workspaces
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub
from turnpike.accounts.v1.payment_service_pb2_grpc import PaymentServiceStub
from turnpike.accounts.v1.session_service_pb2_grpc import SessionServiceStub
from turnpike.accounts.v1.workspace_service_pb2_grpc import WorkspaceServiceStub

USD = 10**9
NOBODY = "5f0c8a52-6f8f-4d0e-9d5c-0c7b7a3b9e11"
Refused = Callable[[Any], Awaitable[tuple[str, str]]]


class Owner(Protocol):
    """See conftest.py."""

    org_id: str
    user_id: str
    email: str
    password: str
    token: str


class Accounts(Protocol):
    """See conftest.py."""

    channel: grpc.aio.Channel

    async def owner(self) -> Owner: ...

    def digest(self, token: str) -> str: ...


# --- members


async def test_members_are_listed_by_page_with_their_number(accounts: Accounts, owner: Owner) -> None:
    stub = MemberServiceStub(accounts.channel)
    page = await stub.ListMembers(members.ListMembersRequest(org_id=owner.org_id, limit=10))
    (member,) = page.members
    assert (member.user.user_id, member.user.email, member.role, page.total_count) == (
        owner.user_id, owner.email, members.ROLE_OWNER, 1,
    )  # fmt: skip
    assert member.HasField("created_at")
    beyond = await stub.ListMembers(members.ListMembersRequest(org_id=owner.org_id, offset=1, limit=10))
    assert (len(beyond.members), beyond.total_count) == (0, 1)


async def test_the_last_owner_stays_one(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub, named = MemberServiceStub(accounts.channel), {"org_id": owner.org_id, "user_id": owner.user_id}
    change = members.UpdateMemberRequest(**named, role=members.ROLE_VIEWER)
    assert await refused(stub.UpdateMember(change)) == ("permission_denied", "")
    assert await refused(stub.RemoveMember(members.RemoveMemberRequest(**named))) == ("permission_denied", "")


@pytest.mark.parametrize("user_id", [NOBODY, "nobody"])
async def test_a_member_that_is_none_is_not_found_or_a_wrong_id(
    accounts: Accounts, owner: Owner, refused: Refused, user_id: str
) -> None:
    stub, named = MemberServiceStub(accounts.channel), {"org_id": owner.org_id, "user_id": user_id}
    change = members.UpdateMemberRequest(**named, role=members.ROLE_VIEWER)
    wrong = await refused(stub.UpdateMember(change))
    assert wrong == await refused(stub.RemoveMember(members.RemoveMemberRequest(**named)))
    assert wrong[0] == ("invalid_request" if user_id == "nobody" else "not_found")


async def test_members_of_another_organisation_are_not_found(
    accounts: Accounts, owner: Owner, refused: Refused
) -> None:
    other = await accounts.owner()
    stub = MemberServiceStub(accounts.channel)
    named = members.RemoveMemberRequest(org_id=owner.org_id, user_id=other.user_id)
    assert (await refused(stub.RemoveMember(named)))[0] == "not_found"


async def test_an_invitation_is_open_until_it_is_withdrawn(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = MemberServiceStub(accounts.channel)
    request = members.CreateInvitationRequest(org_id=owner.org_id, email="Guest@example.com", role=members.ROLE_BILLING)
    made = await stub.CreateInvitation(request)
    assert made.token.startswith("tp_invite_")
    listed = await stub.ListInvitations(members.ListInvitationsRequest(org_id=owner.org_id))
    (invitation,) = listed.invitations
    assert invitation == made.invitation
    assert (invitation.email.lower(), invitation.role) == ("guest@example.com", members.ROLE_BILLING)
    assert invitation.expires_at.seconds - invitation.created_at.seconds == 7 * 86_400
    named = members.RevokeInvitationRequest(org_id=owner.org_id, invitation_id=invitation.invitation_id)
    await stub.RevokeInvitation(named)
    assert (await refused(stub.RevokeInvitation(named)))[0] == "not_found"
    assert not (await stub.ListInvitations(members.ListInvitationsRequest(org_id=owner.org_id))).invitations


@pytest.mark.parametrize("email", ["", "nobody", "a@", "@example.com", "a@example"])
async def test_what_is_no_address_is_not_invited(
    accounts: Accounts, owner: Owner, refused: Refused, email: str
) -> None:
    request = members.CreateInvitationRequest(org_id=owner.org_id, email=email, role=members.ROLE_VIEWER)
    wrong = await refused(MemberServiceStub(accounts.channel).CreateInvitation(request))
    assert wrong == ("invalid_request", "email")


async def test_a_token_of_no_invitation_is_refused(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    request = members.AcceptInvitationRequest(token_digest=accounts.digest("tp_invite_x"), user_id=owner.user_id)
    assert (await refused(MemberServiceStub(accounts.channel).AcceptInvitation(request)))[0] == "not_found"


# --- workspaces


async def test_every_organisation_has_a_default_workspace_that_stays(
    accounts: Accounts, owner: Owner, refused: Refused
) -> None:
    stub = WorkspaceServiceStub(accounts.channel)
    page = await stub.ListWorkspaces(workspaces.ListWorkspacesRequest(org_id=owner.org_id, limit=10))
    (default,) = page.workspaces
    assert (default.workspace_id, default.fields.slug, page.total_count) == (owner.org_id, "default", 1)
    named = workspaces.DeleteWorkspaceRequest(org_id=owner.org_id, workspace="default")
    assert (await refused(stub.DeleteWorkspace(named)))[0] == "permission_denied"


async def test_a_workspace_goes_by_its_id_and_its_slug(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = WorkspaceServiceStub(accounts.channel)
    fields = workspaces.WorkspaceFields(name="Research", slug="research", description="what it is for")
    made = (await stub.CreateWorkspace(workspaces.CreateWorkspaceRequest(org_id=owner.org_id, fields=fields))).workspace
    assert (made.fields.name, made.fields.slug, made.fields.description) == ("Research", "research", "what it is for")
    for name in (made.workspace_id, "research"):
        found = await stub.GetWorkspace(workspaces.GetWorkspaceRequest(org_id=owner.org_id, workspace=name))
        assert found.workspace == made
    twice = workspaces.CreateWorkspaceRequest(org_id=owner.org_id, fields=fields)
    assert (await refused(stub.CreateWorkspace(twice)))[0] == "already_exists"
    change = workspaces.UpdateWorkspaceRequest(
        org_id=owner.org_id, workspace="research", fields=workspaces.WorkspaceFields(name="Renamed")
    )
    changed = (await stub.UpdateWorkspace(change)).workspace
    assert (changed.fields.name, changed.fields.slug, changed.fields.description) == (
        "Renamed", "research", "what it is for",
    )  # fmt: skip
    named = workspaces.DeleteWorkspaceRequest(org_id=owner.org_id, workspace=made.workspace_id)
    await stub.DeleteWorkspace(named)
    assert (await refused(stub.DeleteWorkspace(named)))[0] == "not_found"


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"name": ""}, "name"), ({"name": "x", "slug": "No"}, "slug"), ({"name": "x", "slug": "a--b"}, "slug"), ({"name": "x", "slug": "-a"}, "slug")],
)  # fmt: skip
async def test_a_wrong_member_of_a_workspace_is_named(
    accounts: Accounts, owner: Owner, refused: Refused, fields: dict[str, Any], param: str
) -> None:
    full = workspaces.WorkspaceFields(**({"slug": "x"} | fields))
    request = workspaces.CreateWorkspaceRequest(org_id=owner.org_id, fields=full)
    wrong = await refused(WorkspaceServiceStub(accounts.channel).CreateWorkspace(request))
    assert wrong == ("invalid_request", param)


async def test_workspaces_of_another_organisation_are_not_found(
    accounts: Accounts, owner: Owner, refused: Refused
) -> None:
    other, stub = await accounts.owner(), WorkspaceServiceStub(accounts.channel)
    fields = workspaces.WorkspaceFields(name="Theirs", slug="theirs")
    made = await stub.CreateWorkspace(workspaces.CreateWorkspaceRequest(org_id=other.org_id, fields=fields))
    for name in (made.workspace.workspace_id, "theirs"):
        request = workspaces.GetWorkspaceRequest(org_id=owner.org_id, workspace=name)
        assert (await refused(stub.GetWorkspace(request)))[0] == "not_found"


async def test_budgets_rise_with_their_interval(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = WorkspaceServiceStub(accounts.channel)

    def budget(interval: Any, limit: int) -> workspaces.PutBudgetRequest:
        return workspaces.PutBudgetRequest(
            org_id=owner.org_id, workspace="default", interval=interval, limit_nano_usd=limit
        )

    put = await stub.PutBudget(budget(workspaces.BUDGET_INTERVAL_DAILY, 2 * USD))
    assert [(each.interval, each.limit_nano_usd) for each in put.workspace.budgets] == [
        (workspaces.BUDGET_INTERVAL_DAILY, 2 * USD)
    ]
    for limit in (USD, 2 * USD, 0, -1):
        wrong = await refused(stub.PutBudget(budget(workspaces.BUDGET_INTERVAL_MONTHLY, limit)))
        assert wrong == ("invalid_request", "limit_usd")
    put = await stub.PutBudget(budget(workspaces.BUDGET_INTERVAL_MONTHLY, 3 * USD))
    assert len(put.workspace.budgets) == 2
    for _ in range(2):
        await stub.DeleteBudget(
            workspaces.DeleteBudgetRequest(
                org_id=owner.org_id, workspace="default", interval=workspaces.BUDGET_INTERVAL_DAILY
            )
        )


async def test_members_of_a_workspace_are_members_of_its_organisation(
    accounts: Accounts, owner: Owner, refused: Refused
) -> None:
    stub, other = WorkspaceServiceStub(accounts.channel), await accounts.owner()
    fields = workspaces.WorkspaceFields(name="Team", slug="team")
    await stub.CreateWorkspace(workspaces.CreateWorkspaceRequest(org_id=owner.org_id, fields=fields))
    named: dict[str, Any] = {"org_id": owner.org_id, "workspace": "team"}
    for user_ids in ([other.user_id], [owner.user_id, other.user_id], ["nobody"]):
        request = workspaces.AddWorkspaceMembersRequest(**named, user_ids=user_ids)
        assert await refused(stub.AddWorkspaceMembers(request)) == ("invalid_request", "user_ids")
    added = await stub.AddWorkspaceMembers(workspaces.AddWorkspaceMembersRequest(**named, user_ids=[owner.user_id]))
    assert [each.user_id for each in added.members] == [owner.user_id]
    page = await stub.ListWorkspaceMembers(workspaces.ListWorkspaceMembersRequest(**named, limit=10))
    assert ([each.user_id for each in page.members], page.total_count) == ([owner.user_id], 1)
    remove = workspaces.RemoveWorkspaceMembersRequest(**named, user_ids=[owner.user_id])
    assert (await stub.RemoveWorkspaceMembers(remove)).removed_count == 1


# --- sessions


async def test_a_session_is_found_until_it_is_ended(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub, digest = SessionServiceStub(accounts.channel), accounts.digest(owner.token)
    session = (await stub.ResolveSession(sessions.ResolveSessionRequest(token_digest=digest))).session
    assert (session.user.user_id, session.org.org_id, session.role) == (
        owner.user_id, owner.org_id, members.ROLE_OWNER,
    )  # fmt: skip
    assert [(each.org_id, each.role) for each in session.memberships] == [(owner.org_id, members.ROLE_OWNER)]
    await stub.EndSession(sessions.EndSessionRequest(token_digest=digest))
    request = sessions.ResolveSessionRequest(token_digest=digest)
    assert (await refused(stub.ResolveSession(request)))[0] == "not_found"


async def test_a_password_opens_a_session_of_its_own(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = SessionServiceStub(accounts.channel)
    named = {"email": owner.email, "ip": "127.0.0.1"}
    opened = (await stub.SignIn(sessions.SignInRequest(**named, password=owner.password))).opened
    assert opened.token.startswith("tp_sess_")
    assert opened.token != owner.token
    request = sessions.ResolveSessionRequest(token_digest=accounts.digest(opened.token))
    assert (await stub.ResolveSession(request)).session.user.user_id == owner.user_id
    wrong = await refused(stub.SignIn(sessions.SignInRequest(**named, password="another password")))
    unknown = sessions.SignInRequest(email=f"{uuid4().hex}@example.com", password=owner.password, ip="127.0.0.1")
    assert wrong == await refused(stub.SignIn(unknown)) == ("unauthenticated", "")


async def test_a_new_password_ends_the_other_sessions(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = SessionServiceStub(accounts.channel)
    named = {"email": owner.email, "ip": "127.0.0.1"}
    other = (await stub.SignIn(sessions.SignInRequest(**named, password=owner.password))).opened.token
    change = {"token_digest": accounts.digest(owner.token), "new_password": "a new passphrase", "ip": "127.0.0.1"}
    wrong = sessions.ChangePasswordRequest(**change, old_password="not the old one")
    assert (await refused(stub.ChangePassword(wrong)))[0] == "unauthenticated"
    moved = await stub.ChangePassword(sessions.ChangePasswordRequest(**change, old_password=owner.password))
    for token in (owner.token, other):
        request = sessions.ResolveSessionRequest(token_digest=accounts.digest(token))
        assert (await refused(stub.ResolveSession(request)))[0] == "not_found"
    request = sessions.ResolveSessionRequest(token_digest=accounts.digest(moved.opened.token))
    assert (await stub.ResolveSession(request)).session.user.user_id == owner.user_id
    assert (await stub.SignIn(sessions.SignInRequest(**named, password="a new passphrase"))).opened.token


async def test_a_session_moves_under_a_new_token_and_to_ones_own_organisations_only(
    accounts: Accounts, owner: Owner, refused: Refused
) -> None:
    stub, other = SessionServiceStub(accounts.channel), await accounts.owner()
    digest = accounts.digest(owner.token)
    away = sessions.SwitchOrgRequest(token_digest=digest, org_id=other.org_id)
    assert (await refused(stub.SwitchOrg(away)))[0] == "not_found"
    moved = await stub.SwitchOrg(sessions.SwitchOrgRequest(token_digest=digest, org_id=owner.org_id))
    request = sessions.ResolveSessionRequest(token_digest=digest)
    assert (await refused(stub.ResolveSession(request)))[0] == "not_found"
    request = sessions.ResolveSessionRequest(token_digest=accounts.digest(moved.opened.token))
    assert (await stub.ResolveSession(request)).session.org.org_id == owner.org_id


async def test_a_code_is_exchanged_once(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    stub = SessionServiceStub(accounts.channel)
    request = sessions.CreateAuthCodeRequest(org_id=owner.org_id, user_id=owner.user_id, key_label="An app")
    made = await stub.CreateAuthCode(request)
    exchange = sessions.ExchangeAuthCodeRequest(code_digest=accounts.digest(made.code))
    given = await stub.ExchangeAuthCode(exchange)
    assert (given.secret.startswith("tp_live_"), given.user_id) == (True, owner.user_id)
    assert (await refused(stub.ExchangeAuthCode(exchange)))[0] == "permission_denied"


@pytest.mark.parametrize("verifier", ["v" * 64, "", "w" * 43])
async def test_a_verifier_must_fit_and_a_wrong_one_uses_the_code_up(
    accounts: Accounts, owner: Owner, refused: Refused, verifier: str
) -> None:
    stub = SessionServiceStub(accounts.channel)
    request = sessions.CreateAuthCodeRequest(
        org_id=owner.org_id, code_challenge="v" * 64, code_challenge_method="plain"
    )
    digest = accounts.digest((await stub.CreateAuthCode(request)).code)
    exchange = sessions.ExchangeAuthCodeRequest(code_digest=digest, code_verifier=verifier)
    if verifier == "v" * 64:
        assert (await stub.ExchangeAuthCode(exchange)).secret
        return
    assert (await refused(stub.ExchangeAuthCode(exchange)))[0] == "permission_denied"
    right = sessions.ExchangeAuthCodeRequest(code_digest=digest, code_verifier="v" * 64)
    assert (await refused(stub.ExchangeAuthCode(right)))[0] == "permission_denied"


@pytest.mark.parametrize(
    ("members_of", "param"),
    [
        ({"code_challenge": "short"}, "code_challenge"), ({"code_challenge_method": "S256"}, "code_challenge"),
        ({"workspace_id": NOBODY}, "workspace_id"), ({"key_label": "a\nb"}, "key_label"),
    ],
)  # fmt: skip
async def test_a_wrong_member_of_a_code_is_named(
    accounts: Accounts, owner: Owner, refused: Refused, members_of: dict[str, Any], param: str
) -> None:
    request = sessions.CreateAuthCodeRequest(org_id=owner.org_id, **members_of)
    wrong = await refused(SessionServiceStub(accounts.channel).CreateAuthCode(request))
    assert wrong == ("invalid_request", param)


# --- purchases


def purchase(owner: Owner, credit: int = 10 * USD, key: str = "k") -> payments.CreatePurchaseRequest:
    return payments.CreatePurchaseRequest(
        org_id=owner.org_id, credit_nano_usd=credit, idempotency_key=key,
        success_url="https://a.example/yes", cancel_url="https://a.example/no",
    )  # fmt: skip


async def test_a_purchase_has_a_fee_of_five_percent_and_is_the_same_when_it_is_repeated(
    accounts: Accounts, owner: Owner
) -> None:
    stub = PaymentServiceStub(accounts.channel)
    first, again = await stub.CreatePurchase(purchase(owner)), await stub.CreatePurchase(purchase(owner))
    bought = first.purchase
    assert (bought.credit_nano_usd, bought.fee_nano_usd, bought.status) == (
        10 * USD, USD // 2, payments.PURCHASE_STATUS_PENDING,
    )  # fmt: skip
    assert bought == again.purchase
    assert first.checkout_url.startswith("http")
    other = await stub.CreatePurchase(purchase(owner, key="k2"))
    page = await stub.ListPurchases(payments.ListPurchasesRequest(org_id=owner.org_id, limit=1))
    assert ([each.purchase_id for each in page.purchases], page.total_count) == ([other.purchase.purchase_id], 2)


@pytest.mark.parametrize("credit", [0, 5 * USD - 1, 25_000 * USD + 1])
async def test_credit_is_sold_between_five_and_twenty_five_thousand_dollars(
    accounts: Accounts, owner: Owner, refused: Refused, credit: int
) -> None:
    wrong = await refused(PaymentServiceStub(accounts.channel).CreatePurchase(purchase(owner, credit)))
    assert wrong == ("invalid_request", "credit_nano_usd")


async def test_s43_what_is_not_signed_is_refused(accounts: Accounts, owner: Owner, refused: Refused) -> None:
    request = payments.HandlePaymentWebhookRequest(payload=b"{}", signature="t=1,v1=00")
    wrong = await refused(PaymentServiceStub(accounts.channel).HandlePaymentWebhook(request))
    assert wrong[0] == "invalid_request"


async def test_rules_of_topping_up_are_what_was_set(accounts: Accounts, owner: Owner) -> None:
    stub = PaymentServiceStub(accounts.channel)
    before = await stub.GetTopUp(payments.GetTopUpRequest(org_id=owner.org_id))
    assert (before.top_up.enabled, before.top_up.has_payment_method) == (False, False)
    rules = payments.TopUp(notice_nano_usd=3 * USD)
    await stub.SetTopUp(payments.SetTopUpRequest(org_id=owner.org_id, top_up=rules))
    after = await stub.GetTopUp(payments.GetTopUpRequest(org_id=owner.org_id))
    assert (after.top_up.enabled, after.top_up.notice_nano_usd) == (False, 3 * USD)
    assert not (await stub.ListNotices(payments.ListNoticesRequest(org_id=owner.org_id))).notices


async def test_a_month_without_anything_has_an_empty_statement(accounts: Accounts, owner: Owner) -> None:
    request = payments.GetStatementRequest(org_id=owner.org_id, month="2020-01")
    statement = await PaymentServiceStub(accounts.channel).GetStatement(request)
    assert (statement.org_name != "", statement.opening_nano_usd, statement.closing_nano_usd) == (True, 0, 0)
    assert [*statement.movements, *statement.usage, *statement.purchases] == []
