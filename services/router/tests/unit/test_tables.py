"""Every word has its place in every table."""

from __future__ import annotations

import grpc

from contracts.errors import TREATMENTS, ErrorReason
from contracts.ids import EndpointId
from dialects.answers import UpstreamError, UpstreamErrorKind
from router.domain.attempts import OUTCOMES, AttemptFailure, AttemptOutcome, AttemptRecord, FailureKind
from router.domain.errors import RefusalError
from router.domain.fallback import Move, move_after
from router.domain.progress import interruption_by
from router.domain.settlement import Status
from router.domain.upstream_failures import failure_of
from router.usage_conversion import STATUSES, attempt_to_proto


def test_every_failure_has_an_outcome_a_move_and_a_word_for_callers() -> None:
    for kind in FailureKind:
        assert kind in OUTCOMES
        assert move_after(AttemptFailure(kind)) in Move
        cut = interruption_by(AttemptFailure(kind), late=False)
        assert cut.message
        assert cut.status >= 400


def test_every_error_of_a_provider_is_a_failure() -> None:
    assert {failure_of(UpstreamError(kind)).kind for kind in UpstreamErrorKind} <= set(FailureKind)


def test_every_outcome_and_status_has_its_word_on_the_wire() -> None:
    assert {STATUSES[status] for status in Status} == {1, 2, 3}
    for outcome in AttemptOutcome:
        assert attempt_to_proto(AttemptRecord(EndpointId("e"), "p", outcome, 0, 0)).outcome > 0


def test_every_reason_has_a_grpc_code() -> None:
    for reason in ErrorReason:
        assert grpc.StatusCode[TREATMENTS[reason].grpc_code]
        assert RefusalError(reason, "x").http_status == TREATMENTS[reason].http_status
