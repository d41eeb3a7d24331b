from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from localstack.disk import check_space, free_bytes
from localstack.errors import AlreadyRunningError, DiskFullError, PortTakenError, StateDamagedError
from localstack.ownership import owned
from localstack.ports import check_free, free_ports
from localstack.processes import choose_ports


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def drawn_by_another_process(seed: int) -> list[int]:
    draw = f"from random import Random; from localstack.ports import free_ports; print(*free_ports(5, Random({seed})))"
    printed = subprocess.run([sys.executable, "-c", draw], capture_output=True, text=True, check=True).stdout
    return [int(port) for port in printed.split()]


def test_free_ports_are_distinct_and_none_of_those_to_avoid() -> None:
    # The same seed looks at the same ports first, and what a process had is free when it has ended.
    avoided = frozenset(drawn_by_another_process(7)[:2])
    found = free_ports(5, Random(7), avoid=avoided)
    assert len(set(found)) == 5
    assert avoided.isdisjoint(found)


def test_port_that_was_given_is_given_to_nobody_else_before_it_is_used() -> None:
    mine = free_ports(5, Random(11))
    assert set(drawn_by_another_process(11)).isdisjoint(mine)
    assert set(free_ports(5, Random(11))).isdisjoint(mine)


def test_ports_of_a_run_are_distinct_and_the_public_one_is_kept() -> None:
    wanted = free_ports(1, Random(3))[0]
    ports = choose_ports(wanted, Random(3))
    every = [ports.public, *ports.main.values(), *ports.admin.values()]
    assert ports.public == wanted
    assert len(set(every)) == len(every)


def test_public_port_0_takes_one_that_nothing_else_has() -> None:
    ports = choose_ports(0, Random())
    assert ports.public not in {0, *ports.main.values(), *ports.admin.values()}


def test_taken_port_is_one_line_that_says_what_to_do(taken_port: int) -> None:
    with pytest.raises(PortTakenError, match=f"^port {taken_port} is taken; choose another one with --port"):
        check_free(taken_port)


def test_port_that_was_listened_on_is_free_at_once(taken_port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", taken_port))
    port = free_ports(1, Random())[0]
    check_free(port)
    check_free(port)


def test_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with owned(lock):
        with pytest.raises(AlreadyRunningError, match=rf"already running in .* \(pid {os.getpid()}\)"):
            with owned(lock):
                pass
    with owned(lock):
        assert lock.read_text() == f"{os.getpid()}\n"
    assert lock.read_text() == ""


def test_lock_file_of_a_crash_locks_nothing(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("12345678901\n")
    with owned(lock):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_lock_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StateDamagedError, match=r"cannot open .*: No such file or directory"):
        with owned(tmp_path / "none" / "lock"):
            pass


def test_disk_without_room_is_one_line(tmp_path: Path) -> None:
    check_space(tmp_path, 0)
    with pytest.raises(DiskFullError, match=r"^the disk is full: \d+ MiB are free at .*, \d+ MiB are needed$"):
        check_space(tmp_path, free_bytes(tmp_path) + 2**40)
