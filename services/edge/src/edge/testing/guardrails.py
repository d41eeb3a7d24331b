"""The owner of guardrails, in memory."""

from __future__ import annotations

from random import Random
from uuid import UUID

from contracts.errors import ErrorReason
from contracts.guardrails import default_guardrail_id
from edge.domain.actor import NOBODY, Actor
from edge.domain.errors import DependencyError, NotFoundError, RefusedError
from edge.testing.accounts import CREATED_S
from edge.testing.organizations import wrong
from turnpike.accounts.v1 import guardrail_pb2, guardrail_service_pb2


class MemoryGuardrails:
    """Has guardrails and whom they bind.

    Attributes:
        guardrails: by id.
        assigned: by id of the assignment.
        down: whether every call fails.
    """

    def __init__(self) -> None:
        self.guardrails: dict[str, guardrail_pb2.GuardrailRecord] = {}
        self.assigned: dict[str, guardrail_service_pb2.Assignment] = {}
        self.down = False
        # Seeded anew each time: several of these publish to one broker, and their ids must differ.
        self._random = Random()

    def add(
        self, org_id: str, policy: guardrail_pb2.GuardrailPolicy, *, is_default: bool = False, name: str = "team"
    ) -> guardrail_pb2.GuardrailRecord:
        """Make a guardrail."""
        record = guardrail_pb2.GuardrailRecord(
            guardrail_id=default_guardrail_id(org_id) if is_default else self._uuid(),
            org_id=org_id,
            workspace_id=org_id,
            name=name,
            is_workspace_default=is_default,
            policy=policy,
            revision=1,
        )
        record.created_at.FromSeconds(CREATED_S + len(self.guardrails))
        self.guardrails[record.guardrail_id] = record
        return record

    async def create(
        self, request: guardrail_service_pb2.CreateGuardrailRequest, actor: Actor = NOBODY
    ) -> guardrail_service_pb2.CreateGuardrailResponse:
        """Make a guardrail."""
        self._check()
        check_workspace(request.org_id, request.workspace_id)
        made = self.add(request.org_id, request.policy, name=request.name)
        made.description = request.description
        return guardrail_service_pb2.CreateGuardrailResponse(guardrail=made)

    async def list(
        self, request: guardrail_service_pb2.ListGuardrailsRequest
    ) -> guardrail_service_pb2.ListGuardrailsResponse:
        """List guardrails, newest first."""
        self._check()
        check_workspace(request.org_id, request.workspace_id)
        own = [each for each in reversed(self.guardrails.values()) if each.org_id == request.org_id]
        page = own[request.offset : request.offset + request.limit]
        return guardrail_service_pb2.ListGuardrailsResponse(guardrails=page, total_count=len(own))

    async def get(self, org_id: str, guardrail_id: str) -> guardrail_pb2.GuardrailRecord:
        """Return a guardrail."""
        self._check()
        found = self.guardrails.get(guardrail_id)
        if found is None or found.org_id != org_id:
            raise NotFoundError("Not found")
        return found

    async def update(
        self, request: guardrail_service_pb2.UpdateGuardrailRequest, actor: Actor = NOBODY
    ) -> guardrail_service_pb2.UpdateGuardrailResponse:
        """Change a guardrail."""
        found = await self.get(request.org_id, request.guardrail_id)
        if found.revision != request.revision:
            raise RefusedError(ErrorReason.ALREADY_EXISTS, "the guardrail was changed meanwhile")
        found.name, found.description = request.name, request.description
        found.policy.CopyFrom(request.policy)
        found.revision += 1
        found.updated_at.FromSeconds(CREATED_S)
        return guardrail_service_pb2.UpdateGuardrailResponse(guardrail=found)

    async def delete(self, org_id: str, guardrail_id: str, actor: Actor = NOBODY) -> None:
        """Delete a guardrail and its assignments."""
        await self.get(org_id, guardrail_id)
        del self.guardrails[guardrail_id]
        self.assigned = {name: each for name, each in self.assigned.items() if each.guardrail_id != guardrail_id}

    async def assign(self, request: guardrail_service_pb2.AssignGuardrailRequest, actor: Actor = NOBODY) -> int:
        """Bind keys and members."""
        await self.get(request.org_id, request.guardrail_id)
        named = [(digest, "") for digest in request.key_digests] + [("", user_id) for user_id in request.user_ids]
        for digest, user_id in named:
            self._free(digest, user_id)
            made = guardrail_service_pb2.Assignment(
                assignment_id=self._uuid(),
                guardrail_id=request.guardrail_id,
                key_digest=digest,
                key_name="a key" if digest else "",
                key_label="tp_live_...abcd" if digest else "",
                user_id=user_id,
                assigned_by=request.assigned_by,
            )
            made.created_at.FromSeconds(CREATED_S)
            self.assigned[made.assignment_id] = made
        return len(named)

    async def unassign(self, request: guardrail_service_pb2.UnassignGuardrailRequest, actor: Actor = NOBODY) -> int:
        """Free keys and members."""
        await self.get(request.org_id, request.guardrail_id)
        before = len(self.assigned)
        for digest in request.key_digests:
            self._free(digest, "")
        for user_id in request.user_ids:
            self._free("", user_id)
        return before - len(self.assigned)

    async def assignments(
        self, request: guardrail_service_pb2.ListAssignmentsRequest
    ) -> guardrail_service_pb2.ListAssignmentsResponse:
        """List assignments, newest first."""
        self._check()
        if request.guardrail_id:
            await self.get(request.org_id, request.guardrail_id)
        wants_keys = request.kind == guardrail_service_pb2.ASSIGNMENT_KIND_KEY
        found = [
            each
            for each in reversed(self.assigned.values())
            if bool(each.key_digest) == wants_keys and request.guardrail_id in ("", each.guardrail_id)
        ]
        page = found[request.offset : request.offset + request.limit]
        return guardrail_service_pb2.ListAssignmentsResponse(assignments=page, total_count=len(found))

    def _free(self, digest: str, user_id: str) -> None:
        self.assigned = {
            name: each for name, each in self.assigned.items() if (each.key_digest, each.user_id) != (digest, user_id)
        }

    def _check(self) -> None:
        if self.down:
            raise DependencyError("accounts")

    def _uuid(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def check_workspace(org_id: str, workspace_id: str) -> None:
    """Refuse a workspace other than the default one: there is no other here."""
    if workspace_id not in ("", org_id):
        raise wrong("workspace_id", "names no workspace of the organisation")
