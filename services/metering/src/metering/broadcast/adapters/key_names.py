"""What API keys are called, from the topic that accounts publishes them on."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.metrics import Meter

from contracts.topics import KEYS
from servicekit.clock import Clock
from servicekit.kafka import CompactedTable
from servicekit.settings import KafkaSettings
from turnpike.accounts.v1 import records_pb2


class KeyName(NamedTuple):
    """What is kept of a key."""

    key_id: str
    name: str
    digest: str
    revision: int


class KafkaKeyNames:
    """The KeyNames from `turnpike.keys.v1`. A key that was deleted keeps its name until the process ends."""

    def __init__(self, settings: KafkaSettings, clock: Clock, meter: Meter) -> None:
        self._known: dict[str, tuple[str, str]] = {}
        self.table = CompactedTable(
            settings,
            clock,
            topic=KEYS.name,
            decode=_name_from_bytes,
            supersedes=lambda new, old: new.revision >= old.revision,
            on_change=self._learn,
            meter=meter,
        )
        """The component that reads the topic."""

    def name_of(self, key_id: str) -> str:
        """Return what its owner calls a key, empty when that is not known."""
        return self._known.get(key_id, ("", ""))[0]

    def digest_of(self, key_id: str) -> str:
        """Return the digest of a key, empty when that is not known."""
        return self._known.get(key_id, ("", ""))[1]

    def _learn(self, _looked_up_by: str, key: KeyName | None) -> None:
        if key is not None:
            self._known[key.key_id] = (key.name, key.digest)


def _name_from_bytes(data: bytes) -> KeyName:
    try:
        record = records_pb2.KeyRecord.FromString(data)
    except DecodeError:
        raise ValueError("not a key record") from None
    return KeyName(record.key_id, record.name, record.digest, record.revision)
