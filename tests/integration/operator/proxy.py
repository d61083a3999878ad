"""Stands between the operator and a server: notes each request, and goes wrong on demand."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

#: No answer; a late one; a watch that says nothing; done, but the answer is lost; an old list.
HANG, SLOW, SILENT, DROP, STALE = "hang", "slow", "silent", "drop", "stale"
SLOW_SECONDS = 30
#: A watch that has expired; one that fails.
GONE, BROKEN = "gone", "broken"
ERRORS = {GONE: 410, BROKEN: 500}

JSON = "application/json"

#: In one namespace, or in all of them.
RESOURCE = re.compile(
    r"/(api/v1|apis/[^/]+/[^/]+)(/namespaces/[^/]+)?"
    r"/(?P<resource>[^/]+)(/(?P<name>[^/]+)(?P<sub>/[^/]+)?)?"
)


@dataclass(frozen=True)
class Request:
    """One request, and the status of its answer (0 while there is none)."""

    method: str
    path: str
    watch: bool
    status: int = 0

    @property
    def of_objects(self) -> bool:
        """Whether it is about objects, and not about what the API server knows."""
        return self._resource is not None

    @property
    def lists(self) -> bool:
        """Whether it asks for all objects of a kind."""
        return self.of_objects and self.verb[1] == "list"

    @property
    def namespace(self) -> str:
        """That of its object; empty where it is about all."""
        return self.path.partition("/namespaces/")[2].partition("/")[0]

    @property
    def _resource(self) -> re.Match[str] | None:
        return RESOURCE.fullmatch(self.path)

    @property
    def verb(self) -> tuple[str, str]:
        """Resource and verb, as RBAC names them; of an apply, what it came to."""
        found = self._resource
        assert found is not None, self.path
        resource = found["resource"] + (found["sub"] or "")
        if self.method == "GET":
            return resource, "watch" if self.watch else "get" if found["name"] else "list"
        verbs = {"POST": "create", "PATCH": "patch", "DELETE": "delete", "PUT": "update"}
        return resource, verbs[self.method]


@dataclass
class Proxy:
    """``fault`` says what to do to a request: an HTTP status, a kind of fault, or None."""

    upstream: str
    port: int = 0
    fault: Callable[[Request], int | str | None] = lambda _: None
    #: Told of each request that the server carried out, before the answer is passed on.
    done: Callable[[Request], None] = lambda _: None
    requests: list[Request] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    #: The first answer to each list.
    lists: dict[str, bytes] = field(default_factory=dict)
    stale: list[Request] = field(default_factory=list)
    _open: set[http.client.HTTPConnection] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def well(self) -> None:
        """From now on it only passes on."""
        self.fault = lambda _: None

    @contextmanager
    def connection(self) -> Iterator[http.client.HTTPConnection]:
        """To the server, until ``hang_up``: it doesn't end while a watch is open."""
        upstream = self._connection()
        upstream.connect()
        self._open.add(upstream)
        try:
            yield upstream
        finally:
            self._open.discard(upstream)
            upstream.close()

    def _connection(self) -> http.client.HTTPConnection:
        scheme, where, *_ = urlsplit(self.upstream)
        if scheme == "http":
            return http.client.HTTPConnection(where, timeout=600)
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(where, context=context, timeout=600)

    def hang_up(self) -> None:
        """End every connection to the server."""
        for upstream in list(self._open):
            with suppress(OSError):
                upstream.sock.shutdown(socket.SHUT_RDWR)

    def seen(self, method: str, resource: str) -> list[Request]:
        """The requests on a resource of a namespace."""
        return [r for r in self.requests if r.method == method and f"/{resource}" in r.path]


@contextmanager
def running_proxy(upstream: str) -> Iterator[Proxy]:
    proxy = Proxy(upstream)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.proxy, proxy.port = proxy, server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.stopped.set()
        server.shutdown()
        server.server_close()
        proxy.hang_up()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: Proxy


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nobody reads it."""

    def _pass_on(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = _request(self.command, self.path)
        fault = self.server.proxy.fault(request)
        with suppress(
            OSError, http.client.HTTPException
        ):  # whoever asked hung up, or the proxy is stopped
            if fault == SLOW:
                self._note(request, 0)
                self.server.proxy.stopped.wait(SLOW_SECONDS)
            if fault in (None, DROP, SLOW):
                self._forward(request, body, answer=fault != DROP)
            else:
                self._fail(request, fault)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on  # noqa: N815

    def _forward(self, request: Request, body: bytes, *, answer: bool) -> None:
        with self.server.proxy.connection() as upstream:
            names = ("Authorization", "Accept", "Content-Type")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            upstream.request(self.command, self.path, body or None, headers)
            response = upstream.getresponse()
            self._note(request, response.status)
            self.server.proxy.done(request)
            if answer:
                self._start(response.status, response.headers.get("Content-Type", ""))
                self._copy(request, response)

    def _copy(self, request: Request, response: http.client.HTTPResponse) -> None:
        if request.lists:
            body = response.read()
            self.server.proxy.lists.setdefault(request.path, body)
            self.wfile.write(body)
            return
        while chunk := response.read1(65536):
            if request.watch and self.server.proxy.fault(request) == SILENT:
                self.server.proxy.stopped.wait()
            self.wfile.write(chunk)

    def _fail(self, request: Request, fault: int | str) -> None:
        self._note(request, fault if isinstance(fault, int) else 0)
        if isinstance(fault, int):
            self._start(fault, JSON, ("Retry-After", "1"))
            status = {"kind": "Status", "apiVersion": "v1", "code": fault, "message": "fault"}
            self.wfile.write(json.dumps(status).encode())
        elif fault in ERRORS:
            self._start(200, JSON)
            error = {"kind": "Status", "code": ERRORS[fault], "reason": fault}
            self.wfile.write(json.dumps({"type": "ERROR", "object": error}).encode() + b"\n")
        elif fault == STALE:
            self._start(200, JSON)
            self.server.proxy.stale.append(request)
            self.wfile.write(self.server.proxy.lists[request.path])
        else:
            if fault == SILENT:
                self._start(200, JSON)
            self.server.proxy.stopped.wait()

    def _start(self, status: int, content: str, *more: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", content), ("Connection", "close"), *more):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()

    def _note(self, request: Request, status: int) -> None:
        self.server.proxy.requests.append(replace(request, status=status))


def _request(method: str, path: str) -> Request:
    parts = urlsplit(path)
    watch = parse_qs(parts.query).get("watch") == ["true"]
    return Request(method, parts.path, watch)
