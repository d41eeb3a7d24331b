"""`turnpike suspense`: usage that could not be priced, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import click
import grpc

from contracts import money
from contracts.catalog.price_schedule import KINDS
from turnpike.accounts.v1 import suspense_service_pb2, suspense_service_pb2_grpc
from turnpike.usage.v1 import token_usage_pb2
from turnpike_cli.connection import running_stack
from turnpike_cli.errors import NoAnswerError, RefusedError
from turnpike_cli.options import json_option, state_dir_option
from turnpike_cli.output import show_columns, show_json

_TIMEOUT_S: Final = 30.0
_REFUSALS: Final = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ALREADY_EXISTS,
}
COUNTS: Final = {
    "prompt": "prompt_tokens",
    "completion": "completion_tokens",
    "reasoning": "reasoning_tokens",
    "cached": "cached_tokens",
    "cache_write": "cache_write_tokens",
    "images": "images",
    "audio_ms": "audio_milliseconds",
    "characters": "characters",
    "search_units": "search_units",
}

accounts_option = click.option(
    "--accounts",
    envvar="TURNPIKE_ACCOUNTS",
    show_envvar=True,
    help="host:port of accounts' gRPC; the local stack's by default.",
)
note_option = click.option("--note", required=True, help="How that is known, for the audit log.")


@click.group()
def suspense() -> None:
    """Look at usage that could not be priced, and say, as the operator, what becomes of it.

    Nobody is charged for it meanwhile; what its provider will charge waits on the ledger's account `suspense`.
    """


@suspense.command("list")
@click.option("--org", "org_id", default="", help="Of one organisation.")
@click.option("--all", "resolved", is_flag=True, help="Also what was resolved.")
@accounts_option
@state_dir_option
@json_option
def list_suspended(org_id: str, resolved: bool, accounts: str | None, state_dir: Path, as_json: bool) -> None:
    """List it, oldest first."""
    with suspense_stub(accounts, state_dir) as stub:
        found = open_suspense(stub, org_id=org_id, resolved=resolved)
    if as_json:
        show_json([suspense_document(each) for each in found])
    else:
        show_suspense(found)


@suspense.command("accept")
@click.argument("suspense_id")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="KIND=USD",
    help=f"What one costs, such as prompt=0.0000025; all others then cost nothing. Of {', '.join(KINDS)}. May be repeated.",
)
@click.option(
    "--count",
    "counts",
    multiple=True,
    metavar="KIND=N",
    help=f"How many; all others are then none. Of {', '.join(COUNTS)}. May be repeated.",
)
@note_option
@accounts_option
@state_dir_option
def accept(
    suspense_id: str,
    prices: tuple[str, ...],
    counts: tuple[str, ...],
    note: str,
    accounts: str | None,
    state_dir: Path,
) -> None:
    """Charge SUSPENSE_ID, at its own price and counts or at those that are given. Repeating it changes nothing."""
    accepted = suspense_service_pb2.AcceptSuspended()
    if prices:
        accepted.price.CopyFrom(_price(prices))
    if counts:
        accepted.usage.CopyFrom(_usage(counts))
    request = suspense_service_pb2.ClearSuspendedRequest(suspense_id=suspense_id, note=note, accept=accepted)
    answer = _resolve(request, accounts, state_dir)
    click.echo(f"accepted: {answer.suspended.generation_id} is charged at ${money.usd_text(answer.charged_nano_usd)}")


@suspense.command("write-off")
@click.argument("suspense_id")
@note_option
@accounts_option
@state_dir_option
def write_off(suspense_id: str, note: str, accounts: str | None, state_dir: Path) -> None:
    """Pay the provider for SUSPENSE_ID, and charge nobody. Repeating it changes nothing."""
    request = suspense_service_pb2.ClearSuspendedRequest(
        suspense_id=suspense_id, note=note, write_off=suspense_service_pb2.WriteOffSuspended()
    )
    answer = _resolve(request, accounts, state_dir)
    click.echo(f"written off: ${money.usd_text(sum(answer.suspended.held_nano_usd.values()))} that nobody is charged")


@suspense.command("void")
@click.argument("suspense_id")
@note_option
@accounts_option
@state_dir_option
def void(suspense_id: str, note: str, accounts: str | None, state_dir: Path) -> None:
    """Say that SUSPENSE_ID is no usage, and its provider charges nothing. Repeating it changes nothing."""
    request = suspense_service_pb2.ClearSuspendedRequest(
        suspense_id=suspense_id, note=note, void=suspense_service_pb2.VoidSuspended()
    )
    _resolve(request, accounts, state_dir)
    click.echo("voided: nothing is owed for it")


@contextmanager
def suspense_stub(accounts: str | None, state_dir: Path) -> Iterator[Any]:
    """Open accounts' service of suspended usage, turning what goes wrong within into errors of the command."""
    target = accounts or str(running_stack(state_dir).processes["accounts"]["grpc_target"])
    with grpc.insecure_channel(target) as channel:
        try:
            yield suspense_service_pb2_grpc.SuspenseServiceStub(channel)  # type: ignore[arg-type]  # stubs know asynchronous channels only
        except grpc.RpcError as error:
            code: Any = error
            if code.code() in _REFUSALS:
                raise RefusedError(str(code.details())) from None
            raise NoAnswerError(f"no accounts answers at {target}: {code.code().name.lower()}") from None


