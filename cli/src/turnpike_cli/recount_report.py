"""What the recount of the usage topic has to say."""

from __future__ import annotations

from typing import Any

import click

from contracts import money
from contracts.reconciliation import Reconciliation
from turnpike_cli.output import show_columns
from turnpike_cli.recount import TopicCount


def recount_document(topic: TopicCount | None, compared: Reconciliation | None) -> dict[str, Any]:
    """The recount as members of JSON; none where it was not asked for."""
    if topic is None or compared is None:
        return {}
    return {
        "recount": {
            "complete_from": topic.complete_from.isoformat(),
            "records": topic.records,
            "set_aside": topic.set_aside,
            "agrees": compared.agrees,
            "generations": sum(each.events for each in topic.sums.values()),
            "differences": [
                {
                    "org_id": each.group.org_id,
                    "hour": each.group.hour.isoformat(),
                    "price_version": each.group.price_version,
                    "ledger_nano_usd": str(each.ledger.ledger or 0),
                    "settled_nano_usd": str(each.ledger.cost),
                    "topic_nano_usd": str(each.usage.cost),
                    "ledger_generations": each.ledger.events,
                    "topic_generations": each.usage.events,
                }
                for each in compared.differences
            ],
        }
    }


def show_recount(topic: TopicCount | None, compared: Reconciliation | None) -> None:
    """Print it."""
    if topic is None or compared is None:
        return
    click.echo()
    if compared.agrees:
        count = sum(each.events for each in topic.sums.values())
        click.echo(f"Kafka from {topic.complete_from:%Y-%m-%dT%HZ}: {count} generations, and the ledger agrees")
        return
    show_columns(
        ("HOUR", "ORGANISATION", "PRICE VERSION", "LEDGER", "SETTLED", "KAFKA", "GENERATIONS"),
        [
            (
                f"{each.group.hour:%Y-%m-%dT%HZ}",
                each.group.org_id,
                each.group.price_version or "-",
                f"${money.usd_text(each.ledger.ledger or 0)}",
                f"${money.usd_text(each.ledger.cost)}",
                f"${money.usd_text(each.usage.cost)}",
                f"{each.ledger.events}/{each.usage.events}",
            )
            for each in compared.differences
        ],
    )
