"""Invalid usage events to the dead-letter topic."""

from __future__ import annotations

from typing import Final

from contracts.topics import USAGE
from metering.domain.batch import DeadLetter
from metering.domain.errors import DeadLettersUnavailableError
from servicekit.kafka import BusUnavailableError, RecordSink, RecordTooLargeError

_CONSUMER: Final = "metering"


class KafkaDeadLetters:
    """The DeadLetters on Kafka: the record as it was, with headers that say where it was and what is wrong with it."""

    def __init__(self, sink: RecordSink) -> None:
        self._sink = sink

    async def send(self, letter: DeadLetter) -> None:
        """Set a record aside.

        Raises:
            DeadLettersUnavailableError: the broker did not acknowledge it.
        """
        headers = dict(letter.headers) | {
            "x-original-topic": letter.topic,
            "x-original-partition": str(letter.partition),
            "x-original-offset": str(letter.offset),
            "x-consumer": _CONSUMER,
            "x-reason": letter.reason,
        }
        topic = USAGE.dead_letters or f"{letter.topic}.dlq"
        try:
            try:
                await self._sink.send(topic, key=letter.key, value=letter.value, headers=headers)
            except RecordTooLargeError:
                # The headers that we add were too much. The value can be read at its original place.
                headers["x-value-omitted"] = "too large"
                await self._sink.send(topic, key=letter.key, value=None, headers=headers)
        except BusUnavailableError as error:
            raise DeadLettersUnavailableError(str(error)) from error
