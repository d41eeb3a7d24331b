"""Kafka's classes as the JVM holds them, in a file: with it a node takes half the CPU to start.

The JVM compares the file with the jars and with itself, and starts without it where they differ.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from localstack.kafka.node import KafkaNode


def class_archive(jars: Path) -> Path:
    """Where the file for these jars and the installed Java is kept: beside the folder of the jars."""
    parts = [os.path.realpath(shutil.which("java") or "")]
    parts += [f"{jar.resolve()} {jar.stat().st_mtime_ns}" for jar in sorted(jars.glob("*.jar"))]
    return jars.parent / f"classes-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}.jsa"


def make_class_archive(jars: Path) -> None:
    """Write the file unless it is there. Starts a node and stops it: some ten seconds, once.

    Raises:
        StackError: the node did not start.
    """
    archive = class_archive(jars)
    if archive.exists():
        return
    for old in jars.parent.glob("classes-*.jsa"):
        old.unlink()
    with TemporaryDirectory(prefix="classes-", dir=jars.parent, ignore_cleanup_errors=True) as folder:
        written = Path(folder) / archive.name
        options = [f"-XX:ArchiveClassesAtExit={written}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
        node = KafkaNode(Path(folder) / "node", jars=jars, java_options=options)
        node.start()
        node.stop()
        if written.exists():
            written.rename(archive)
