"""Runs a client's program against a stack once, and keeps what it told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from clients_support.environments import ROOT, javascript_folder, node, python_environment
from e2e_support.stack import Stack

_PROGRAMS = ROOT / "tests" / "clients" / "programs"
_LIMIT_S = 120
# What the catalogue calls `sim/lorem`, by its name at the simulator.
_LEFT_MODEL = "sim-lorem?tokens=100&first_ms=50&gap_ms=20"


def _python(program: str, lock: str | None) -> Callable[[], list[str]]:
    def command() -> list[str]:
        python = sys.executable if lock is None else str(python_environment(lock))
        return [python, str(_PROGRAMS / f"{program}.py")]

    return command


def _javascript(program: str) -> Callable[[], list[str]]:
    def command() -> list[str]:
        found = node()
        return [*found.node, str(javascript_folder(found) / f"{program}.mjs")]

    return command


# The package, and how its program is started.
CLIENTS: Mapping[str, Callable[[], list[str]]] = MappingProxyType(
    {
        "openai": _python("openai_client", None),
        "openrouter": _python("openrouter_client", "python-clients"),
        "anthropic": _python("anthropic_client", "python-clients"),
        "langchain-openrouter": _python("langchain_client", "langchain-client"),
        "litellm": _python("litellm_client", "litellm-client"),
        "npm openai": _javascript("openai_client"),
        "npm @openrouter/sdk": _javascript("openrouter_client"),
        "npm @openrouter/ai-sdk-provider": _javascript("ai_client"),
        "npm @anthropic-ai/sdk": _javascript("anthropic_client"),
    }
)


@dataclass(frozen=True)
class Told:
    """What a program told.

    Attributes:
        scenes: facts by scene.
        cancelled_before: calls that the provider of the scene `cancel` had seen cancelled before the program ran.
        complaint: why there may be scenes missing.
    """

    scenes: Mapping[str, Mapping[str, Any]]
    cancelled_before: int
    complaint: str

    def __getitem__(self, scene: str) -> Mapping[str, Any]:
        assert scene in self.scenes, f"the program did not get to {scene!r}: {self.complaint}"
        return self.scenes[scene]


def run(client: str, stack: Stack) -> Told:
    """Run a client's program."""
    before = cancelled_calls(stack)
    root = stack.base_url.removesuffix("/api/v1")
    done = subprocess.run(
        CLIENTS[client](),
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/"),
            "TURNPIKE_ROOT_URL": root,
            "TURNPIKE_API_KEY": stack.api_key,
            # LiteLLM fetches its list of prices at each start otherwise, and waits for it.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return Told({line["scene"]: line for line in lines}, before, done.stderr[-3000:])


def cancelled_calls(stack: Stack) -> int:
    """Ask the simulator how many calls of the model of the scene `cancel` it has seen cancelled."""
    local = yaml.safe_load((stack.state_dir / "catalog" / "sim.yaml").read_text(encoding="utf-8"))
    keys = yaml.safe_load((stack.state_dir / "provider-keys" / "local.yaml").read_text(encoding="utf-8"))
    root = str(local["providers"][0]["base_url"]).removesuffix("/v1")
    request = urllib.request.Request(f"{root}/counts", headers={"Authorization": f"Bearer {keys['sim']}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        counts: dict[str, dict[str, int]] = json.load(answer)
    return counts.get(_LEFT_MODEL, {}).get("cancelled", 0)


def record_of(stack: Stack, generation_id: str) -> dict[str, Any] | None:
    """Ask for the record of a generation; None while there is none."""
    request = urllib.request.Request(
        f"{stack.base_url}/generation?id={generation_id}", headers={"Authorization": f"Bearer {stack.api_key}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
            return data
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return None


def programs() -> list[Path]:
    """Every program of the tree."""
    return [*_PROGRAMS.glob("*_client.py"), *(ROOT / "tests" / "clients" / "javascript").glob("*_client.mjs")]
