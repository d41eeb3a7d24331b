"""PostgreSQL from its wheel: made once, run in the foreground, stopped as the supervisor does."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path
from random import Random

import asyncpg
import pytest

from localstack import postgres
from localstack.child import ChildSpec
from localstack.errors import StateDamagedError
from localstack.ports import free_ports
from localstack.state import StateDir
from localstack.supervisor import Supervisor
from localstack.testing import RecordingReport, supervised

PASSWORD = "a-long-enough-password"

Spec = Callable[[postgres.PostgresCluster, int], ChildSpec]


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def spec(state: StateDir) -> Spec:
    def make(cluster: postgres.PostgresCluster, port: int) -> ChildSpec:
        async def ready() -> bool:
            return await postgres.accepts(postgres.dsn(port, PASSWORD))

        return ChildSpec(
            name="postgres",
            command=cluster.command(port),
            log=state.log("postgres"),
            ready=ready,
            environment={},
            stop_signal=postgres.STOP_SIGNAL,
            orphan_signal=postgres.ORPHAN_SIGNAL,
            user=cluster.user,
        )

    return make


async def test_data_outlives_a_stop_a_kill_and_a_second_preparation(
    state: StateDir, report: RecordingReport, spec: Spec
) -> None:
    port = free_ports(1, Random())[0]
    cluster = await postgres.prepare(state.postgres, PASSWORD)
    async with supervised(Supervisor([spec(cluster, port)], report)):
        connection = await asyncpg.connect(postgres.dsn(port, PASSWORD))
        await connection.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (1)")
        # A session that stays open must not hold up the stop.
    connection.terminate()
    assert "postgres stopped" in report.texts

    again = await postgres.prepare(state.postgres, PASSWORD)
    assert again == cluster
    supervisor = Supervisor([spec(again, port)], report)
    child = supervisor.children["postgres"]
    async with supervised(supervisor):
        first = child.pid
        child.kill()
        await child.wait()
        while True:
            if child.pid != first and child.ready.is_set():
                break
            await asyncio.sleep(0.05)
        connection = await asyncpg.connect(postgres.dsn(port, PASSWORD))
        assert await connection.fetchval("SELECT x FROM kept") == 1
        await connection.close()


async def test_preparation_leaves_nothing_beside_the_data(state: StateDir) -> None:
    before = set(state.root.iterdir())
    await postgres.prepare(state.postgres, PASSWORD)
    assert set(state.root.iterdir()) - before == {state.postgres}
    assert stat.S_IMODE(state.postgres.stat().st_mode) == 0o700


async def test_preparation_that_was_cut_short_is_taken_up_again(state: StateDir) -> None:
    draft = state.postgres.with_name("postgres.new")
    draft.mkdir()
    (draft / "half").touch()
    await postgres.prepare(state.postgres, PASSWORD)
    assert (state.postgres / "PG_VERSION").exists()
    assert not draft.exists()


async def test_password_of_another_installation_is_said_so(
    state: StateDir, report: RecordingReport, spec: Spec
) -> None:
    port = free_ports(1, Random())[0]
    cluster = await postgres.prepare(state.postgres, "the-password-of-before")
    with pytest.raises(StateDamagedError, match="`secrets` and `postgres` of the state do not belong together"):
        await Supervisor([spec(cluster, port)], report).run(forever)


async def test_nothing_listens_is_not_accepted() -> None:
    assert not await postgres.accepts(postgres.dsn(free_ports(1, Random())[0], PASSWORD))


async def test_database_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "something").touch()
    with pytest.raises(StateDamagedError, match=r"^cannot make the database in .*/postgres: .+$"):
        await postgres.prepare(tmp_path / "postgres", PASSWORD)


def test_server_listens_on_this_machine_only() -> None:
    cluster = postgres.PostgresCluster(Path("/pg/bin"), Path("/data"), None)
    command = cluster.command(5)
    assert "listen_addresses=127.0.0.1" in command
    assert "port=5" in command
