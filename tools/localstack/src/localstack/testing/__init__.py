"""What tests of the stack's parts use."""

from localstack.testing.reports import RecordingReport
from localstack.testing.small_processes import lives, small_process, supervised

__all__ = ["RecordingReport", "lives", "small_process", "supervised"]
