"""What the edge needs from outside. Adapters implement these; so do the doubles of the tests.

A port that hands messages of a contract on (pieces of an answer, catalogue rows) speaks in these messages: converting
each piece of each stream twice would cost more than everything else that the edge does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from contracts.guardrails import Guardrail
from contracts.rate_limits import RateLimit
from contracts.spend import SpendInterval
from edge.domain.actor import Actor
from edge.domain.principal import Key, Org
from turnpike.accounts.v1 import (
    byok_service_pb2,
    guardrail_pb2,
    guardrail_service_pb2,
    key_service_pb2,
    org_service_pb2,
    preset_service_pb2,
)
from turnpike.metering.v1 import endpoint_stats_pb2
from turnpike.router.v1 import invocation_pb2, router_service_pb2
from turnpike.usage.v1 import usage_event_pb2


class KeyDirectory(Protocol):
    """Keys and organisations in memory, as they were last published."""

    def key(self, digest: str) -> Key | None:
        """The key with this digest, or None."""
        ...

    def org(self, org_id: str) -> Org | None:
        """The organisation, or None."""
        ...

    def age_s(self) -> float:
        """Seconds since the directory was last known to be current."""
        ...


class GuardrailDirectory(Protocol):
    """Guardrails in memory, as they were last published."""

    def guardrail(self, guardrail_id: str) -> Guardrail | None:
        """The guardrail, or None."""
        ...

    def is_deleted(self, guardrail_id: str) -> bool:
        """Whether it is known to be gone, so that a key that still names it is not bound by it."""
        ...


class KeyLookup(Protocol):
    """Asks who owns the keys."""

    async def resolve(self, *digests: str) -> tuple[Key, Org]:
        """Find a key that has one of these digests.

        Raises:
            NotFoundError: there is no such key, for certain.
            DependencyError: nobody could say.
        """
        ...


class CompletionCall(Protocol):
    """One completion under way at the router."""

    async def read(self) -> router_service_pb2.CompleteResponse | None:
        """Return the next message; None after the last one.

        Raises:
            RefusedError: refused before anything was answered.
            DependencyError: the router did not answer.
            BrokenAnswerError: the answer had begun.
        """
        ...

    async def finish(self) -> None:
        """Wait briefly for the orderly end after the last message, then make sure that it is over."""
        ...

    def cancel(self) -> None:
        """Stop the work, at the provider too. No effect on a call that is over."""
        ...


class CompletionRouter(Protocol):
    """Chooses where a completion is answered, and has it answered."""

    def complete(self, request: router_service_pb2.CompleteRequest) -> CompletionCall:
        """Send a request."""
        ...

    async def invoke(self, request: invocation_pb2.InvokeRequest) -> invocation_pb2.InvokeResponse:
        """Have an operation done. Cancelling this cancels the provider's call too.

        Raises:
            RefusedError: refused, or not answered in time.
            DependencyError: the router did not answer.
        """
        ...

    async def list_models(self, known_version: str) -> router_service_pb2.ListModelsResponse:
        """List the catalogue; without models when `known_version` is in force.

        Raises:
            DependencyError: the router did not answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class KeyFields:
    """What a key may do. None leaves a member as it is, or at its default; an empty collection restricts nothing."""

    limit_reset: SpendInterval | None = None
    include_byok_in_limit: bool | None = None
    allowed_models: tuple[str, ...] | None = None
    allowed_providers: tuple[str, ...] | None = None
    ip_ranges: tuple[str, ...] | None = None
    rate_limits: tuple[RateLimit, ...] | None = None
    logs_content: bool | None = None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to make.

    Attributes:
        limit_nano: most that it may spend; None means no limit.
        expires_at: when it stops working; None means never.
        idempotency_key: makes the call repeatable; empty means not.
        fields: what it may do.
        creator_user_id: the member who makes it; empty when not known.
        workspace_id: that it belongs to; empty for the default one.
        actor: in whose name.
    """

    org_id: str
    name: str
    limit_nano: int | None
    expires_at: datetime | None
    idempotency_key: str
    fields: KeyFields = field(default=KeyFields())
    creator_user_id: str = ""
    workspace_id: str = ""
    actor: Actor = field(default=Actor())


@dataclass(frozen=True, slots=True)
class KeyChange:
    """Changes to a key; None leaves a member as it is."""

    org_id: str
    digest: str
    name: str | None = None
    disabled: bool | None = None
    limit_nano: int | None = None
    clear_limit: bool = False
    fields: KeyFields = field(default=KeyFields())
    actor: Actor = field(default=Actor())


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Which keys to list; empty texts list those of all workspaces and members."""

    include_disabled: bool = False
    workspace_id: str = ""
    creator_user_id: str = ""


