"""The local stack as a whole: `up` starts it, says how to use it, and stops it in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from localstack import control, probes
from localstack.child import ChildState
from localstack.credentials import Credentials, ensure_credentials
from localstack.disk import check_space
from localstack.errors import ChildNotReadyError
from localstack.ownership import owned
from localstack.ports import check_free
from localstack.preparation import offer_providers, prepare
from localstack.processes import EMBEDDER, MODEL_SERVERS, Installation
from localstack.report import ConsoleReport
from localstack.run_file import RunRecord
from localstack.settings import StackOptions
from localstack.state import StateDir
from localstack.supervisor import Supervisor
from localstack.upkeep import keep_up

REAL_MODEL = "huggingfacetb/smollm2-135m-instruct"
SIMULATED_MODEL = "sim/echo"
_PUBLIC_LIMIT_S = 30.0
_LOOK_INTERVAL_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def up(options: StackOptions, report: ConsoleReport) -> None:
    """Run the stack until SIGINT, SIGTERM or SIGHUP, then stop it in order; a second signal hurries.

    Raises:
        StackError: it cannot start or go on; whatever ran is stopped.
    """
    state = StateDir.at(options.state_dir)
    state.make()
    with owned(state.lock_file):
        state.run_file.unlink(missing_ok=True)
        check_space(state.root)
        if options.port:
            check_free(options.port)
        report.progress(f"starting Turnpike in {state.root}")
        installation = await prepare(options, state, report)
        await _Stack(options, installation, report).run()


class _Stack:
    """One run."""

    def __init__(self, options: StackOptions, installation: Installation, report: ConsoleReport) -> None:
        self._options = options
        self._installation = installation
        self._state = installation.state
        self._report = report
        self._credentials: Credentials | None = None
        self._stopping = asyncio.Event()
        self._supervisor = Supervisor(installation.specs(), report, on_change=self._write_run_file)

    async def run(self) -> None:
        """Run until told to stop."""
        with self._signals():
            await self._supervisor.run(self._work)
        self._report.progress("stopped")

    async def _work(self) -> None:
        try:
            async with control.listening(self._state.control_socket, self._supervisor):
                async with asyncio.TaskGroup() as group:
                    upkeep = group.create_task(keep_up(self._state, self._report))
                    await self._unless_stopping(self._bring_up())
                    await self._stopping.wait()
                    upkeep.cancel()
        finally:
            # From here on the next signal hurries, also when it was a failure that led here.
            self._stopping.set()
            self._credentials = None
            self._state.run_file.unlink(missing_ok=True)
        self._report.progress("stopping; once more Ctrl-C kills what is left")

    async def _bring_up(self) -> None:
        supervisor, ports = self._supervisor, self._installation.ports
        await supervisor.children["accounts"].settled.wait()
        credentials = await ensure_credentials(
            ports.address("accounts"),
            self._state.credentials_file,
            self._installation.secrets.pepper,
            self._options.credit_usd,
        )
        await supervisor.settled()
        model = self._model()
        await self._until_usable(credentials.api_key, model)
        self._credentials = credentials
        self._write_run_file()
        self._introduce(credentials.api_key, model)

    def _model(self) -> str:
        """The model to show: the real one, unless no server of it runs."""
        children = self._supervisor.children
        started = [name for name in (*MODEL_SERVERS, EMBEDDER) if name in children]
        running = [name for name in started if children[name].state is not ChildState.GIVEN_UP]
        if any(name in running for name in MODEL_SERVERS):
            # One of two servers of the same model is enough for it to be on offer.
            running = [name for name in started if name in running or name in MODEL_SERVERS]
        if running != started:
            # What nobody serves is not on offer.
            offer_providers(self._state, self._installation.ports, running)
        if any(name in running for name in MODEL_SERVERS):
            return REAL_MODEL
        return SIMULATED_MODEL

    async def _until_usable(self, api_key: str, model: str) -> None:
        """Wait until the edge knows the key and the model: news of both reach it by ways that take a moment."""
        base_url = self._installation.ports.base_url
        wanted = (f"{base_url}/key", f"{base_url}/models/{model}/endpoints")
        headers = {"Authorization": f"Bearer {api_key}"}
        refused = base_url
        try:
            async with asyncio.timeout(_PUBLIC_LIMIT_S):
                while url := await _refused(wanted, headers):
                    refused = url
                    await asyncio.sleep(_LOOK_INTERVAL_S)
        except TimeoutError:
            raise ChildNotReadyError(
                f"edge does not answer {refused} after {_PUBLIC_LIMIT_S:.0f} s; log: {self._state.log('edge')}"
            ) from None

    async def _unless_stopping(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work`, and drop it when it is time to stop."""
        async with asyncio.TaskGroup() as group:
            doing = group.create_task(work)
            stopping = group.create_task(self._stopping.wait())
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            doing.cancel()
            stopping.cancel()

    def _write_run_file(self) -> None:
        if self._credentials is None:
            return
        installation = self._installation
        record = RunRecord(
            base_url=installation.ports.base_url,
            api_key=self._credentials.api_key,
            management_key=self._credentials.management_key,
            postgres_dsn=installation.dsn,
            kafka_bootstrap=installation.broker.bootstrap,
            processes=control.states(self._supervisor),
        )
        try:
            record.write(self._state.run_file)
        except OSError as error:
            self._report.problem(f"cannot write {self._state.run_file}: {error.strerror or error}")

    def _introduce(self, api_key: str, model: str) -> None:
        base_url = self._installation.ports.base_url
        show = self._report.show
        body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'
        self._report.progress("Turnpike is ready")
        show("")
        show(f"  base URL  {base_url}", "bold")
        show(f"  API key   {api_key}", "bold")
        show(f"  logs      {self._state.logs}", "bold")
        show("")
        show(
            f'curl {base_url}/chat/completions -H "Authorization: Bearer {api_key}" '
            f"-H \"Content-Type: application/json\" -d '{body}'"
        )
        show("")
        show("Ctrl-C stops it.")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def signalled() -> None:
            if self._stopping.is_set():
                self._supervisor.impatient.set()
            self._stopping.set()

        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, signalled)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)


async def _refused(urls: Sequence[str], headers: Mapping[str, str]) -> str:
    """The first of these addresses that is not answered well, or ""."""
    for url in urls:
        if await probes.http_status(url, headers) != 200:
            return url
    return ""
