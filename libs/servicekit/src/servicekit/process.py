"""The main function of every service."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NoReturn, TypeVar

import uvloop

from servicekit.admin import AdminServer
from servicekit.lifecycle import Runtime, Service, Supervisor
from servicekit.logs import configure_logs, get_logger
from servicekit.settings import ServiceSettings, SettingsError, load
from servicekit.telemetry import Telemetry

_log = get_logger(__name__)

S = TypeVar("S", bound=ServiceSettings)

Wire = Callable[[S, Runtime], AbstractAsyncContextManager[Service]]
"""Makes the service: acquires in dependency order, yields the components in drain order, releases in reverse."""


def run(service: str, settings_type: type[S], wire: Wire[S]) -> NoReturn:
    """Run a service as this process.

    Reads the settings (all problems together on standard error, exit code 2; `--check` stops here), sets up logs and
    telemetry, serves the admin port, and supervises the components until they have drained. Exit code 1 if one failed.

    Args:
        service: its name in logs and telemetry, such as `edge` or `health-prober`.
        settings_type: read from the environment.
        wire: makes the components.
    """
    parser = argparse.ArgumentParser(prog=service, description=f"Run {service}. Settings come from the environment.")
    parser.add_argument("--check", action="store_true", help="check the settings and exit")
    arguments = parser.parse_args()
    try:
        settings = load(settings_type)
    except SettingsError as error:
        count = len(error.problems)
        sys.stderr.write(f"{service}: {count} {'problem' if count == 1 else 'problems'} in the settings\n")
        sys.stderr.writelines(f"  {problem}\n" for problem in error.problems)
        sys.exit(2)
    if arguments.check:
        sys.stdout.write("ok\n")
        sys.exit(0)
    configure_logs(settings.log, service=service, instance=settings.instance)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_serve(service, settings, wire))
    sys.exit(code)


async def _serve(service: str, settings: S, wire: Wire[S]) -> int:
    telemetry = Telemetry(service, settings.instance, settings.telemetry)
    runtime = Runtime(service=service, settings=settings, tracer=telemetry.tracer, meter=telemetry.meter)
    admin = AdminServer(settings.admin, runtime.readiness, runtime.liveness, telemetry)
    try:
        await admin.start()
    except OSError as error:
        _log.error("admin.bind_failed", error=str(error), host=settings.admin.host, port=settings.admin.port)
        code = 1
    else:
        code = await Supervisor(runtime, settings.drain).supervise(wire(settings, runtime))
    await admin.stop()
    await telemetry.shutdown()
    return code