class KeyRegistry(Protocol):
    """Keys and credit, as their owner manages them. Every method may raise RefusedError and DependencyError."""

    async def create(self, new: NewKey) -> key_service_pb2.CreateKeyResponse:
        """Make an inference key."""
        ...

    async def list(self, org_id: str, offset: int, wanted: KeyFilter) -> key_service_pb2.ListKeysResponse:
        """List keys with what each spent, newest first, 100 at most."""
        ...

    async def get(self, org_id: str, digest: str) -> key_service_pb2.GetKeyResponse:
        """Return one key with what it spent."""
        ...

    async def update(self, change: KeyChange) -> key_service_pb2.UpdateKeyResponse:
        """Change a key."""
        ...

    async def delete(self, org_id: str, digest: str, actor: Actor) -> None:
        """Delete a key."""
        ...

    async def credits(self, org_id: str) -> org_service_pb2.GetCreditsResponse:
        """Return what an organisation bought and used."""
        ...


class GuardrailRegistry(Protocol):
    """Guardrails, as their owner manages them. Every method may raise RefusedError and DependencyError."""

    async def create(
        self, request: guardrail_service_pb2.CreateGuardrailRequest, actor: Actor
    ) -> guardrail_service_pb2.CreateGuardrailResponse:
        """Make a guardrail."""
        ...

    async def list(
        self, request: guardrail_service_pb2.ListGuardrailsRequest
    ) -> guardrail_service_pb2.ListGuardrailsResponse:
        """List the guardrails of a workspace, newest first."""
        ...

    async def get(self, org_id: str, guardrail_id: str) -> guardrail_pb2.GuardrailRecord:
        """Return a guardrail. Raises NotFoundError."""
        ...

    async def update(
        self, request: guardrail_service_pb2.UpdateGuardrailRequest, actor: Actor
    ) -> guardrail_service_pb2.UpdateGuardrailResponse:
        """Change a guardrail. Raises NotFoundError, and RefusedError when somebody was faster."""
        ...

    async def delete(self, org_id: str, guardrail_id: str, actor: Actor) -> None:
        """Delete a guardrail. Raises NotFoundError."""
        ...

    async def assign(self, request: guardrail_service_pb2.AssignGuardrailRequest, actor: Actor) -> int:
        """Bind keys or members, and return how many. Raises NotFoundError."""
        ...

    async def unassign(self, request: guardrail_service_pb2.UnassignGuardrailRequest, actor: Actor) -> int:
        """Free keys or members, and return how many were bound. Raises NotFoundError."""
        ...

    async def assignments(
        self, request: guardrail_service_pb2.ListAssignmentsRequest
    ) -> guardrail_service_pb2.ListAssignmentsResponse:
        """List assignments, newest first. Raises NotFoundError."""
        ...


