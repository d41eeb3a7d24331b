"""The command as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Of whoever runs the tests; none of it is for the command under test, but which broker its stack has.
_BROKER = ("TURNPIKE_KAFKA", "TURNPIKE_KAFKA_JARS")
_OWN = {name: value for name, value in os.environ.items() if not name.startswith("TURNPIKE_") or name in _BROKER}
_LIMIT_S = 90


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


def turnpike_program() -> str:
    """The command as it is installed beside this interpreter."""
    return str(Path(sys.executable).with_name("turnpike"))


class Turnpike:
    """The command, run in a folder of the test's own."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run it to its end, with these arguments and additional variables."""
        done = subprocess.run(
            [turnpike_program(), *arguments],
            capture_output=True,
            text=True,
            cwd=self.cwd,
            # Who runs the tests may be signed in somewhere.
            env={**_OWN, "TURNPIKE_CONFIG_DIR": str(self.cwd / "config"), **environment},
            timeout=_LIMIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


class RunningStack:
    """`turnpike up` in a process of its own. What it prints is in `output`."""

    def __init__(self, state_dir: Path, *arguments: str) -> None:
        self.state_dir = state_dir
        self.output = state_dir.parent / f"{state_dir.name}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [turnpike_program(), "up", "--state-dir", str(state_dir), "--no-models", *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_OWN,
                cwd=state_dir.parent,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait for the run file."""
        deadline = time.monotonic() + _LIMIT_S
        while not (self.state_dir / "run.json").exists():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)

    def end(self, *signals: signal.Signals) -> int:
        """Send signals, wait for the end and return the exit code."""
        for number in signals:
            self.process.send_signal(number)
        return self.process.wait(_LIMIT_S)

    def kill_if_running(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
