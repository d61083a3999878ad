"""Row g: Prometheus behind a token, headers, certificates or a proxy, over real sockets."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from ssl import CERT_REQUIRED, PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from threshold_operator.evidence.access import Access, AccessDeniedError, PrometheusError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, tls: SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    yield str(server.make_url("/"))
    await server.close()


@asynccontextmanager
async def access(folder: Path | None, proxy: str = "") -> AsyncIterator[Access]:
    async with aiohttp.ClientSession() as session:
        yield Access(session, folder, proxy)


async def headers(request: web.Request) -> web.Response:
    return web.json_response(dict(request.headers))


async def test_the_token_and_headers_are_sent_and_read_again_when_rotated(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers" / "X-Scope-OrgID").write_text("desk")
    async with serving(headers) as url, access(tmp_path) as asked:
        _, seen = await asked.get(url, [])
        assert (seen["Authorization"], seen["X-Scope-OrgID"]) == ("Bearer first", "desk")
        (tmp_path / "token").write_text("second")
        _, seen = await asked.get(url, [])
        assert seen["Authorization"] == "Bearer second"
        (tmp_path / "token").unlink()
        assert "Authorization" not in (await asked.get(url, []))[1]


@pytest.mark.parametrize(
    ("status", "words"), [(401, "wants credentials"), (403, "refuses these credentials")]
)
async def test_who_is_refused_is_told_apart_from_who_gets_no_answer(
    status: int, words: str
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status, text="no entry")

    async with serving(refuse) as url, access(None) as asked:
        with pytest.raises(AccessDeniedError, match=words) as refused:
            await asked.get(url, [])
    assert "operator.prometheusAccess" in str(refused.value)
    async with access(None) as asked:
        with pytest.raises(PrometheusError, match="Cannot connect") as lost:
            await asked.get("http://127.0.0.1:1/", [])
    assert not isinstance(lost.value, AccessDeniedError)


async def test_requests_go_through_the_proxy() -> None:
    async def proxy(request: web.Request) -> web.Response:
        return web.json_response({"asked": request.raw_path})

    async with serving(proxy) as url, access(None, proxy=url) as asked:
        _, seen = await asked.get("http://prometheus.example:9090/api/v1/rules", [])
    assert seen == {"asked": "http://prometheus.example:9090/api/v1/rules"}


def certificate(folder: Path, name: str, *more: str) -> None:
    """A key and a self-signed certificate for a host name."""
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ("-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")
    files = ("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt"))
    subprocess.run([*command, "-nodes", *names, *files, *more], check=True, capture_output=True)


def server_tls(folder: Path, name: str, clients: Path | None = None) -> SSLContext:
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
    if clients:
        tls.verify_mode = CERT_REQUIRED
        tls.load_verify_locations(clients)
    return tls


async def test_an_authority_of_its_own_is_trusted_by_the_name_of_the_service(
    tmp_path: Path,
) -> None:
    certificate(tmp_path, "main.monitoring")
    tls = server_tls(tmp_path, "main.monitoring")
    async with serving(headers, tls) as url, access(tmp_path) as asked:
        with pytest.raises(PrometheusError, match="certificate"):
            await asked.get(url, [], "main.monitoring")
        (tmp_path / "ca.crt").write_bytes((tmp_path / "main.monitoring.crt").read_bytes())
        status, _ = await asked.get(url, [], "main.monitoring")
        assert status == 200
        with pytest.raises(PrometheusError, match="certificate"):
            await asked.get(url, [], "another.name")


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    certificate(tmp_path, "main.monitoring")
    certificate(tmp_path, "operator")
    (tmp_path / "ca.crt").write_bytes((tmp_path / "main.monitoring.crt").read_bytes())
    tls = server_tls(tmp_path, "main.monitoring", clients=tmp_path / "operator.crt")

    async def status(asked: Access, url: str) -> Any:
        return (await asked.get(url, [], "main.monitoring"))[0]

    async with serving(headers, tls) as url:
        async with access(tmp_path) as asked:
            with pytest.raises(PrometheusError):
                await status(asked, url)
        (tmp_path / "tls.crt").write_bytes((tmp_path / "operator.crt").read_bytes())
        (tmp_path / "tls.key").write_bytes((tmp_path / "operator.key").read_bytes())
        async with access(tmp_path) as asked:
            assert await status(asked, url) == 200


async def test_a_certificate_that_can_t_be_read_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("nonsense")
    async with access(tmp_path) as asked:
        with pytest.raises(PrometheusError, match=r"certificates of operator\.prometheusAccess"):
            await asked.get("https://127.0.0.1:1/", [])