class ByokRegistry(Protocol):
    """Customers' own provider keys, as their owner manages them. Every method may raise RefusedError and DependencyError."""

    async def create(self, request: byok_service_pb2.CreateByokKeyRequest, actor: Actor) -> byok_service_pb2.ByokKey:
        """Store a provider key."""
        ...

    async def list(self, request: byok_service_pb2.ListByokKeysRequest) -> byok_service_pb2.ListByokKeysResponse:
        """List provider keys, by provider in the order in which they are tried."""
        ...

    async def get(self, org_id: str, byok_key_id: str) -> byok_service_pb2.ByokKey:
        """Return a provider key. Raises NotFoundError."""
        ...

    async def update(self, request: byok_service_pb2.UpdateByokKeyRequest, actor: Actor) -> byok_service_pb2.ByokKey:
        """Change a provider key. Raises NotFoundError."""
        ...

    async def delete(self, org_id: str, byok_key_id: str, actor: Actor) -> None:
        """Delete a provider key. Raises NotFoundError."""
        ...


class GenerationRecords(Protocol):
    """What is recorded of generations that ended."""

    async def get(self, generation_id: str, org_id: str) -> usage_event_pb2.UsageEvent:
        """Return one record.

        Raises:
            NotFoundError: there is none, or it belongs to another organisation.
            DependencyError: nobody could say.
        """
        ...


class EndpointStats(Protocol):
    """What endpoints did lately, in memory."""

    def stats(self, endpoint_id: str) -> endpoint_stats_pb2.EndpointStats | None:
        """Uptime, percentiles and prices of an endpoint; None when nothing is known that is young enough to mean anything."""
        ...


@dataclass(frozen=True, slots=True)
class NewPreset:
    """A configuration to keep as the newest version of a preset.

    Attributes:
        config: a JSON object: members of a chat completions request.
        creator_id: the key that makes it.
        actor: in whose name.
    """

    org_id: str
    slug: str
    config: bytes
    system_prompt: str | None
    creator_id: str
    actor: Actor = field(default=Actor())


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The text of a document, and how many pages it has."""

    text: str = field(repr=False)
    pages: int


class DocumentTexts(Protocol):
    """Reads the text of documents."""

    async def read(self, data: bytes) -> DocumentText:
        """Read a PDF.

        Raises:
            InvalidInputError: it cannot be read, or not within the limits.
            BusyError: too many are being read.
        """
        ...


class PresetLibrary(Protocol):
    """Presets of organisations. Every method may raise RefusedError, NotFoundError and DependencyError."""

    async def save(self, new: NewPreset) -> preset_service_pb2.Preset:
        """Keep a configuration."""
        ...

    async def get(self, org_id: str, slug: str) -> preset_service_pb2.Preset:
        """Return a preset with its designated version."""
        ...

    async def list(self, org_id: str, offset: int, limit: int) -> preset_service_pb2.ListPresetsResponse:
        """List presets, the last changed first."""
        ...

    async def versions(
        self, org_id: str, slug: str, offset: int, limit: int
    ) -> preset_service_pb2.ListPresetVersionsResponse:
        """List versions of a preset, the oldest first."""
        ...

    async def version(self, org_id: str, slug: str, version: int) -> preset_service_pb2.PresetVersion:
        """Return one version of a preset."""
        ...


@dataclass(frozen=True, slots=True)
class GenerationContent:
    """What was said in a generation, as JSON in the form of the public API."""

    org_id: str
    key_id: str
    generation_id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody thinks of a generation."""

    org_id: str
    generation_id: str
    category: str
    comment: str = field(repr=False)


class ContentLibrary(Protocol):
    """Contents of generations, and feedback. Every method may raise RefusedError and DependencyError."""

    async def keep(self, content: GenerationContent) -> None:
        """Keep a content; of a generation that has one already, nothing changes."""
        ...

    async def get(self, org_id: str, generation_id: str, key_id: str) -> bytes:
        """Return a content, of one key or, where that is empty, of any.

        Raises:
            NotFoundError: there is none, or its time is over.
        """
        ...

    async def submit(self, feedback: Feedback) -> None:
        """Keep feedback."""
        ...
