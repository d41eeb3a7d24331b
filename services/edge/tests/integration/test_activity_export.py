"""Files of usage through the public port, where they do not get to their end."""

from __future__ import annotations

import aiohttp
import pytest

from edge.testing.stack import EdgeStack

PATH = "/activity/export?start_date=2025-01-01&end_date=2025-01-02"


async def test_file_that_breaks_off_does_not_look_whole(edge: EdgeStack) -> None:
    edge.around.analytics.breaks_off = True
    token = edge.around.sessions.open(edge.org.org_id)
    async with edge.http.get(edge.url + PATH, headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    edge.around.analytics.breaks_off = False
    assert (await edge.call("GET", PATH, key=token)).body == b"".join(edge.around.analytics.chunks)


async def test_file_that_does_not_begin_is_an_error_of_its_own(edge: EdgeStack) -> None:
    edge.around.analytics.down = True
    answer = await edge.call("GET", PATH, key=edge.around.sessions.open(edge.org.org_id))
    assert answer.status == 503
    assert answer.document["error"]["code"] == 503