def open_suspense(stub: Any, *, org_id: str = "", resolved: bool = False) -> list[suspense_service_pb2.SuspendedUsage]:
    """Ask for suspended usage, oldest first."""
    request = suspense_service_pb2.ListSuspendedRequest(org_id=org_id, resolved=resolved)
    return [each for page in stub.ListSuspended(request, timeout=_TIMEOUT_S) for each in page.suspended]


def suspense_document(each: suspense_service_pb2.SuspendedUsage) -> dict[str, Any]:
    """Suspended usage as JSON; amounts are decimal texts."""
    return {
        "suspense_id": each.suspense_id,
        "org_id": each.org_id,
        "generation_id": each.generation_id,
        "rank": each.rank,
        "price_version": each.price_version,
        "reason": each.reason,
        "state": _state(each),
        "estimate_nano_usd": _amounts(each.estimate_nano_usd),
        "held_nano_usd": _amounts(each.held_nano_usd),
        "suspended_at": each.suspended_at.ToDatetime(UTC).isoformat(),
        "note": each.note,
    }


def show_suspense(found: Sequence[suspense_service_pb2.SuspendedUsage]) -> None:
    """Print suspended usage as a table."""
    show_columns(
        ("SUSPENSE", "SINCE", "ORGANISATION", "GENERATION", "HELD", "ESTIMATE", "STATE", "REASON"),
        [
            (
                each.suspense_id,
                f"{each.suspended_at.ToDatetime(UTC):%Y-%m-%dT%H:%MZ}",
                each.org_id or "-",
                each.generation_id or "-",
                f"${money.usd_text(sum(each.held_nano_usd.values()))}",
                f"${money.usd_text(sum(each.estimate_nano_usd.values()))}",
                _state(each),
                each.reason,
            )
            for each in found
        ],
    )


def _state(each: suspense_service_pb2.SuspendedUsage) -> str:
    return suspense_service_pb2.SuspenseState.Name(each.state).removeprefix("SUSPENSE_STATE_").lower()


def _amounts(by_provider: Mapping[str, int]) -> dict[str, str]:
    return {provider: str(nano) for provider, nano in sorted(by_provider.items())}


def _resolve(
    request: suspense_service_pb2.ClearSuspendedRequest, accounts: str | None, state_dir: Path
) -> suspense_service_pb2.ClearSuspendedResponse:
    with suspense_stub(accounts, state_dir) as stub:
        answer: suspense_service_pb2.ClearSuspendedResponse = stub.ClearSuspended(request, timeout=_TIMEOUT_S)
        return answer


def _price(texts: Sequence[str]) -> token_usage_pb2.Price:
    price = token_usage_pb2.Price()
    for kind, text in _pairs("--price", texts, KINDS):
        try:
            setattr(price, f"{kind}_pico_usd", money.pico_from_decimal(text))
        except ValueError as error:
            raise click.UsageError(f"--price {kind}: {error}") from None
    return price


def _usage(texts: Sequence[str]) -> token_usage_pb2.TokenUsage:
    usage = token_usage_pb2.TokenUsage()
    for kind, text in _pairs("--count", texts, tuple(COUNTS)):
        if not text.isascii() or not text.isdigit() or len(text) > 10:
            raise click.UsageError(f"--count {kind}: {text!r} is no count")
        setattr(usage, COUNTS[kind], int(text))
    return usage


def _pairs(option: str, texts: Sequence[str], kinds: Sequence[str]) -> Iterator[tuple[str, str]]:
    for each in texts:
        kind, separator, text = each.partition("=")
        if not separator or kind not in kinds:
            raise click.UsageError(f"{option} {each!r} is not KIND=..., with one of {', '.join(kinds)}")
        yield kind, text
