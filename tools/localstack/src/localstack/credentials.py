"""The organisation and the keys that a new installation starts with, made through accounts and kept in a private file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import grpc

from contracts import api_keys
from contracts.money import nano_from_usd
from localstack.errors import AccountsUnusableError, StateDamagedError
from localstack.state import write_private
from turnpike.accounts.v1 import key_service_pb2, key_service_pb2_grpc, org_service_pb2, org_service_pb2_grpc
from turnpike.accounts.v1.records_pb2 import KEY_KIND_INFERENCE, KEY_KIND_MANAGEMENT, KeyKind

T = TypeVar("T")

_ORG_NAME = "Local"
_CALL_TIMEOUT_S = 5.0
PATIENCE_S = 30.0
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Credentials:
    """What an installation calls itself with. Empty text stands for what is not made yet."""

    org_id: str = ""
    api_key: str = field(default="", repr=False)
    management_key: str = field(default="", repr=False)


def read_credentials(path: Path) -> Credentials:
    """Read what an earlier start made; nothing yet is fine.

    Raises:
        StateDamagedError: the file is unreadable or holds something else.
    """
    try:
        return Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Credentials()
    except (OSError, ValueError, TypeError):
        raise StateDamagedError(f"{path} is not readable; delete it to have new keys made") from None


class InitialAccounts:
    """Makes what is missing, a step at a time, each kept before the next: a start that was cut short is taken up again."""

    def __init__(
        self, channel: grpc.aio.Channel, file: Path, pepper: str, credit: Decimal, *, patience_s: float
    ) -> None:
        """Prepare.

        Args:
            channel: to accounts.
            file: where the credentials are kept.
            pepper: under which digests of keys are made.
            credit: dollars for an organisation that is made now.
            patience_s: how long an accounts that does not answer is asked again.
        """
        self._keys = key_service_pb2_grpc.KeyServiceStub(channel)
        self._orgs = org_service_pb2_grpc.OrgServiceStub(channel)
        self._file = file
        self._pepper = pepper.encode()
        self._credit = credit
        self._patience_s = patience_s

    async def ensure(self) -> Credentials:
        """Return credentials that work: the kept ones as far as accounts knows them, new ones for the rest.

        Raises:
            AccountsUnusableError: accounts refuses, or does not answer in time.
            StateDamagedError: the file cannot be read or written.
        """
        kept = read_credentials(self._file)
        if not (kept.org_id and await self._has_org(kept.org_id)):
            kept = self._keep(Credentials(org_id=await self._new_org()))
        if not kept.api_key:
            # Given once however often it is asked for, also when the last start ended right here.
            await self._grant(kept.org_id)
        if not await self._usable(kept.api_key):
            kept = self._keep(replace(kept, api_key=await self._new_key(kept, "local", KEY_KIND_INFERENCE)))
        if not await self._usable(kept.management_key):
            secret = await self._new_key(kept, "local management", KEY_KIND_MANAGEMENT)
            kept = self._keep(replace(kept, management_key=secret))
        return kept

    def _keep(self, credentials: Credentials) -> Credentials:
        try:
            write_private(self._file, json.dumps(asdict(credentials), indent=2) + "\n")
        except OSError as error:
            raise StateDamagedError(f"cannot write {self._file}: {error.strerror or error}") from None
        return credentials

    async def _has_org(self, org_id: str) -> bool:
        request = org_service_pb2.GetOrgRequest(org_id=org_id)
        return await self._found(lambda: self._orgs.GetOrg(request, timeout=_CALL_TIMEOUT_S)) is not None

    async def _new_org(self) -> str:
        create = org_service_pb2.CreateOrgRequest(name=_ORG_NAME)
        return (await self._asked(lambda: self._orgs.CreateOrg(create, timeout=_CALL_TIMEOUT_S))).org.org_id

    async def _grant(self, org_id: str) -> None:
        if not self._credit:
            return
        grant = org_service_pb2.GrantCreditRequest(
            org_id=org_id,
            amount_nano_usd=nano_from_usd(self._credit),
            idempotency_key=f"first-credit-{org_id}",
            reason="credit of a new local installation",
        )
        await self._asked(lambda: self._orgs.GrantCredit(grant, timeout=_CALL_TIMEOUT_S))

    async def _usable(self, secret: str) -> bool:
        if not secret:
            return False
        request = key_service_pb2.ResolveKeyRequest(digest=api_keys.digest(secret, self._pepper))
        answer = await self._found(lambda: self._keys.ResolveKey(request, timeout=_CALL_TIMEOUT_S))
        return answer is not None and not answer.key.disabled

    async def _new_key(self, kept: Credentials, name: str, kind: KeyKind.ValueType) -> str:
        request = key_service_pb2.CreateKeyRequest(org_id=kept.org_id, name=name, kind=kind)
        return (await self._asked(lambda: self._keys.CreateKey(request, timeout=_CALL_TIMEOUT_S))).secret

    async def _found(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """The answer, or None for NOT_FOUND."""
        try:
            return await self._asked(call)
        except _NotFoundError:
            return None

    async def _asked(self, call: Callable[[], Awaitable[T]]) -> T:
        """The answer, once accounts gives one: it may be on its way up again."""
        deadline = time.monotonic() + self._patience_s
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                code = error.code()
                if code is grpc.StatusCode.NOT_FOUND:
                    raise _NotFoundError("accounts does not know what it made") from None
                passing = code in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
                if not passing or time.monotonic() > deadline:
                    raise AccountsUnusableError(
                        f"accounts does not give an organisation and keys: {error.details() or code.name}"
                    ) from None
            await asyncio.sleep(_PAUSE_S)


async def ensure_credentials(
    target: str, file: Path, pepper: str, credit: Decimal, *, patience_s: float = PATIENCE_S
) -> Credentials:
    """See `InitialAccounts.ensure`, with a channel to `target` (host:port)."""
    async with grpc.aio.insecure_channel(target) as channel:
        return await InitialAccounts(channel, file, pepper, credit, patience_s=patience_s).ensure()


class _NotFoundError(AccountsUnusableError):
    """accounts does not have it."""
