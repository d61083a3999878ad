"""Where things lie and where they listen: everything below one state folder, all on loopback."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from local.errors import LocalError

REPO = Path(__file__).resolve().parents[2]
MONITORING = REPO / "monitoring"
STATE = REPO / ".local"
LOOPBACK = "127.0.0.1"

#: The label of every series here; in a cluster it is the release's namespace.
NAMESPACE = "stocks"


@dataclass(frozen=True)
class Ports:
    """One option each: ``api`` is ``--api-port``."""

    api: int = 8000
    gateway: int = 4002
    control: int = 8081
    prometheus: int = 9090
    alertmanager: int = 9093
    logger: int = 9099
    exporter: int = 9100
    dash: int = 3000

    def require_free(self) -> None:
        """Raise LocalError for the first one that something listens on."""
        for field in fields(self):
            port = getattr(self, field.name)
            if _in_use(port):
                raise LocalError(
                    f"port {port} is in use on {LOOPBACK}: end what listens there, "
                    f"or choose another with --{field.name}-port"
                )


@dataclass(frozen=True)
class Place:
    """The state folder; all of it can be deleted while nothing runs."""

    state: Path

    def folder(self, name: str) -> Path:
        """A folder below it, made if it is not there."""
        path = self.state / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def thresholds(self) -> Path:
        """The AlertThreshold objects that were applied, a file each."""
        return self.folder("thresholds")

    @property
    def rules(self) -> Path:
        """What Prometheus loads: rendered, never edited."""
        return self.folder("prometheus/rules")

    def remember(self, ports: Ports) -> None:
        """For ``apply`` and ``delete``, which are typed in another terminal."""
        (self.folder(".") / "ports.json").write_text(json.dumps(asdict(ports)))

    def recall(self) -> Ports:
        """The ports of what runs here; LocalError where nothing ever ran."""
        try:
            return Ports(**json.loads((self.state / "ports.json").read_text()))
        except FileNotFoundError:
            raise LocalError(
                f"nothing ran in {self.state} yet: start it with `make local`"
            ) from None


def url(port: int, path: str = "") -> str:
    """An address on this machine."""
    return f"http://{LOOPBACK}:{port}{path}"


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are only fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return True
    return False
