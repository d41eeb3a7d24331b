"""`turnpike explain`: where a request would go now, and why not elsewhere. Asks a router; no provider is called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.json_format import MessageToDict

from turnpike.router.v1 import router_service_pb2, router_service_pb2_grpc
from turnpike_cli.connection import running_stack
from turnpike_cli.errors import NoAnswerError, RefusedError
from turnpike_cli.options import json_option, state_dir_option
from turnpike_cli.output import show_columns, show_json

ROUTER_VARIABLE = "TURNPIKE_ROUTER"
_TIMEOUT_S = 10.0
_PICO_PER_USD = 10**12
_REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}


@click.command()
@click.argument("model")
@click.option(
    "--router",
    envvar=ROUTER_VARIABLE,
    show_envvar=True,
    help="host:port of a router's gRPC; the local stack's by default.",
)
@click.option("--prompt", default="Hello", show_default=True, help="What the request would say.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Most tokens that it would want.")
@click.option("--provider", "preferences", help='Routing preferences as JSON, such as \'{"sort": "price"}\'.')
@click.option("--body", type=click.File("r"), help="The whole request as a JSON file, instead of the options above.")
@click.option(
    "--seed", type=click.IntRange(min=1), default=1, show_default=True, help="Of the draw among the endpoints."
)
@state_dir_option
@json_option
def explain(
    model: str,
    router: str | None,
    prompt: str,
    max_tokens: int | None,
    preferences: str | None,
    body: Any,
    seed: int,
    state_dir: Path,
    as_json: bool,
) -> None:
    """Say which endpoints a request for MODEL would be tried at, in which order, and why the others are out."""
    document = _json(body.read(), "--body") if body is not None else _request(prompt, max_tokens, preferences)
    document["model"] = model
    answer = _ask(router or _local_router(state_dir), json.dumps(document).encode(), seed)
    if as_json:
        show_json(MessageToDict(answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True))
        return
    click.echo(f"{answer.model_id}, by {answer.strategy}")
    show_columns(
        ("RANK", "ENDPOINT", "SHARE", "COST", "FIRST TOKEN", "TOKENS/S", "SUCCESS", "IN FLIGHT", "STANDING"),
        [_row(each) for each in answer.endpoints],
    )


def _request(prompt: str, max_tokens: int | None, preferences: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]}
    if max_tokens is not None:
        document["max_tokens"] = max_tokens
    if preferences is not None:
        document["provider"] = _json(preferences, "--provider")
    return document


def _json(text: str, option: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is not valid JSON: {error}") from None
    if not isinstance(document, dict):
        raise click.UsageError(f"{option} is not a JSON object")
    return document


def _local_router(state_dir: Path) -> str:
    return str(running_stack(state_dir).processes["router"]["grpc_target"])


def _ask(target: str, request: bytes, seed: int) -> router_service_pb2.ExplainResponse:
    with grpc.insecure_channel(target) as channel:
        # The stubs are typed for the asynchronous channel only.
        stub: Any = router_service_pb2_grpc.RouterServiceStub(channel)  # type: ignore[arg-type]  # see above
        try:
            answer: router_service_pb2.ExplainResponse = stub.Explain(
                router_service_pb2.ExplainRequest(request_json=request, seed=seed), timeout=_TIMEOUT_S
            )
        except grpc.RpcError as error:
            raise _error(error, target) from None
    return answer


def _error(error: Any, target: str) -> Exception:
    if error.code() in _REFUSALS:
        return RefusedError(str(error.details()))
    return NoAnswerError(f"no router answers at {target}: {error.code().name.lower()}")


def _row(each: router_service_pb2.ExplainedEndpoint) -> tuple[str, ...]:
    if not each.rank:
        why = f"out: {each.excluded_by}" + (f" ({each.detail})" if each.detail else "")
        return ("-", each.endpoint_id, *["-"] * 6, why)
    return (
        str(each.rank),
        each.endpoint_id,
        f"{each.share:.1%}",
        f"${each.expected_cost_pico_usd / _PICO_PER_USD:.8f}",
        f"{each.first_token_ms} ms" if each.first_token_ms else "-",
        f"{each.tokens_per_second:.0f}" if each.tokens_per_second else "-",
        f"{each.success_rate:.1%}",
        str(each.in_flight),
        each.standing,
    )
