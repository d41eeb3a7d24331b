"""What can go wrong in metering.

MeteringError
├── UsageLogError
│   ├── UsageLogUnavailableError   the store cannot be reached: the same again later may work
│   ├── UsageLogBusyError          too many questions are waiting: the same again later may work
│   ├── QuestionTooHeavyError      the question takes more time or memory than one may take
│   └── UsageLogRefusedError       the store understood and refused: the same again cannot work
├── SchemaError                    the store's tables are not what this version needs; nobody may write to them
├── StatsNotPublishedError         the broker did not take endpoint statistics: they are published again soon
├── DeadLettersUnavailableError    an invalid event could not be set aside: the same again later may work
├── OffsetsWentBackError           the topic begins again: the service stops and reads its progress again
├── TooManyInvalidEventsError      the fuse blew: the service stops, the records stay where they are
├── LedgerUnavailableError         the owner of the ledger does not answer: compared again later
├── NotReadingError                the topic is not being read, so that nobody can say what does not exist
├── GenerationNotFoundError        no such generation in this organisation
└── InvalidQuestionError           the question itself is wrong; the message names the field
"""

from __future__ import annotations


class MeteringError(Exception):
    """Anything that metering says about itself."""


class UsageLogError(MeteringError):
    """The store of usage events did not do what it was asked."""


class UsageLogUnavailableError(UsageLogError):
    """The store cannot be reached or is out of resources. Nothing is known about what it did."""


class UsageLogBusyError(UsageLogError):
    """The question was not put to the store, because too many are waiting."""


class QuestionTooHeavyError(UsageLogError):
    """The store gave the question up: it takes more time or memory than one question may take."""


class AnswerTooLongError(UsageLogError):
    """The store gave the question up: the answer has more rows than were allowed."""


class UsageLogRefusedError(UsageLogError):
    """The store refused: its tables and this version do not fit together."""


class SchemaError(MeteringError):
    """A migration was changed after it ran, is missing, or is pending where nobody may run it."""


class DeadLettersUnavailableError(MeteringError):
    """The dead-letter topic did not take a record."""


class StatsNotPublishedError(MeteringError):
    """The broker did not take endpoint statistics."""


class OffsetsWentBackError(MeteringError):
    """A partition delivered an offset again. Its records cannot be told from those that were inserted."""


class TooManyInvalidEventsError(MeteringError):
    """So many events are invalid that the fault is not theirs. Nothing more is set aside until somebody looked."""


class NotReadingError(MeteringError):
    """Usage events are not being read now: the broker is away, or the service has just started."""


class GenerationNotFoundError(MeteringError):
    """There is no such generation, or it belongs to another organisation."""


class InvalidQuestionError(MeteringError):
    """The question cannot be answered. `field` is the field of the request that is wrong."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field} {rule}")
        self.field = field


class LedgerUnavailableError(MeteringError):
    """The owner of the ledger does not answer, or not to the end."""
