"""`turnpike disputes`: what an operator tells accounts of disputes over purchases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import grpc

from turnpike.accounts.v1 import payment_service_pb2, payment_service_pb2_grpc
from turnpike_cli.connection import running_stack
from turnpike_cli.errors import NoAnswerError, RefusedError
from turnpike_cli.options import state_dir_option

ACCOUNTS_VARIABLE = "TURNPIKE_ACCOUNTS"
_TIMEOUT_S = 10.0
_REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION}
_NANO_PER_USD = 10**9


@click.group()
def disputes() -> None:
    """Tell accounts, as its operator, how disputes over purchases ended."""


@disputes.command("won")
@click.argument("purchase_id")
@click.option("--org", "org_id", required=True, help="The organisation that bought.")
@click.option("--reason", default="", help="How that is known, for the audit log.")
@click.option(
    "--accounts",
    envvar=ACCOUNTS_VARIABLE,
    show_envvar=True,
    help="host:port of accounts' gRPC; the local stack's by default.",
)
@state_dir_option
def won(purchase_id: str, org_id: str, reason: str, accounts: str | None, state_dir: Path) -> None:
    """Give back what was taken for the dispute over PURCHASE_ID, and unfreeze the organisation if it owes nothing.

    Needed only where the payment provider does not say so itself. Repeating it changes nothing.
    """
    target = accounts or str(running_stack(state_dir).processes["accounts"]["grpc_target"])
    request = payment_service_pb2.WinDisputeRequest(org_id=org_id, purchase_id=purchase_id, reason=reason)
    with grpc.insecure_channel(target) as channel:
        stub: Any = payment_service_pb2_grpc.PaymentServiceStub(channel)  # type: ignore[arg-type]  # stubs know asynchronous channels only
        try:
            answer: payment_service_pb2.WinDisputeResponse = stub.WinDispute(request, timeout=_TIMEOUT_S)
        except grpc.RpcError as error:
            raise _error(error, target) from None
    disputed = answer.purchase.disputed_nano_usd / _NANO_PER_USD
    frozen = "is still frozen, because it owes more" if answer.is_frozen else "may spend"
    click.echo(f"purchase {purchase_id}: ${disputed:.2f} disputed; the organisation {frozen}")


def _error(error: Any, target: str) -> Exception:
    if error.code() in _REFUSALS:
        return RefusedError(str(error.details()))
    return NoAnswerError(f"no accounts answers at {target}: {error.code().name.lower()}")
