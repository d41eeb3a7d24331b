"""Keys and organisations in memory, kept from their compacted topics and, for a start without Kafka, on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter

from contracts import topics
from contracts.guardrails import Guardrail, guardrail_from_proto, guardrail_to_proto
from edge.adapters.convert import key_from_proto, key_to_proto, org_from_proto, org_to_proto
from edge.domain.principal import Key, Org
from servicekit.clock import Clock
from servicekit.kafka import CompactedTable
from servicekit.lifecycle import Component
from servicekit.settings import KafkaSettings
from turnpike.accounts.v1 import guardrail_pb2, records_pb2

# Deleted keys that are remembered; a record that comes later than its key's deletion comes within seconds of it.
_MAX_DELETED: Final = 100_000


def key_from_bytes(data: bytes) -> Key:
    """Read a key off the wire.

    Raises:
        ValueError: not a key, or one that does not say what it is.
    """
    try:
        return key_from_proto(records_pb2.KeyRecord.FromString(data))
    except DecodeError:
        raise ValueError("not a key record") from None


def org_from_bytes(data: bytes) -> Org:
    """Read an organisation off the wire.

    Raises:
        ValueError: not an organisation.
    """
    try:
        return org_from_proto(records_pb2.OrgRecord.FromString(data))
    except DecodeError:
        raise ValueError("not an organisation record") from None


def guardrail_from_bytes(data: bytes) -> Guardrail:
    """Read a guardrail off the wire.

    Raises:
        ValueError: not a guardrail, or one that cannot be kept.
    """
    try:
        return guardrail_from_proto(guardrail_pb2.GuardrailRecord.FromString(data))
    except DecodeError:
        raise ValueError("not a guardrail record") from None


class KafkaKeyDirectory:
    """The three tables as one directory. Nobody is served before all were read to the end that they had at the start."""

    def __init__(
        self,
        settings: KafkaSettings,
        clock: Clock,
        meter: Meter,
        *,
        folder: Path,
        max_snapshot_age: timedelta,
        on_key: Callable[[str], None],
        on_org: Callable[[Org], None],
    ) -> None:
        """Make a directory.

        Args:
            settings: of the cluster.
            clock: tells the age.
            meter: measures entries and age.
            folder: for the snapshots.
            max_snapshot_age: how old a snapshot may be that stands in for the cluster.
            on_key: called with the digest of each key of which there is news.
            on_org: called with each organisation of which there is news.
        """
        self._on_key = on_key
        self._on_org = on_org
        # A digest is never used again, so nothing that comes after a deletion can be newer than it.
        self._deleted: OrderedDict[str, None] = OrderedDict()
        # Of two records of one revision the later one is as new or newer.
        self._keys = CompactedTable(
            settings,
            clock,
            topic=topics.KEYS.name,
            decode=key_from_bytes,
            encode=lambda key: key_to_proto(key).SerializeToString(),
            supersedes=lambda new, old: new.revision >= old.revision,
            snapshot=folder / f"{topics.KEYS.name}.snapshot",
            max_snapshot_age=max_snapshot_age,
            on_change=self._key_changed,
            meter=meter,
        )
        self._orgs = CompactedTable(
            settings,
            clock,
            topic=topics.ORGS.name,
            decode=org_from_bytes,
            encode=lambda org: org_to_proto(org).SerializeToString(),
            supersedes=lambda new, old: new.revision >= old.revision,
            snapshot=folder / f"{topics.ORGS.name}.snapshot",
            max_snapshot_age=max_snapshot_age,
            on_change=self._org_changed,
            meter=meter,
        )
        self._deleted_guardrails: OrderedDict[str, None] = OrderedDict()
        self._guardrails = CompactedTable(
            settings,
            clock,
            topic=topics.GUARDRAILS.name,
            decode=guardrail_from_bytes,
            encode=lambda guardrail: guardrail_to_proto(guardrail).SerializeToString(),
            supersedes=lambda new, old: new.revision >= old.revision,
            snapshot=folder / f"{topics.GUARDRAILS.name}.snapshot",
            max_snapshot_age=max_snapshot_age,
            on_change=self._guardrail_changed,
            meter=meter,
        )

    @property
    def tables(self) -> tuple[Component, ...]:
        """What has to run."""
        return self._keys, self._orgs, self._guardrails

    def key(self, digest: str) -> Key | None:
        """The key with this digest, or None."""
        key = self._keys.get(digest)
        # The topic's key is what compaction goes by; a record under another's name must not pass for it.
        if key is None or key.looked_up_by != digest or digest in self._deleted:
            return None
        return key

    def org(self, org_id: str) -> Org | None:
        """The organisation, or None."""
        org = self._orgs.get(org_id)
        return org if org is not None and org.org_id == org_id else None

    def guardrail(self, guardrail_id: str) -> Guardrail | None:
        """The guardrail, or None."""
        guardrail = self._guardrails.get(guardrail_id)
        return guardrail if guardrail is not None and guardrail.guardrail_id == guardrail_id else None

    def is_deleted(self, guardrail_id: str) -> bool:
        """Whether a guardrail is known to be gone."""
        return guardrail_id in self._deleted_guardrails

    def age_s(self) -> float:
        """Seconds since both tables were last known to be current."""
        return max(self._keys.age(), self._orgs.age()).total_seconds()

    def _key_changed(self, digest: str, key: Key | None) -> None:
        if key is None:
            self._deleted[digest] = None
            if len(self._deleted) > _MAX_DELETED:
                self._deleted.popitem(last=False)
        self._on_key(digest)

    def _guardrail_changed(self, guardrail_id: str, guardrail: Guardrail | None) -> None:
        if guardrail is None:
            self._deleted_guardrails[guardrail_id] = None
            if len(self._deleted_guardrails) > _MAX_DELETED:
                self._deleted_guardrails.popitem(last=False)

    def _org_changed(self, org_id: str, org: Org | None) -> None:
        if org is not None and org.org_id == org_id:
            self._on_org(org)
