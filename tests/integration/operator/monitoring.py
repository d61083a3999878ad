"""A real Prometheus with the chart's rules for one namespace, and the metrics that they read."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from tests.ports import free_ports
from tests.waiting import eventually

from threshold_operator.model.catalogue import Catalogue
from threshold_operator.promql.rules import Group, alert_group
from threshold_operator.promql.series import EFFECTIVE
from threshold_operator.promql.text import rule_file

CATALOGUE = Catalogue.load(
    Path(__file__).parents[3] / "charts" / "stocks-fastapi" / "files" / "catalogue.yaml"
)


class Monitoring:
    """Prometheus, its rules folder, and what is scraped."""

    def __init__(self, folder: Path, metrics: dict[str, float], target: str, port: int) -> None:
        program = shutil.which("prometheus")
        assert program, "Prometheus is missing: `make integration` installs it"
        self.port, self.url = port, f"http://127.0.0.1:{port}"
        self.metrics = metrics
        self.rules = folder / "rules"
        self.rules.mkdir()
        self._log = folder / "prometheus.log"
        self._command = [
            program,
            f"--config.file={_configuration(folder, self.rules, target)}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
        ]

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        eventually(self._readiness, lambda text: text == "200", within=60, every=0.2)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _readiness(self) -> str:
        try:
            return str(httpx.get(f"{self.url}/-/ready", timeout=10).status_code)
        except httpx.HTTPError:
            return self._log.read_text()[-500:]

    def load(self, name: str, *groups: Group) -> None:
        """A rule file, with seconds instead of minutes."""
        (self.rules / f"{name}.yaml").write_text(rule_file(map(_quick, groups)))
        self.reload()

    def unload(self, name: str) -> None:
        (self.rules / f"{name}.yaml").unlink()
        self.reload()

    def reload(self) -> None:
        httpx.post(f"{self.url}/-/reload", timeout=30).raise_for_status()

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expr}, timeout=30)
        found = answer.json()["data"]["result"]
        return [(series["metric"], float(series["value"][1])) for series in found]

    def move(self, which: str, by: float) -> None:
        """Change the metrics whose name holds ``which``."""
        for name in self.metrics:
            if which in name:
                self.metrics[name] += by

    def wait_for(self, expr: str) -> None:
        eventually(lambda: self.query(expr), bool, within=60, every=0.3)


def _quick(group: Group) -> Group:
    return {**group, "interval": "1s"}


def _impatient(group: Group) -> Group:
    rules = [{**rule, "for": "1s"} if "for" in rule else rule for rule in group["rules"]]
    return {**group, "rules": rules}


@contextmanager
def running_prometheus(folder: Path, namespace: str, port: int = 0) -> Iterator[Monitoring]:
    """Up, with every rule evaluated and the positions scraped twice, so that a move is one."""
    metrics = _quiet_market(namespace)
    with ExitStack() as stack:
        target = stack.enter_context(exporter(lambda: metrics))
        monitoring = Monitoring(folder, metrics, target, port or free_ports(1)[0])
        monitoring.start()
        stack.callback(monitoring.stop)
        chart = (_impatient(alert_group(entry, namespace)) for entry in CATALOGUE)
        monitoring.load("chart", *chart)
        monitoring.wait_for(EFFECTIVE)
        monitoring.wait_for("stocks:pnl_move:ratio")
        yield monitoring


def _quiet_market(namespace: str) -> dict[str, float]:
    """Two positions that don't move, and a gateway that answers."""
    own = f'namespace="{namespace}"'
    return {
        f"ib_last_roundtrip_timestamp_seconds{{{own}}}": time.time() + 3600,
        f'position_pnl_unrealized{{{own},symbol="TSLA"}}': 1000.0,
        f'position_pnl_unrealized{{{own},symbol="AAPL"}}': 1000.0,
        f"account_net_liquidation{{{own}}}": 100000.0,
    }


def _configuration(folder: Path, rules: Path, target: str) -> Path:
    scrape = {
        "job_name": "api",
        "honor_labels": True,
        "scrape_interval": "1s",
        "static_configs": [{"targets": [target]}],
    }
    content: dict[str, Any] = {
        "global": {"evaluation_interval": "1s"},
        "rule_files": [f"{rules}/*.yaml"],
        "scrape_configs": [scrape],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(content))
    return path


@contextmanager
def exporter(metrics: Callable[[], dict[str, float]]) -> Iterator[str]:
    """Serves the metrics as they are at the moment; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = "".join(f"{name} {value}\n" for name, value in metrics().items())
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as exporter:
        thread = threading.Thread(target=exporter.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{exporter.server_port}"
        exporter.shutdown()
        thread.join()
