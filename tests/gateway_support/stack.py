"""An edge and a router together in this process, on real sockets, in front of providers whose every byte a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.settings import RouterSettings
from edge.testing.stack import EdgeStack, Neighbours, edge_stack
from router.testing.catalogs import Offer
from router.testing.stack import router_stack
from servicekit.durations import parse_duration


@asynccontextmanager
async def gateway(folder: Path, bootstrap: str, offers: Sequence[Offer], **sections: Any) -> AsyncIterator[EdgeStack]:
    """Run both over some offers.

    Args:
        folder: for their state.
        bootstrap: of the broker.
        offers: the catalogue.
        sections: of the edge's settings, to replace.
    """
    async with router_stack(folder / "router", bootstrap, *offers) as router:
        settings = RouterSettings(
            target=f"127.0.0.1:{router.port}", list_interval=parse_duration("100ms"), deadline=parse_duration("4s")
        )
        async with edge_stack(folder / "edge", bootstrap, Neighbours(), **{"router": settings, **sections}) as edge:
            async with asyncio.timeout(30):
                await _models_known(edge)
            yield edge


async def _models_known(edge: EdgeStack) -> None:
    """Wait until the edge has the router's list: before that it does not know what a model can read."""
    while True:
        answer = await edge.call("GET", "/models")
        if answer.status == 200 and answer.document["data"]:
            return
        await asyncio.sleep(0.02)
