"""One node of Apache Kafka as a process: formatted once, started and killed as often as one likes, with its data kept."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Final
from uuid import uuid4

from localstack.errors import ChildNotReadyError, MissingPartError
from localstack.ports import LOOPBACK, check_free, free_ports

JARS: Final = Path(".kafka") / "jars"
"""Where `tools/kafka/fetch.sh` puts Kafka's jars, from the root of the repository."""

_READY: Final = "Kafka Server started"
_START_LIMIT_S: Final = 60.0
_STOP_LIMIT_S: Final = 20.0
_LOOK_INTERVAL_S: Final = 0.02
_LAST_WORDS: Final = 2_000  # bytes of a log

# One node, so one replica of everything. Sessions are short, because a killed node that comes back waits for its own.
_PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "num.partitions": "4",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "2000",
    "log.message.timestamp.type": "CreateTime",
}
# A second less to start; what the better compiler and collector gain shows after minutes of load only.
_QUICK_START: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
_LOGGING: Final = """\
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.started.name = kafka.server.KafkaRaftServer
logger.started.level = info
"""


class KafkaNode:
    """A node with a folder and a port of its own. `bootstrap` and the data stay the same over restarts."""

    def __init__(
        self,
        folder: Path,
        *,
        jars: Path = JARS,
        port: int = 0,
        controller_port: int = 0,
        heap_mb: int = 256,
        detached: bool = False,
        properties: Mapping[str, str] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        """Prepare; `start` starts.

        Args:
            folder: for its data, configuration and log.
            jars: Kafka's and all that they need.
            port: of the brokers' listener on 127.0.0.1; 0 takes a free one.
            controller_port: of the controller's; 0 takes a free one at each start.
            heap_mb: of the JVM, in MiB.
            detached: whether it goes on when this process ends; otherwise it is killed with it, where Linux can do that: with
                the thread that started it, to be exact.
            properties: of the broker, over those that it has by itself.
            java_options: of the JVM, after those that it has by itself.
        """
        self._folder = folder.resolve()
        self._jars = jars
        self._controller_port = controller_port
        self._port = port or free_ports(1, Random())[0]
        self._heap_mb = heap_mb
        self._detached = detached
        self._properties = dict(properties or {})
        self._java_options = tuple(java_options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` to bootstrap from."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self._folder / "kafka.log"

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start it, and return when it takes requests. Blocks for some two seconds.

        Raises:
            MissingPartError: there is no Java, or there are no jars.
            PortTakenError: somebody listens on the port.
            RuntimeError: it runs already.
            ChildNotReadyError: it did not start; the message has its last words.
        """
        if self._process is not None:
            raise RuntimeError("the node is running")
        command = self.prepare()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self._leash(), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=self._detached,
            )
        self._wait_until_ready()

    def prepare(self) -> list[str]:
        """Write its configuration and, the first time, format its folder.

        Returns:
            The command that runs it, for who starts it otherwise than by `start`.

        Raises:
            MissingPartError: there is no Java, or there are no jars.
            PortTakenError: somebody listens on the port.
            ChildNotReadyError: the folder cannot be formatted; the message has Kafka's last words.
        """
        java = shutil.which("java")
        if java is None:
            raise MissingPartError("Java 17 or newer is needed for Kafka and not installed")
        if not any(self._jars.glob("kafka_*.jar")):
            raise MissingPartError(f"no Kafka in {self._jars}: run tools/kafka/fetch.sh")
        check_free(self._port)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._configure()
        if not (self._data / "meta.properties").exists():
            self._format(java)
        return self._command(java, "kafka.Kafka", str(self._configuration))

    def stop(self) -> None:
        """Stop it in order. Its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it. Its data stay as they are on the disk."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it and start it again: the same cluster, with what it had acknowledged."""
        self.kill()
        self.start()

    def replace(self) -> None:
        """Kill it and start another cluster at the same address, with nothing in it."""
        self.kill()
        shutil.rmtree(self._data, ignore_errors=True)
        self.start()

    def wipe(self) -> None:
        """Delete its folder, with all that it has. It must not be running."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def suspend(self) -> None:
        """Freeze it: connections stay open and get no answer."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _configuration(self) -> Path:
        return self._folder / "server.properties"

    def _configure(self) -> None:
        port = self._controller_port or free_ports(1, Random(), avoid=frozenset({self._port}))[0]
        controller = f"{LOOPBACK}:{port}"
        properties = _PROPERTIES | {
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self._data),
        }
        properties |= self._properties
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        self._configuration.write_text(text, encoding="utf-8")
        (self._folder / "log4j2.properties").write_text(_LOGGING, encoding="utf-8")

    def _format(self, java: str) -> None:
        # Kafka writes ids so; one that begins with a hyphen would look like an option.
        cluster = base64.urlsafe_b64encode(b"\0" + uuid4().bytes[1:]).decode().rstrip("=")
        arguments = ["format", "-t", cluster, "-c", str(self._configuration)]
        done = subprocess.run(
            self._command(java, "kafka.tools.StorageTool", *arguments), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ChildNotReadyError(f"Kafka's folder could not be formatted: {done.stderr[-_LAST_WORDS:].strip()}")

    def _command(self, java: str, main: str, *arguments: str) -> list[str]:
        return [
            java,
            f"-Xmx{self._heap_mb}m",
            *([] if self._detached else _QUICK_START),
            *self._java_options,
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-cp",
            f"{self._jars.resolve()}/*",
            main,
            *arguments,
        ]

    def _leash(self) -> list[str]:
        setpriv = None if self._detached else shutil.which("setpriv")
        return [] if setpriv is None else [setpriv, "--pdeathsig", "KILL", "--"]

    def _wait_until_ready(self) -> None:
        process = self._process
        give_up_at = time.monotonic() + _START_LIMIT_S
        while process is not None:
            said = self.log.read_text(encoding="utf-8", errors="replace")
            if _READY in said:
                return
            if process.poll() is not None or time.monotonic() > give_up_at:
                self.kill()
                raise ChildNotReadyError(f"Kafka did not start; log: {self.log}; last words: {said[-_LAST_WORDS:]}")
            time.sleep(_LOOK_INTERVAL_S)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)  # one that is frozen cannot stop in order
        try:
            process.wait(timeout=_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def end_process(pid: int) -> None:
    """Stop a node that another process started: in order, or by force when it takes too long."""
    give_up_at = time.monotonic() + _STOP_LIMIT_S
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        while True:
            os.kill(pid, 0 if time.monotonic() < give_up_at else signal.SIGKILL)
            time.sleep(_LOOK_INTERVAL_S)
