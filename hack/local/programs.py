"""The programs: how each is called, and the files it needs."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from local.errors import LocalError
from local.place import LOOPBACK, MONITORING, REPO, Place, Ports, url
from local.processes import Program

KEPT_FOR = "3d"
#: Of Debian, as the Makefile has them.
PACKAGES = ("prometheus", "prometheus-alertmanager", "prometheus-node-exporter")


def all_programs(place: Place, ports: Ports) -> list[Program]:
    """In the order in which they are started."""
    write_keys(place)
    write_monitoring_config(place, ports)
    return [
        _simulator(ports),
        _api(place, ports),
        _node_exporter(ports),
        alert_logger(ports),
        alertmanager(place, ports),
        _prometheus(place, ports),
        _dash(ports),
    ]


def write_keys(place: Place) -> None:
    """A key for people in ``api-key``, made once; its hash in ``keys.yaml`` for the API."""
    plain, hashed = place.folder(".") / "api-key", place.state / "keys.yaml"
    if not plain.exists():
        plain.touch(mode=0o600)
        plain.write_text(secrets.token_urlsafe(32))
    digest = hashlib.sha256(plain.read_bytes()).hexdigest()
    if not hashed.exists() or digest not in hashed.read_text():
        hashed.write_text(f"keys: [{{name: local, sha256: {digest}, scopes: [read, trade]}}]\n")


def write_monitoring_config(place: Place, ports: Ports) -> None:
    """Copies of ``monitoring/*.yml`` with the addresses in them replaced, nothing else.

    The name ``stocks-fastapi`` in the original would need a line in /etc/hosts, and root for it.
    """
    addresses = {
        "stocks-fastapi:8000": ports.api,
        "localhost:9093": ports.alertmanager,
        "localhost:9099": ports.logger,
        "localhost:9100": ports.exporter,
    }
    for name in ("prometheus", "alertmanager"):
        text = (MONITORING / f"{name}.yml").read_text()
        for theirs, port in addresses.items():
            text = re.sub(rf"(\[|//){theirs}\b", rf"\g<1>{LOOPBACK}:{port}", text)
        (place.folder(name) / f"{name}.yml").write_text(text)
    shutil.copy(MONITORING / "gateway-mode.yml", place.folder("prometheus"))


def _simulator(ports: Ports) -> Program:
    settings = {
        "SIMULATOR_HOST": LOOPBACK,
        "SIMULATOR_PORT": str(ports.gateway),
        "SIMULATOR_CONTROL_HOST": LOOPBACK,
        "SIMULATOR_CONTROL_PORT": str(ports.control),
    }
    command = [sys.executable, "-m", "gateway_simulator"]
    ready = url(ports.control, "/healthz")
    return Program("simulator", command, ready, _environment("simulator", settings))


def _api(place: Place, ports: Ports) -> Program:
    settings = {
        "STOCKS_HOST": LOOPBACK,
        "STOCKS_PORT": str(ports.api),
        "STOCKS_GATEWAY_MODE": "simulated",
        "STOCKS_GATEWAY_HOST": LOOPBACK,
        "STOCKS_GATEWAY_PORT": str(ports.gateway),
        "STOCKS_DATABASE_URL": f"sqlite+aiosqlite:///{place.state / 'stocks.db'}",
        "STOCKS_API_KEYS_FILE": str(place.state / "keys.yaml"),
    }
    command = [sys.executable, "-m", "stocks_api"]
    return Program("api", command, url(ports.api, "/healthz"), _environment("app", settings))


def _prometheus(place: Place, ports: Ports) -> Program:
    folder = place.folder("prometheus")
    command = [
        _find("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={KEPT_FOR}",
        f"--web.listen-address={LOOPBACK}:{ports.prometheus}",
        "--web.enable-lifecycle",  # a reload answers with what is wrong; SIGHUP would not
    ]
    return Program("prometheus", command, url(ports.prometheus, "/-/ready"), dict(os.environ))


def _dash(ports: Ports) -> Program:
    """The dashboards; Prometheus is asked through it."""
    options = ["--prometheus", url(ports.prometheus), "--port", str(ports.dash)]
    command = [sys.executable, "-m", "monitoring.dash", *options]
    return Program("dash", command, url(ports.dash, "/healthz"), _environment(".", {}))


def _node_exporter(ports: Ports) -> Program:
    command = [
        _find("prometheus-node-exporter", "node_exporter"),
        f"--web.listen-address={LOOPBACK}:{ports.exporter}",
    ]
    return Program("node-exporter", command, url(ports.exporter), dict(os.environ))


def alert_logger(ports: Ports) -> Program:
    """The receiver of every notification: it prints them."""
    script = str(REPO / "examples" / "alertmanager" / "alert_logger.py")
    command = [sys.executable, script, "--host", LOOPBACK, "--port", str(ports.logger)]
    return Program("alert-logger", command, url(ports.logger), dict(os.environ))


def alertmanager(place: Place, ports: Ports) -> Program:
    """Alertmanager, alone, with its copy of our configuration."""
    folder = place.folder("alertmanager")
    command = [
        _find("prometheus-alertmanager", "alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{ports.alertmanager}",
        "--cluster.listen-address=",  # alone: no port for peers
    ]
    return Program("alertmanager", command, url(ports.alertmanager, "/-/ready"), dict(os.environ))


def _find(*names: str) -> str:
    """The first of these programs on PATH (Debian has its own name for alertmanager)."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise LocalError(f"{names[0]} is missing: run `hack/debian-packages {' '.join(PACKAGES)}`")


def _environment(package_folder: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Ours without what the user may have set for another gateway: a live one, at worst."""
    prefixes = ("STOCKS_", "SIMULATOR_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(prefixes)}
    return {**inherited, "PYTHONPATH": str(Path(REPO, package_folder)), **settings}
