"""Values that can't work are refused before anything reaches the cluster, and named."""

from __future__ import annotations

import pytest
from tests.unit.chart.conftest import CHART, KUBE_VERSION, Helm

PAPER = ("gateway.mode=paper", "gateway.host=gw", "simulator.enabled=false")
LIVE = ("gateway.mode=live", "gateway.host=gw", "simulator.enabled=false")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param(settings, message, id=sentence)
        for sentence, settings, message in [
            (
                "a mode nobody knows",
                ("gateway.mode=demo",),
                "at '/gateway/mode': value must be one of 'simulated', 'paper', 'live'",
            ),
            (
                "live without the second yes",
                LIVE,
                "at '/gateway/liveTrading/enabled': value must be true",
            ),
            (
                "the second yes without live",
                ("gateway.liveTrading.enabled=true",),
                "at '/gateway/liveTrading/enabled': value must be false",
            ),
            (
                "the second yes with paper",
                (*PAPER, "gateway.liveTrading.enabled=true"),
                "at '/gateway/liveTrading/enabled': value must be false",
            ),
            (
                "paper beside the simulator",
                ("gateway.mode=paper", "gateway.host=gw"),
                "at '/simulator/enabled': value must be false",
            ),
            (
                "paper without a host",
                ("gateway.mode=paper", "simulator.enabled=false"),
                "at '/gateway/host': minLength: got 0, want 1",
            ),
            (
                "live beside the simulator",
                ("gateway.mode=live", "gateway.host=gw", "gateway.liveTrading.enabled=true"),
                "at '/simulator/enabled': value must be false",
            ),
            (
                "simulated without the simulator",
                ("simulator.enabled=false",),
                "at '/simulator/enabled': value must be true",
            ),
            (
                "simulated with the host of a real gateway",
                ("gateway.host=gw",),
                "at '/gateway/host': value must be ''",
            ),
            (
                "paper on the port of a live account",
                (*PAPER, "gateway.port=4001"),
                "gateway.port: 4001 is a live account's port, but gateway.mode is paper",
            ),
            (
                "live on the port of a paper account",
                (*LIVE, "gateway.liveTrading.enabled=true", "gateway.port=7497"),
                "gateway.port: 7497 is a paper account's port, but gateway.mode is live",
            ),
            (
                "a Prometheus object of no namespace",
                ("operator.prometheus.namespace=",),
                "at '/operator/prometheus/namespace': minLength: got 0, want 1",
            ),
            (
                "two replicas on SQLite",
                ("api.replicas=2",),
                "at '/api/database/existingSecret': minLength: got 0, want 1",
            ),
            (
                "no replica",
                ("api.replicas=0",),
                "at '/api/replicas': minimum: got 0, want 1",
            ),
            (
                "a misspelt section",
                ("monitorng.enabled=false",),
                "additional properties 'monitorng' not allowed",
            ),
            (
                "a misspelt word for a word",
                ("monitoring.enabled=ture",),
                "at '/monitoring/enabled': got string, want boolean",
            ),
            (
                "a node port without NodePort",
                ("api.service.nodePort=30800",),
                "at '/api/service/type': value must be 'NodePort'",
            ),
            (
                "a node port beyond all ports",
                ("api.service.type=NodePort", "api.service.nodePort=70000"),
                "at '/api/service/nodePort'",
            ),
            ("no symbols", ("api.symbols=null",), "at '/api': missing property 'symbols'"),
            ("a symbol in small letters", ("api.symbols={aapl}",), "at '/api/symbols/0': 'aapl'"),
            (
                "a calendar that is a sentence",
                ("api.calendar=New York",),
                "at '/api/calendar': 'New York' does not match",
            ),
            (
                "no refused key at all",
                ("api.authFailuresPerMinute=0",),
                "at '/api/authFailuresPerMinute': minimum: got 0, want 1",
            ),
            (
                "a volume without a unit",
                ("api.persistence.size=10",),
                "at '/api/persistence/size'",
            ),
            (
                "a scrape interval in minutes",
                ("monitoring.scrapeInterval=1m",),
                "at '/monitoring/scrapeInterval': '1m' does not match",
            ),
            (
                "a Prometheus without a scheme",
                ("operator.prometheusUrl=prometheus:9090",),
                "at '/operator/prometheusUrl': 'prometheus:9090' does not match",
            ),
        ]
    ],
)
def test_refused(helm: Helm, settings: tuple[str, ...], message: str) -> None:
    assert message in helm.refusal(*settings)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param((), id="the defaults"),
        pytest.param(PAPER, id="paper"),
        pytest.param((*PAPER, "gateway.port=4004"), id="paper in a container image"),
        pytest.param((*LIVE, "gateway.liveTrading.enabled=true"), id="live, said twice"),
        pytest.param(("api.service.type=NodePort", "api.service.nodePort=30800"), id="node port"),
        pytest.param(("global.anything=1",), id="as a dependency of another chart"),
        pytest.param(("operator.prometheusUrl=",), id="no Prometheus to ask"),
        pytest.param(("api.calendar=24/7",), id="an exchange that never closes"),
        pytest.param(("api.calendar=",), id="no calendar"),
        pytest.param(
            ("api.replicas=2", "api.database.existingSecret=db"), id="two replicas on PostgreSQL"
        ),
    ],
)
def test_accepted(helm: Helm, settings: tuple[str, ...]) -> None:
    assert helm.render(*settings)


def test_lint_is_strict_and_clean(helm: Helm) -> None:
    done = helm.run("lint", "--strict", "--kube-version", KUBE_VERSION, str(CHART))
    assert done.returncode == 0, done.stdout + done.stderr
