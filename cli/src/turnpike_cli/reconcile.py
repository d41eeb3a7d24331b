"""`turnpike reconcile`: do the ledger, the usage events in ClickHouse and the providers' invoices say the same?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from contracts import money
from contracts.reconciliation import (
    Difference,
    Group,
    InvalidInvoiceError,
    InvoiceDifference,
    Reconciliation,
    UsageSum,
    compare,
    compare_invoice,
    read_invoice,
    sums_from_proto,
)
from turnpike.accounts.v1 import reconciliation_service_pb2 as ledger_pb
from turnpike.accounts.v1 import suspense_service_pb2 as suspense_pb
from turnpike.accounts.v1 import suspense_service_pb2_grpc as suspense_stubs
from turnpike.accounts.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub as LedgerStub
from turnpike.metering.v1 import reconciliation_service_pb2 as usage_pb
from turnpike.metering.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub as UsageStub
from turnpike_cli.connection import running_stack
from turnpike_cli.errors import NoAnswerError, RefusedError
from turnpike_cli.options import json_option, state_dir_option
from turnpike_cli.output import note, show_columns, show_json
from turnpike_cli.recount import count_topic, kafka_settings
from turnpike_cli.recount_report import recount_document, show_recount
from turnpike_cli.suspense import open_suspense, show_suspense, suspense_document

_TIMEOUT_S = 120.0
_HOUR = timedelta(hours=1)
_DETAILED = 20  # groups whose generations are listed
_PPM = 1_000_000
_REFUSALS = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}
DIFFERS = 1


@click.command()
@click.option("--hours", type=click.IntRange(1, 31 * 24), default=24, show_default=True, help="How many closed hours.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]),
    help="End (UTC); the last closed hour by default.",
)
@click.option(
    "--settling",
    type=click.IntRange(min=0),
    default=15,
    show_default=True,
    help="Minutes after the end of an hour until it counts as closed.",
)
@click.option(
    "--accounts", envvar="TURNPIKE_ACCOUNTS", show_envvar=True, help="host:port of its gRPC; the local stack's."
)
@click.option(
    "--metering", envvar="TURNPIKE_METERING", show_envvar=True, help="host:port of its gRPC; the local stack's."
)
@click.option(
    "--invoice",
    "invoices",
    multiple=True,
    metavar="PROVIDER=FILE",
    help="A provider's invoice as CSV (id, cost_usd) of this period. May be repeated.",
)
@click.option(
    "--recount",
    metavar="BROKERS",
    help="Count the usage topic at these Kafka brokers too, as far back as it is kept.",
)
@click.option(
    "--kafka-config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML with security, sasl_mechanism, username, password, ca_file for --recount.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 100),
    default=0.0,
    show_default=True,
    help="Percent that an invoiced amount may differ from ours.",
)
@state_dir_option
@json_option
@click.pass_context
def reconcile(
    context: click.Context,
    hours: int,
    until: datetime | None,
    settling: int,
    accounts: str | None,
    metering: str | None,
    invoices: tuple[str, ...],
    recount: str | None,
    kafka_config: Path | None,
    tolerance: float,
    state_dir: Path,
    as_json: bool,
) -> None:
    """Compare closed hours, organisation by organisation, to the nano-dollar.

    Exit codes: 0 the books agree; 1 they do not, or one of them did not answer.
    """
    end = _end(until, settling)
    start = end - hours * _HOUR
    files = [_invoice(each) for each in invoices]
    ledger_at = accounts or _local(state_dir, "accounts")
    usage_at = metering or _local(state_dir, "metering")
    with grpc.insecure_channel(ledger_at) as to_ledger, grpc.insecure_channel(usage_at) as to_usage:
        ledger: Any = LedgerStub(to_ledger)  # type: ignore[arg-type]  # stubs know asynchronous channels only
        usage: Any = UsageStub(to_usage)  # type: ignore[arg-type]  # stubs know asynchronous channels only
        with _answering(f"accounts at {ledger_at}, or metering at {usage_at}"):
            one, other = _sums(ledger, usage, start, end)
            found = compare(one, other, end)
            details = [_detail(ledger, usage, each) for each in found.differences[:_DETAILED]]
            suspended = open_suspense(suspense_stubs.SuspenseServiceStub(to_ledger))  # type: ignore[arg-type]  # stubs know asynchronous channels only
            bills = {
                provider: compare_invoice(lines, _charges(usage, provider, start, end), round(tolerance * _PPM / 100))
                for provider, lines in files
            }
    topic, third = None, None
    if recount is not None:
        topic = asyncio.run(count_topic(kafka_settings(recount, kafka_config), start, end))
        third = compare(_since(one, topic.complete_from), topic.sums, end)
    if as_json:
        show_json(_document(start, end, found, details, bills, suspended) | recount_document(topic, third))
    else:
        _show(start, end, found, details, bills, suspended)
        show_recount(topic, third)
    if not found.agrees or any(bills.values()) or (third is not None and not third.agrees):
        context.exit(DIFFERS)


def _end(until: datetime | None, settling: int) -> datetime:
    end = until.replace(tzinfo=UTC) if until is not None else datetime.now(UTC) - timedelta(minutes=settling)
    return end.replace(minute=0, second=0, microsecond=0)


def _local(state_dir: Path, service: str) -> str:
    return str(running_stack(state_dir).processes[service]["grpc_target"])


def _invoice(text: str) -> tuple[str, dict[str, int]]:
    provider, separator, name = text.partition("=")
    if not separator or not provider or not name:
        raise click.UsageError(f"--invoice {text!r} is not PROVIDER=FILE")
    try:
        return provider, read_invoice(Path(name).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--invoice {name}: cannot be read ({type(error).__name__})") from None
    except InvalidInvoiceError as error:
        raise click.UsageError(f"--invoice {name}: {error}") from None


@contextmanager
def _answering(who: str) -> Iterator[None]:
    try:
        yield
    except grpc.RpcError as error:
        code: Any = error
        if code.code() in _REFUSALS:
            raise RefusedError(str(code.details())) from None
        raise NoAnswerError(f"no answer from {who}: {code.code().name.lower()}") from None


def _since(sums: Mapping[Group, UsageSum], start: datetime) -> dict[Group, UsageSum]:
    return {group: each for group, each in sums.items() if group.hour >= start}


def _sums(
    ledger: Any, usage: Any, start: datetime, end: datetime
) -> tuple[dict[Group, UsageSum], dict[Group, UsageSum]]:
    period = {"start": _timestamp(start), "end": _timestamp(end)}
    booked = ledger.SumLedgerUsage(ledger_pb.SumLedgerUsageRequest(**period), timeout=_TIMEOUT_S)
    one = sums_from_proto((each for page in booked for each in page.sums), with_ledger=True)
    stored = usage.SumUsage(usage_pb.SumUsageRequest(**period), timeout=_TIMEOUT_S)
    other = sums_from_proto((each for page in stored for each in page.sums), with_ledger=False)
    return one, other


def _detail(ledger: Any, usage: Any, difference: Difference) -> list[dict[str, Any]]:
    """The generations of a group of which the two sides do not say the same."""
    group = difference.group
    org_id, hour, version = group.org_id, _timestamp(group.hour), group.price_version
    asked = ledger_pb.ListLedgerUsageRequest(org_id=org_id, hour=hour, price_version=version)
    booked = ledger.ListLedgerUsage(asked, timeout=_TIMEOUT_S)
    request = usage_pb.ListUsageRequest(org_id=org_id, hour=hour, price_version=version)
    stored = usage.ListUsage(request, timeout=_TIMEOUT_S)
    one = {each.event_id: each for page in booked for each in page.figures}
    other = {each.event_id: each for page in stored for each in page.figures}
    rows = []
    for event_id in sorted({*one, *other}):
        mine, theirs = one.get(event_id), other.get(event_id)
        figures = [
            None if each is None else (each.rank, each.cost_nano_usd, each.provider_cost_nano_usd)
            for each in (mine, theirs)
        ]
        if figures[0] != figures[1] or (mine is not None and mine.ledger_nano_usd != mine.cost_nano_usd):
            either = mine or theirs
            rows.append(
                {
                    "generation_id": "" if either is None else either.generation_id,
                    "event_id": event_id,
                    "entered_nano_usd": None if mine is None else mine.ledger_nano_usd,
                    "ledger_nano_usd": None if mine is None else mine.cost_nano_usd,
                    "usage_nano_usd": None if theirs is None else theirs.cost_nano_usd,
                    "ledger_provider_nano_usd": None if mine is None else mine.provider_cost_nano_usd,
                    "usage_provider_nano_usd": None if theirs is None else theirs.provider_cost_nano_usd,
                }
            )
    return rows


def _charges(usage: Any, provider: str, start: datetime, end: datetime) -> list[usage_pb.ProviderCharge]:
    request = usage_pb.ListProviderChargesRequest(provider=provider, start=_timestamp(start), end=_timestamp(end))
    return [each for page in usage.ListProviderCharges(request, timeout=_TIMEOUT_S) for each in page.charges]


def _timestamp(moment: datetime) -> Timestamp:
    return Timestamp(seconds=int(moment.timestamp()))


def _document(
    start: datetime,
    end: datetime,
    found: Reconciliation,
    details: list[list[dict[str, Any]]],
    bills: Mapping[str, list[InvoiceDifference]],
    suspended: Sequence[suspense_pb.SuspendedUsage],
) -> dict[str, Any]:
    more = [*details, *[[]] * len(found.differences)]
    return {
        "start": start.isoformat(),
        "end": end.isoformat(),
        "agrees": found.agrees and not any(bills.values()),
        "groups": found.groups,
        "generations": found.events,
        "charged_nano_usd": str(found.volume),
        "unreconciled": found.unreconciled,
        "clearing": found.clearing,
        "explainability": found.explainability,
        "agreed_until": found.agreed_until.isoformat(),
        "differences": [
            {
                "org_id": each.group.org_id,
                "hour": each.group.hour.isoformat(),
                "price_version": each.group.price_version,
                "ledger_nano_usd": str(each.ledger.ledger or 0),
                "settled_nano_usd": str(each.ledger.cost),
                "usage_nano_usd": str(each.usage.cost),
                "ledger_provider_nano_usd": str(each.ledger.provider_cost),
                "usage_provider_nano_usd": str(each.usage.provider_cost),
                "ledger_generations": each.ledger.events,
                "usage_generations": each.usage.events,
                "generations": rows,
            }
            for each, rows in zip(found.differences, more, strict=False)
        ],
        "suspended": [suspense_document(each) for each in suspended],
        "invoices": {
            provider: [
                {
                    "upstream_id": each.upstream_id,
                    "generation_id": each.generation_id,
                    "invoiced_nano_usd": None if each.invoiced is None else str(each.invoiced),
                    "booked_nano_usd": None if each.booked is None else str(each.booked),
                }
                for each in differences
            ]
            for provider, differences in bills.items()
        },
    }


def _show(
    start: datetime,
    end: datetime,
    found: Reconciliation,
    details: list[list[dict[str, Any]]],
    bills: Mapping[str, list[InvoiceDifference]],
    suspended: Sequence[suspense_pb.SuspendedUsage],
) -> None:
    note(f"{start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}")
    show_columns(
        ("GROUPS", "GENERATIONS", "CHARGED", "CLEARING", "EXPLAINED", "UNRECONCILED", "DIFFERENCES"),
        [
            (
                str(found.groups),
                str(found.events),
                _usd(found.volume),
                f"{found.clearing:.4%}",
                f"{found.explainability:.4%}",
                str(found.unreconciled),
                str(len(found.differences)),
            )
        ],
    )
    if found.differences:
        click.echo()
        show_columns(
            ("HOUR", "ORGANISATION", "PRICE VERSION", "LEDGER", "SETTLED", "CLICKHOUSE", "GENERATIONS"),
            [
                (
                    f"{each.group.hour:%Y-%m-%dT%HZ}",
                    each.group.org_id,
                    each.group.price_version or "-",
                    _usd(each.ledger.ledger or 0),
                    _usd(each.ledger.cost),
                    _usd(each.usage.cost),
                    f"{each.ledger.events}/{each.usage.events}",
                )
                for each in found.differences
            ],
        )
    rows = [row for group in details for row in group]
    if rows:
        click.echo()
        show_columns(
            ("GENERATION OR EVENT", "LEDGER", "SETTLED", "CLICKHOUSE", "PROVIDER BY LEDGER", "PROVIDER BY CLICKHOUSE"),
            [
                (
                    str(row["generation_id"] or row["event_id"]),
                    *(
                        _usd(row[name])
                        for name in (
                            "entered_nano_usd", "ledger_nano_usd", "usage_nano_usd", "ledger_provider_nano_usd", "usage_provider_nano_usd",
                        )
                    ),
                )
                for row in rows
            ],
        )  # fmt: skip
    if suspended:
        click.echo()
        show_suspense(suspended)
    for provider, differences in bills.items():
        click.echo()
        if not differences:
            click.echo(f"{provider}: the invoice agrees")
            continue
        show_columns(
            (f"{provider.upper()} ID", "GENERATION", "INVOICED", "BOOKED"),
            [
                (each.upstream_id or "-", each.generation_id or "-", _usd(each.invoiced), _usd(each.booked))
                for each in differences
            ],
        )


def _usd(nano: int | None) -> str:
    return "-" if nano is None else f"${money.usd_text(nano)}"
