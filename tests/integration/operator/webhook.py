"""A mutating admission webhook that notes something on each PrometheusRule which is written."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.operator.apiserver import ApiServer
from tests.waiting import eventually

#: Another value at each write; a label that only comes at the creation.
CALLS, BORN = "webhook.example/calls", "webhook.example/born"


@contextmanager
def annotating(server: ApiServer, namespace: str, folder: Path) -> Iterator[list[str]]:
    """The operations that it was asked about, in one namespace."""
    certificate = _certificate(folder)
    with _listening(certificate) as (url, operations):
        configuration = _configuration(f"{namespace}.webhook.example", namespace, url, certificate)
        server.apply(namespace, configuration)
        try:
            # The API server learns of it in a moment of its own.
            eventually(lambda: _try(server, namespace, operations), bool, within=60, every=0.2)
            operations.clear()
            yield operations
        finally:
            name = configuration["metadata"]["name"]
            server.kubectl(namespace, "delete", "mutatingwebhookconfiguration", name)


def _try(server: ApiServer, namespace: str, operations: list[str]) -> int:
    """How often it was asked by now; nothing is stored."""
    meta = {"name": "tried", "labels": {"a": "b"}, "annotations": {"a": "b"}}
    head = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule"}
    text = json.dumps({**head, "metadata": meta, "spec": {}})
    server.kubectl(namespace, "create", "--dry-run=server", "-f", "-", stdin=text)
    return len(operations)


def _certificate(folder: Path) -> Path:
    """A certificate that vouches for itself; its key lies beside it."""
    path = folder / "webhook.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=webhook", "-addext", "subjectAltName=IP:127.0.0.1"]
    where = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([*request, *name, *where], check=True, capture_output=True)
    return path


def _configuration(name: str, namespace: str, url: str, certificate: Path) -> dict[str, Any]:
    rule = {
        "apiGroups": ["monitoring.coreos.com"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["prometheusrules"],
    }
    webhook = {
        "name": name,
        "clientConfig": {
            "url": url,
            "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
        },
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }


@contextmanager
def _listening(certificate: Path) -> Iterator[tuple[str, list[str]]]:
    operations: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            operations.append(request["operation"])
            answer = json.dumps(_review(request, len(operations))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.server_port}/", operations
        listener.shutdown()
        thread.join()


def _review(request: dict[str, Any], calls: int) -> dict[str, Any]:
    patch = [_addition("annotations", CALLS, str(calls))]
    if request["operation"] == "CREATE":
        patch.append(_addition("labels", BORN, "true"))
    response = {
        "uid": request["uid"],
        "allowed": True,
        "patchType": "JSONPatch",
        "patch": base64.b64encode(json.dumps(patch).encode()).decode(),
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}


def _addition(where: str, key: str, value: str) -> dict[str, str]:
    """Each rule of ours has labels and annotations already."""
    path = f"/metadata/{where}/{key.replace('/', '~1')}"
    return {"op": "add", "path": path, "value": value}
