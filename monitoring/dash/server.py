"""Serves the page below ``/dash``: its files, the dashboards, and a read-only way to Prometheus.

It needs no rights and keeps nothing. Only loopback names are answered, so that no page of the
internet can read through a visitor's browser (DNS rebinding).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

PAGE = Path(__file__).parent / "page"
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
#: What may be asked, and with which parameters.
QUESTIONS = {
    "query": ("query", "time"),
    "query_range": ("query", "start", "end", "step"),
    "series": ("match[]", "start", "end"),
}
ASK_SECONDS = 30.0
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PROMETHEUS = web.AppKey("prometheus", URL)
SESSION = web.AppKey("session", ClientSession)
DASHBOARDS = web.AppKey("dashboards", dict[str, Json])


class DashboardsError(ValueError):
    """The folder holds no dashboards, or something else."""


def application(prometheus: URL, folder: Path) -> web.Application:
    """The whole site.

    :raises DashboardsError: naming the folder or the file that can't be used.
    """
    app = web.Application(middlewares=[_guarded])
    app[PROMETHEUS], app[DASHBOARDS] = prometheus, load(folder)
    app.cleanup_ctx.append(_session)
    app.add_routes(
        [
            web.get("/healthz", _healthz),
            web.get("/dash", _home),
            web.get("/dash/", _home),
            web.get("/dash/d/{uid}", _page),
            web.get("/dash/dashboards", _list),
            web.get("/dash/dashboards/{uid}", _dashboard),
            web.get("/dash/api/v1/{question}", _ask),
            web.static("/dash/page", PAGE),
        ]
    )
    return app


def load(folder: Path) -> dict[str, Json]:
    """Dashboards by uid, in the order of their titles."""
    found = [_read(path) for path in sorted(folder.glob("*.json"))]
    if not found:
        raise DashboardsError(f"{folder}: no dashboards (*.json) there")
    return {board["uid"]: board for board in sorted(found, key=lambda board: board["title"])}


def _read(path: Path) -> Json:
    try:
        board: Json = json.loads(path.read_text())
        board["uid"], board["title"], board["panels"]  # what nothing below works without
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DashboardsError(f"{path}: not a dashboard: {error!r}") from error
    return board


async def _session(app: web.Application) -> AsyncIterator[None]:
    async with ClientSession(timeout=ClientTimeout(ASK_SECONDS)) as session:
        app[SESSION] = session
        yield


@web.middleware
async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.url.host not in LOOPBACK:
        raise web.HTTPForbidden(text="only 127.0.0.1 and localhost are served\n", headers=HEADERS)
    response = await handler(request)
    response.headers.update(HEADERS)
    return response


async def _healthz(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _home(request: web.Request) -> web.Response:
    boards = request.app[DASHBOARDS]
    first = next(iter(boards))
    raise web.HTTPFound(f"/dash/d/{first}", headers=HEADERS)


async def _page(request: web.Request) -> web.FileResponse:
    _known(request)
    return web.FileResponse(PAGE / "index.html")


async def _list(request: web.Request) -> web.Response:
    boards = request.app[DASHBOARDS].values()
    return web.json_response([{"uid": b["uid"], "title": b["title"]} for b in boards])


async def _dashboard(request: web.Request) -> web.Response:
    return web.json_response(_known(request))


def _known(request: web.Request) -> Json:
    uid = request.match_info["uid"]
    boards = request.app[DASHBOARDS]
    if uid not in boards:
        known = ", ".join(boards)
        raise web.HTTPNotFound(text=f"no such dashboard; there are {known}\n", headers=HEADERS)
    return boards[uid]


async def _ask(request: web.Request) -> web.Response:
    """Prometheus' own answer, errors of the query included."""
    question = request.match_info["question"]
    if question not in QUESTIONS:
        raise web.HTTPNotFound(text=f"only {', '.join(QUESTIONS)}\n", headers=HEADERS)
    given = [
        (name, value) for name in QUESTIONS[question] for value in request.query.getall(name, [])
    ]
    address = request.app[PROMETHEUS] / "api/v1" / question
    try:
        async with request.app[SESSION].get(address, params=given) as answer:
            body = await answer.read()
            return web.Response(body=body, status=answer.status, content_type=answer.content_type)
    except (ClientError, TimeoutError) as error:
        text = f"Prometheus at {request.app[PROMETHEUS]} does not answer: {error!r}\n"
        raise web.HTTPBadGateway(text=text, headers=HEADERS) from error
