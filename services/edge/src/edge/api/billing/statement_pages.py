"""A statement as a table of values and as a page that can be printed."""

from __future__ import annotations

import csv
import io
from typing import Final

from jinja2 import Environment

from contracts import money
from edge.api.billing.reconciliation import Reconciliation
from turnpike.accounts.v1 import payment_service_pb2

# A spreadsheet takes a cell that starts with one of these for a formula, and names of organisations are theirs to choose.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

_PAGE: Final = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Statement {{ month }}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
</style>
</head>
<body>
<h1>Statement {{ month }}</h1>
<p>{{ statement.org_name }}</p>
<table>
<caption>Credit in US dollars</caption>
<thead><tr><th scope="col">Movement</th><th scope="col" class="n">Entries</th><th scope="col" class="n">Amount</th></tr></thead>
<tbody>
<tr><td>Opening balance</td><td></td><td class="n">{{ usd(statement.opening_nano_usd) }}</td></tr>
{% for each in statement.movements %}
<tr><td>{{ each.reason }}</td><td class="n">{{ each.entries }}</td><td class="n">{{ usd(each.amount_nano_usd) }}</td></tr>
{% endfor %}
<tr><th scope="row">Closing balance</th><td></td><td class="n">{{ usd(statement.closing_nano_usd) }}</td></tr>
</tbody>
</table>
{% if statement.purchases %}
<table>
<caption>Invoices</caption>
<thead><tr><th scope="col">Number</th><th scope="col">Paid</th><th scope="col" class="n">Credit</th><th scope="col" class="n">Fee</th>
<th scope="col" class="n">Total</th></tr></thead>
<tbody>
{% for each in statement.purchases %}
<tr><td>{{ each.invoice_number }}</td><td>{{ each.paid_at.ToDatetime().date() }}</td><td class="n">{{ usd(each.credit_nano_usd) }}</td>
<td class="n">{{ usd(each.fee_nano_usd) }}</td><td class="n">{{ usd(each.credit_nano_usd + each.fee_nano_usd) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if statement.usage %}
<table>
<caption>Usage by model, by when it ended</caption>
<thead><tr><th scope="col">Model</th><th scope="col" class="n">Generations</th><th scope="col" class="n">Prompt tokens</th>
<th scope="col" class="n">Completion tokens</th><th scope="col" class="n">Cost</th></tr></thead>
<tbody>
{% for each in statement.usage %}
<tr><td>{{ each.model }}</td><td class="n">{{ each.generations }}</td><td class="n">{{ each.prompt_tokens }}</td>
<td class="n">{{ each.completion_tokens }}</td><td class="n">{{ usd(each.cost_nano_usd) }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if counted %}
<table>
<caption>The same usage, counted again out of the usage events</caption>
<thead><tr><th scope="col">Counted by</th><th scope="col" class="n">Generations</th><th scope="col" class="n">Cost</th></tr></thead>
<tbody>
<tr><td>Ledger, which was charged</td><td class="n">{{ counted.ledger_generations }}</td><td class="n">{{ usd(counted.ledger_nano) }}</td></tr>
<tr><td>Usage events</td><td class="n">{{ counted.counted_generations }}</td><td class="n">{{ usd(counted.counted_nano) }}</td></tr>
<tr><th scope="row">Difference</th><td></td><td class="n">{{ usd(counted.difference_nano) }}</td></tr>
</tbody>
</table>
{% endif %}
</body>
</html>
""")


def statement_html(
    statement: payment_service_pb2.GetStatementResponse, month: str, counted: Reconciliation | None
) -> bytes:
    """Write a statement as a page. Everything that others chose is escaped."""
    return _PAGE.render(statement=statement, month=month, counted=counted, usd=money.usd_text).encode()


def statement_csv(
    statement: payment_service_pb2.GetStatementResponse, month: str, counted: Reconciliation | None
) -> bytes:
    """Write a statement as rows of one table: section, what, count, dollars."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(["section", "item", "count", "usd"])
    rows.writerow(["balance", f"opening {month}", "", money.usd_text(statement.opening_nano_usd)])
    for movement in statement.movements:
        amount = money.usd_text(movement.amount_nano_usd)
        rows.writerow(["movement", _cell(movement.reason), movement.entries, amount])
    rows.writerow(["balance", f"closing {month}", "", money.usd_text(statement.closing_nano_usd)])
    for purchase in statement.purchases:
        paid = purchase.credit_nano_usd + purchase.fee_nano_usd
        rows.writerow(["invoice", purchase.invoice_number, "", money.usd_text(paid)])
    for usage in statement.usage:
        rows.writerow(["usage", _cell(usage.model), usage.generations, money.usd_text(usage.cost_nano_usd)])
    if counted is not None:
        for item, count, nano in (
            ("ledger", counted.ledger_generations, counted.ledger_nano),
            ("usage events", counted.counted_generations, counted.counted_nano),
            ("difference", counted.counted_generations - counted.ledger_generations, counted.difference_nano),
        ):
            rows.writerow(["reconciliation", item, count, money.usd_text(nano)])
    return text.getvalue().encode()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text
