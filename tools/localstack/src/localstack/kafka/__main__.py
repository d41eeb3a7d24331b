"""`python -m localstack.kafka up|down`: a node of Apache Kafka in the background, with Turnpike's topics."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from pathlib import Path
from typing import Final

import psutil
from aiokafka.errors import KafkaError

from localstack.errors import StackError
from localstack.kafka.node import JARS, KafkaNode, end_process
from localstack.kafka.topics import create_topics

_HEAP_MB: Final = 1024
# The topics are made below, as they must be; a name that is not among them is a mistake.
_PROPERTIES: Final = {"auto.create.topics.enable": "false"}


def main(arguments: list[str] | None = None) -> int:
    """Read the command line, and start or stop the node."""
    parser = argparse.ArgumentParser(prog="localstack.kafka", description="Apache Kafka on this machine, one node.")
    parser.add_argument("order", choices=("up", "down"))
    parser.add_argument("--port", type=int, default=9092, help="on 127.0.0.1")
    parser.add_argument("--folder", type=Path, default=Path(".kafka") / "node", help="for data, log and pid")
    parser.add_argument("--wipe", action="store_true", help="with down: delete the data too")
    options = parser.parse_args(arguments)
    try:
        if options.order == "up":
            _up(options.folder, options.port)
        else:
            _down(options.folder, wipe=options.wipe)
    except (StackError, KafkaError, OSError) as error:
        print(f"kafka: {error}", file=sys.stderr)
        return 1
    return 0


def _up(folder: Path, port: int) -> None:
    running = _running(folder)
    if running is not None:
        print(f"kafka: already running (process {running.pid}); `make kafka-down` stops it")
        return
    node = KafkaNode(folder, jars=JARS, port=port, heap_mb=_HEAP_MB, detached=True, properties=_PROPERTIES)
    node.start()
    _pid_file(folder).write_text(f"{node.pid}\n", encoding="utf-8")
    created = asyncio.run(create_topics(node.bootstrap))
    print(f"kafka: ready on {node.bootstrap}, {len(created)} topics created; log: {node.log}")


def _down(folder: Path, *, wipe: bool) -> None:
    running = _running(folder)
    if running is None:
        print("kafka: not running")
    else:
        end_process(running.pid)
        print("kafka: stopped")
    if wipe:
        shutil.rmtree(folder, ignore_errors=True)


def _running(folder: Path) -> psutil.Process | None:
    """The node's process. A pid is used again by the system, so the command line must be the node's too."""
    try:
        process = psutil.Process(int(_pid_file(folder).read_text(encoding="utf-8")))
        command = process.cmdline()
    except (OSError, ValueError, psutil.Error):
        return None
    return process if str(folder.resolve() / "server.properties") in command else None


def _pid_file(folder: Path) -> Path:
    return folder / "pid"


if __name__ == "__main__":
    sys.exit(main())
