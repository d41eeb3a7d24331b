"""What calls of aiokafka raise when a connection is gone."""

from __future__ import annotations

from typing import Final

from aiokafka.errors import KafkaError

CLIENT_ERRORS: Final = (KafkaError, OSError, RuntimeError, TimeoutError)
"""RuntimeError is uvloop's, of a write to a connection that was closed a moment ago: aiokafka hands it on."""
