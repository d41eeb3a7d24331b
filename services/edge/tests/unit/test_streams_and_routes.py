"""The watch over open streams, the route table, and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from edge.api.http.errors import HttpError, Problem, openrouter_error
from edge.api.http.exchange import Exchange
from edge.api.http.operations import Operation
from edge.api.http.routes import Access, Route, RouteTable
from edge.api.inference.stream_watch import StreamWatch
from edge.settings import Settings
from servicekit.settings import SettingsError, environment_names, load
from servicekit.testing import ManualClock, running


class Stream:
    """An open stream that remembers what was done to it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.last_write_s = 0.0
        self.blocked_since_s: float | None = None
        self.comments = self.aborted = self.abandoned = 0
        self._error = error

    async def keep_alive(self) -> None:
        if self._error is not None:
            raise self._error
        self.comments += 1

    def abort(self) -> None:
        self.aborted += 1

    def abandon(self) -> None:
        self.abandoned += 1


class TestStreamWatch:
    """Comments for silent streams, an end for readers that take nothing."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def watch(self, clock: ManualClock) -> StreamWatch:
        return StreamWatch(clock, timedelta(seconds=2), timedelta(seconds=30))

    async def test_a_silent_stream_gets_a_comment_when_it_is_due(self, watch: StreamWatch, clock: ManualClock) -> None:
        stream, busy = Stream(), Stream()
        watch.add(stream)
        watch.add(busy)
        await clock.advance(1.9)
        await watch.look()
        assert stream.comments == 0
        busy.last_write_s = 1.9
        await clock.advance(0.1)
        await watch.look()
        assert (stream.comments, busy.comments) == (1, 0)

    async def test_a_reader_that_takes_nothing_gets_an_end_and_no_comments(
        self, watch: StreamWatch, clock: ManualClock
    ) -> None:
        stream = Stream()
        stream.blocked_since_s = 0.0
        watch.add(stream)
        await clock.advance(29.9)
        await watch.look()
        assert (stream.aborted, stream.comments) == (0, 0)
        await clock.advance(0.1)
        await watch.look()
        assert (stream.aborted, stream.comments) == (1, 0)

    async def test_one_broken_stream_does_not_keep_the_others_from_their_comments(
        self, watch: StreamWatch, clock: ManualClock
    ) -> None:
        streams = [Stream(ConnectionResetError()), Stream(TimeoutError()), Stream()]
        for stream in streams:
            watch.add(stream)
        await clock.advance(2)
        await watch.look()
        assert streams[2].comments == 1

    async def test_it_looks_by_itself_until_it_is_stopped(self, watch: StreamWatch, clock: ManualClock) -> None:
        stream = Stream()
        watch.add(stream)
        async with running(watch):
            await clock.wait_for_sleepers()
            await clock.advance(2.5)
            assert stream.comments >= 1
        watch.remove(stream)
        watch.abandon_all()
        assert stream.abandoned == 0

    async def test_all_are_abandoned_at_once(self, watch: StreamWatch) -> None:
        streams = [Stream(), Stream()]
        for stream in streams:
            watch.add(stream)
        watch.abandon_all()
        assert [stream.abandoned for stream in streams] == [1, 1]


async def _handler(exchange: Exchange) -> web.StreamResponse:
    return web.Response()


def route(method: str, path: str) -> Route:
    return Route(method, path, Access.ANYBODY, _handler, Operation(id=path, tag="Models", summary=path))


class TestRouteTable:
    """Paths to routes."""

    def test_fixed_paths_win_over_variable_ones_and_values_do_not_name_the_route(self) -> None:
        table = RouteTable([route("GET", "/things/{name}"), route("GET", "/things/best")])
        assert table.match("GET", "/v1/things/best").template == "/v1/things/best"
        match = table.match("GET", "/api/v1/things/secret")
        assert (match.template, dict(match.params)) == ("/api/v1/things/{name}", {"name": "secret"})

    @pytest.mark.parametrize(
        "path", ["/", "", "/v1", "/v1/", "/v2/things/x", "/v1/things/", "/v1/things/x/y", "/things/x"]
    )
    def test_other_paths_are_not_found(self, path: str) -> None:
        with pytest.raises(HttpError) as raised:
            RouteTable([route("GET", "/things/{name}")]).match("GET", path)
        assert raised.value.status == 404

    def test_another_method_is_told_which_ones_there_are(self) -> None:
        table = RouteTable([route("GET", "/a"), route("POST", "/a"), route("DELETE", "/a/{b}")])
        assert table.match("HEAD", "/v1/a").route.method == "GET"
        for method, path, allow in (("PUT", "/v1/a", "GET, POST, HEAD"), ("GET", "/v1/a/b", "DELETE")):
            with pytest.raises(HttpError) as raised:
                table.match(method, path)
            assert (raised.value.status, raised.value.headers["Allow"]) == (405, allow)

    def test_errors_at_a_path_look_as_its_routes_say_whatever_the_method(self) -> None:
        def other(problem: Problem, generation_id: str | None) -> bytes:
            return b"other"

        special = replace(route("POST", "/a/{b}"), error_body=other)
        table = RouteTable([special, route("GET", "/a")])
        assert table.error_body_at("/v1/a/x") is other
        for path in ("/v1/a", "/v1/nothing"):
            assert table.error_body_at(path) is openrouter_error

    def test_the_same_route_twice_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="twice"):
            RouteTable([route("GET", "/a/{b}"), route("GET", "/a/{b}")])


REQUIRED: Mapping[str, str] = {
    "EDGE_ROUTER_TARGET": "127.0.0.1:1",
    "EDGE_ACCOUNTS_TARGET": "127.0.0.1:2",
    "EDGE_METERING_TARGET": "127.0.0.1:3",
    "EDGE_KEYS_PEPPER": "p" * 32,
    "EDGE_STATE_DIR": "state",
}


class TestSettings:
    """What the environment must and may say."""

    def test_what_is_required_is_enough(self) -> None:
        settings = load(Settings, REQUIRED)
        assert (settings.http.port, settings.http.body_limit) == (8080, 10 << 20)
        assert settings.keys.stale == timedelta(minutes=15)
        assert settings.state.dir == Path("state")

    def test_everything_that_is_missing_is_named_together(self) -> None:
        with pytest.raises(SettingsError) as raised:
            load(Settings, {})
        for name in REQUIRED:
            assert any(name in problem for problem in raised.value.problems)

    def test_a_short_pepper_is_refused_and_not_shown(self) -> None:
        with pytest.raises(SettingsError) as raised:
            load(Settings, {**REQUIRED, "EDGE_KEYS_PEPPER": "short-secret"})
        (problem,) = raised.value.problems
        assert problem.startswith("EDGE_KEYS_PEPPER")
        assert "short-secret" not in problem

    def test_the_readme_names_every_setting_of_the_edge(self) -> None:
        readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
        own = (
            "EDGE_HTTP",
            "EDGE_STREAM",
            "EDGE_ROUTER",
            "EDGE_ACCOUNTS",
            "EDGE_METERING",
            "EDGE_KEYS",
            "EDGE_CREDIT",
            "EDGE_STATE",
        )
        for name in environment_names(Settings):
            if name.startswith(own):
                assert f"`{name}`" in readme
