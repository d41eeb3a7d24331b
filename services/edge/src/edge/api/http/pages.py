"""Addresses of further pages of a list."""

from __future__ import annotations

from aiohttp import web


def next_page(request: web.BaseRequest, offset: int, limit: int) -> str:
    """The path of the page that begins at `offset`: the same request otherwise, its filters included."""
    url = request.rel_url.update_query(offset=str(offset), limit=str(limit))
    return url.raw_path_qs
