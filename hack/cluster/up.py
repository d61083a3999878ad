"""`make up`: tools, cluster, monitoring, chart, and then where everything is."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from http.client import HTTPException

from cluster import monitoring, tools
from cluster.deploy import PARTS, deploy
from cluster.kind import NAMESPACE, Target, ensure_cluster
from cluster.kit import ensure_kit
from cluster.locks import only_one
from cluster.release import Release, chart_exists
from cluster.steps import ClusterError, Progress

GRAFANA = f"{monitoring.STACK}-grafana"
# The host ports of kind-config.yaml.
API = "http://127.0.0.1:8000"
PROMETHEUS = "http://127.0.0.1:9090"
ALERTMANAGER = "http://127.0.0.1:9093"
# Grafana where there is one, else our own page.
DASHBOARDS = "http://127.0.0.1:3000"
ANSWER_SECONDS = 60
NEXT = "kubectl apply -f examples/rejection-rate.yaml"
KEY_COMMAND = (
    f"kubectl -n {NAMESPACE} get secret stocks-api-keys -o jsonpath='{{.data.key}}' | base64 -d"
)
NO_GRAFANA = [
    f"Dashboards     {DASHBOARDS}/dash",
    "               (no Grafana: it cannot be built from language packages. Any will do: give it",
    f"               {PROMETHEUS} and import charts/stocks-fastapi/files/dashboards/*.json)",
]


def up(progress: Progress) -> str:
    """Everything runs when this returns; the text to end with."""
    target = Target(ensure_kit(progress))
    with only_one(f"cluster-{target.name}", progress):
        ensure_cluster(target, progress)
        deploy(target, Release(), progress, PARTS)
    wait_for_answers(progress)
    return summary(target, progress.seconds())


def wait_for_answers(progress: Progress) -> None:
    """Until all that the summary names answers here: a new Service takes a second or two."""
    urls = [PROMETHEUS + "/-/ready", ALERTMANAGER + "/-/ready"]
    urls += [API + "/healthz", DASHBOARDS + "/healthz"] if chart_exists() else []
    with progress.step("answers on 127.0.0.1"):
        deadline = time.monotonic() + ANSWER_SECONDS
        while silent := [url for url in urls if fetch(url) is None]:
            if time.monotonic() > deadline:
                raise ClusterError(f"no answer from {', '.join(silent)}", "kubectl get pods -A")
            time.sleep(0.5)


def fetch(url: str) -> bytes | None:
    """The body of an answer with a good status; None where there is none."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (our own addresses)
            body: bytes = answer.read()
            return body
    except (OSError, HTTPException):
        return None


def summary(target: Target, seconds: float) -> str:
    """Where everything is, which gateway is in use, what to type next."""
    api = api_lines() if chart_exists() else ["API            not installed: there is no chart yet"]
    lines = [
        "",
        *api,
        f"Prometheus     {PROMETHEUS}",
        f"Alertmanager   {ALERTMANAGER}",
        *grafana(target),
        *path_hint(),
        "",
        f"{target.context} is ready after {seconds:.0f} s. Next:",
        f"  {NEXT}",
    ]
    return "\n".join(lines)


def api_lines() -> list[str]:
    """Gateway, documentation and key of the API."""
    return [
        f"Gateway: {gateway()}",
        f"API            {API}/docs",
        f"API key        {KEY_COMMAND}",
    ]


def gateway() -> str:
    """What the API itself says it trades through, in capitals."""
    health = json.loads(fetch(API + "/healthz") or b"{}")
    return str(health.get("gateway", "unknown")).upper()


def grafana(target: Target) -> list[str]:
    """How to open Grafana, or why there is none and what to do instead."""
    inside = ("--namespace", monitoring.NAMESPACE)
    ask = target.kubectl("get", f"service/{GRAFANA}", *inside)
    if subprocess.run(ask, capture_output=True, check=False).returncode:
        return NO_GRAFANA
    get = f"kubectl -n {monitoring.NAMESPACE}"
    password = f"get secret {GRAFANA} -o jsonpath='{{.data.admin-password}}' | base64 -d"
    return [
        f"Dashboards     {DASHBOARDS} (Grafana)",
        f"               user admin, password: {get} {password}",
    ]


def path_hint() -> list[str]:
    """The line to type where our programs could not be linked into a folder on PATH."""
    left = tools.offer(("kind", "kubectl", "helm"))
    if not left:
        return []
    return ["", f"not on PATH: {', '.join(left)}; type  {tools.path_line()}"]
