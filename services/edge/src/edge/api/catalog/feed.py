"""The list of models as an RSS 2.0 feed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from html import escape
from typing import Final

from edge.api.catalog.rows import Row

FEED: Final = "application/rss+xml"
# What XML 1.0 cannot say at all.
_UNSAYABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def feed(rows: Iterable[Row], origin: str) -> bytes:
    """Render the feed.

    Args:
        rows: in the order in which they are to come.
        origin: scheme, host and port, which the links begin with.
    """
    items = "".join(_item(row, origin) for row in rows)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0"><channel><title>Turnpike Models</title>'
        f"<link>{_text(origin)}/api/v1/models</link><description>Models that can be called here</description>"
        f"{items}</channel></rss>\n"
    ).encode()


def _item(row: Row, origin: str) -> str:
    model = row.model
    link = _text(f"{origin}/api/v1/model/{row.id}")
    listed = format_datetime(datetime.fromtimestamp(model.created_at.seconds, UTC), usegmt=True)
    return (
        f"<item><title>{_text(model.name)}</title><link>{link}</link>"
        f'<guid isPermaLink="false">{_text(row.id)}</guid><pubDate>{listed}</pubDate>'
        f"<description>{_text(model.description)}</description></item>"
    )


def _text(text: str) -> str:
    return escape(_UNSAYABLE.sub("", text))
