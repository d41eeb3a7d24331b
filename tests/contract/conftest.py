"""Accounts as an edge sees it: the doubles that tests of the edge use, and the real service of the local stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, cast
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio

from contracts import api_keys
from e2e_support.stack import Stack
from edge.testing.accounts import PEPPER, MemoryAccounts
from edge.testing.organizations import MemoryOrganizations
from edge.testing.payments import MemoryCreditSales, register_payments
from edge.testing.servicers import register_organizations
from edge.testing.sessions import PASSWORD, SessionServicer
from servicekit.grpc_errors import error_info
from servicekit.testing import run_servicer
from turnpike.accounts.v1 import member_service_pb2 as members
from turnpike.accounts.v1 import org_service_pb2 as orgs
from turnpike.accounts.v1 import session_service_pb2 as sessions
from turnpike.accounts.v1.member_service_pb2_grpc import MemberServiceStub
from turnpike.accounts.v1.org_service_pb2_grpc import OrgServiceStub
from turnpike.accounts.v1.session_service_pb2_grpc import SessionServiceStub


@dataclass(frozen=True)
class Owner:
    """Somebody who owns an organisation and is signed in."""

    org_id: str
    user_id: str
    email: str
    password: str
    token: str


class Accounts(Protocol):
    """What both can do."""

    channel: grpc.aio.Channel

    async def owner(self) -> Owner:
        """Make an organisation with an owner."""

    def digest(self, token: str) -> str:
        """What a token is known by."""


class DoubledAccounts:
    """The doubles, behind a server."""

    def __init__(self, channel: grpc.aio.Channel, servicer: SessionServicer) -> None:
        self.channel = channel
        self._servicer = servicer

    async def owner(self) -> Owner:
        """Make an organisation with an owner."""
        organizations = self._servicer.organizations
        org_id = organizations.accounts.add_org().org_id
        token = self._servicer.open(org_id, f"{uuid4().hex}@example.com")
        (member,) = organizations.members[org_id]
        return Owner(org_id, member.user.user_id, member.user.email, PASSWORD, token)

    def digest(self, token: str) -> str:
        """What a token is known by."""
        return api_keys.digest(token, PEPPER)


class RealAccounts:
    """The service, with PostgreSQL and a payment provider."""

    def __init__(self, channel: grpc.aio.Channel, pepper: bytes) -> None:
        self.channel = channel
        self._pepper = pepper

    async def owner(self) -> Owner:
        """Make an organisation with an owner."""
        made = await OrgServiceStub(self.channel).CreateOrg(orgs.CreateOrgRequest(name="Example"))
        email = f"{uuid4().hex}@example.com"
        request = members.CreateInvitationRequest(org_id=made.org.org_id, email=email, role=members.ROLE_OWNER)
        invited = await MemberServiceStub(self.channel).CreateInvitation(request)
        opened = await SessionServiceStub(self.channel).SignUp(
            sessions.SignUpRequest(invitation_digest=self.digest(invited.token), password=PASSWORD, ip="127.0.0.1")
        )
        session = opened.opened.session
        return Owner(made.org.org_id, session.user.user_id, email, PASSWORD, opened.opened.token)

    def digest(self, token: str) -> str:
        """What a token is known by."""
        return api_keys.digest(token, self._pepper)


@pytest.fixture(params=["double", "real"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def accounts(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Accounts]:
    async with AsyncExitStack() as opened:
        if kind == "double":
            servicer = SessionServicer(MemoryOrganizations(MemoryAccounts()))

            def register(server: grpc.aio.Server) -> Sequence[str]:
                register_organizations(server, servicer.organizations, servicer)
                register_payments(server, MemoryCreditSales())
                return []

            yield DoubledAccounts(await opened.enter_async_context(run_servicer(register)), servicer)
            return
        stack = cast("Stack", request.getfixturevalue("stack"))
        target = stack.run["processes"]["accounts"]["grpc_target"]
        pepper = (stack.state_dir / "secrets" / "pepper").read_text().strip().encode()
        yield RealAccounts(await opened.enter_async_context(grpc.aio.insecure_channel(target)), pepper)


@pytest_asyncio.fixture
async def owner(accounts: Accounts) -> Owner:
    return await accounts.owner()


@pytest.fixture
def refused() -> object:
    """Makes a call that must be refused, and says how: the reason, and the member that is wrong."""

    async def call(coming: grpc.aio.UnaryUnaryCall[object, object]) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await coming
        detail = error_info(caught.value)
        assert detail is not None, caught.value
        return detail.reason.lower(), detail.metadata.get("param", "")

    return call
