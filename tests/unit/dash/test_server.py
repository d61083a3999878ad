"""The page's server: what it answers, what it asks Prometheus, and whom it turns away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port
from monitoring.dash.server import PAGE, DashboardsError, application, load
from yarl import URL

Client = TestClient[web.Request, web.Application]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for uid, title in (("second", "Zebras"), ("first", "Ants")):
        board = {"uid": uid, "title": title, "panels": []}
        (tmp_path / f"{uid}.json").write_text(json.dumps(board))
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[Client]:
    """In front of a Prometheus that says what it was asked."""

    async def said(request: web.Request) -> web.Response:
        asked = {"path": request.path, "query": sorted(request.query.items())}
        return web.json_response(asked, status=400 if "bad" in request.query_string else 200)

    upstream = web.Application()
    upstream.router.add_get("/{path:.*}", said)
    async with TestServer(upstream) as prometheus:
        app = application(URL(f"http://127.0.0.1:{prometheus.port}"), folder)
        async with TestClient(TestServer(app)) as client:
            yield client


async def test_dash_leads_to_the_first_dashboard_by_title(client: Client) -> None:
    answer = await client.get("/dash", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (302, "/dash/d/first")
    assert await (await client.get("/dash/dashboards")).json() == [
        {"uid": "first", "title": "Ants"},
        {"uid": "second", "title": "Zebras"},
    ]


async def test_an_unknown_dashboard_is_refused_with_those_that_there_are(client: Client) -> None:
    for path in ("/dash/d/third", "/dash/dashboards/third"):
        answer = await client.get(path)
        assert answer.status == 404
        assert "there are first, second" in await answer.text()


async def test_prometheus_is_asked_what_it_may_be_asked_and_no_more(client: Client) -> None:
    asked = {"query": "up", "start": "1", "end": "2", "step": "15", "timeout": "9h", "x": "y"}
    answer = await client.get("/dash/api/v1/query_range", params=asked)
    assert await answer.json() == {
        "path": "/api/v1/query_range",
        "query": [["end", "2"], ["query", "up"], ["start", "1"], ["step", "15"]],
    }
    for path in ("admin/tsdb/delete_series", "status/config", "labels"):
        assert (await client.get(f"/dash/api/v1/{path}")).status == 404
    assert (await client.post("/dash/api/v1/query", data={"query": "up"})).status == 405


async def test_prometheus_own_complaint_reaches_the_page(client: Client) -> None:
    answer = await client.get("/dash/api/v1/query", params={"query": "bad("})
    assert answer.status == 400
    assert (await answer.json())["query"] == [["query", "bad("]]


async def test_a_prometheus_that_is_away_is_named(folder: Path) -> None:
    away = URL(f"http://127.0.0.1:{unused_port()}")
    async with TestClient(TestServer(application(away, folder))) as client:
        answer = await client.get("/dash/api/v1/query", params={"query": "up"})
        assert answer.status == 502
        assert f"Prometheus at {away} does not answer" in await answer.text()


async def test_another_name_than_loopbacks_is_turned_away(client: Client) -> None:
    for host in ("evil.example", "10.0.0.1:3000"):
        assert (await client.get("/dash/dashboards", headers={"Host": host})).status == 403
    for host in ("localhost:3000", "127.0.0.1", "[::1]:3000"):
        assert (await client.get("/dash/dashboards", headers={"Host": host})).status == 200


async def test_nothing_but_our_own_scripts_may_run(client: Client) -> None:
    for path in ("/dash/d/first", "/dash/page/main.js", "/dash/dashboards"):
        policy = (await client.get(path)).headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy
    page = (PAGE / "index.html").read_text()
    assert "<script>" not in page
    assert "style=" not in page


async def test_files_outside_of_the_page_stay_there(client: Client) -> None:
    for path in ("%2e%2e/server.py", "..%2fserver.py", "%2fetc/passwd"):
        assert (await client.get(URL(f"/dash/page/{path}", encoded=True))).status in (403, 404)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"uid": "x", "title": "y"}'])
def test_a_file_that_is_no_dashboard_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(DashboardsError, match=r"odd.json: not a dashboard"):
        load(tmp_path)


def test_a_folder_without_dashboards_is_named(tmp_path: Path) -> None:
    with pytest.raises(DashboardsError, match="no dashboards"):
        load(tmp_path)
