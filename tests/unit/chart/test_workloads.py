"""What runs: restricted pods, no key inside them, and the gateway that the values name."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from tests.unit.chart.conftest import CHART, Helm, Manifest, names, only, pod_specs

Find = Callable[[str, str], Manifest]

PAPER = ("gateway.mode=paper", "gateway.host=gw.desk", "simulator.enabled=false")
LIVE = ("gateway.mode=live", "gateway.host=gw.desk", "simulator.enabled=false")


def environment(manifests: list[Manifest], deployment: str) -> dict[str, Any]:
    container = only(manifests, "Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    return {item["name"]: item.get("value", item.get("valueFrom")) for item in container[0]["env"]}


@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        (("operator.enabled=false",), "operator"),
        (("monitoring.enabled=false",), "ServiceMonitor"),
        (("monitoring.enabled=false",), "PrometheusRule"),
        (("monitoring.enabled=false",), "stocks-dashboard-"),
        (("monitoring.dashboards.enabled=false",), "stocks-dashboard-"),
        (PAPER, "stocks-gateway"),
        (("api.persistence.enabled=false",), "PersistentVolumeClaim"),
        (("api.database.existingSecret=db",), "PersistentVolumeClaim"),
        (("api.auth.existingSecret=keys",), "api-keys"),
    ],
)
def test_renders_nothing_when_disabled(
    helm: Helm, settings: tuple[str, ...], absent: str, default: list[Manifest]
) -> None:
    assert any(absent in name for name in names(default)) or absent == "operator"
    assert not [name for name in names(helm.render(*settings)) if absent in name]


@pytest.mark.parametrize("settings", [(), PAPER, ("api.database.existingSecret=db",)])
def test_every_pod_meets_the_restricted_standard(helm: Helm, settings: tuple[str, ...]) -> None:
    for name, pod in pod_specs(helm.render(*settings)).items():
        security = pod["securityContext"]
        assert security["runAsNonRoot"], name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert "memory" in container["resources"]["limits"], name


def test_only_the_operator_talks_to_kubernetes(default: list[Manifest]) -> None:
    pods = pod_specs(default)
    strangers = [name for name in pods if name != "stocks-operator"]
    assert len(strangers) == 3
    assert all(pods[name]["automountServiceAccountToken"] is False for name in strangers)


def test_no_pod_gets_the_addresses_of_services_as_variables(default: list[Manifest]) -> None:
    # The Service stocks-gateway would set STOCKS_GATEWAY_PORT=tcp://...
    pods = pod_specs(default)
    assert [name for name, pod in pods.items() if pod.get("enableServiceLinks", True)] == []


def test_a_new_version_of_the_chart_does_not_change_what_selects_pods(
    default: list[Manifest],
) -> None:
    selectors = [m["spec"]["selector"]["matchLabels"] for m in default if m["kind"] == "Deployment"]
    assert selectors
    for selector in selectors:
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & set(selector)


def test_only_hashes_of_keys_are_mounted(find: Find) -> None:
    pod = find("Deployment", "stocks-api")["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    assert volume["secret"]["secretName"] == "stocks-api-keys"
    assert volume["secret"]["items"] == [{"key": "keys.yaml", "path": "keys.yaml"}]
    (mount,) = [m for m in pod["containers"][0]["volumeMounts"] if m["name"] == volume["name"]]
    assert mount["readOnly"]


def test_the_generated_keys_fit_their_hashes_and_who_trades_is_no_admin(find: Find) -> None:
    secret = find("Secret", "stocks-api-keys")["stringData"]
    entries = yaml.safe_load(secret["keys.yaml"])["keys"]
    for entry, key in zip(entries, (secret["key"], secret["adminKey"]), strict=True):
        assert entry["sha256"] == hashlib.sha256(key.encode()).hexdigest()
        assert key not in secret["keys.yaml"]
    assert [(entry["name"], entry["scopes"]) for entry in entries] == [
        ("default", ["read", "trade"]),
        ("admin", ["read", "admin"]),
    ]
    assert secret["key"] != secret["adminKey"]


def test_each_installation_has_a_key_of_its_own(helm: Helm, find: Find) -> None:
    another = only(helm.render(), "Secret", "stocks-api-keys")
    key = find("Secret", "stocks-api-keys")["stringData"]["key"]
    assert len(key) == 40
    assert another["stringData"]["key"] != key


def test_the_simulator_is_the_default_gateway(default: list[Manifest]) -> None:
    api = environment(default, "stocks-api")
    assert api["STOCKS_GATEWAY_MODE"] == "simulated"
    assert api["STOCKS_LIVE_TRADING"] == "false"
    assert (api["STOCKS_GATEWAY_HOST"], api["STOCKS_GATEWAY_PORT"]) == ("stocks-gateway", "4002")


@pytest.mark.parametrize(
    ("settings", "mode", "live", "port"),
    [
        (PAPER, "paper", "false", "4002"),
        ((*LIVE, "gateway.liveTrading.enabled=true"), "live", "true", "4001"),
        ((*PAPER, "gateway.port=4004"), "paper", "false", "4004"),
    ],
)
def test_a_real_gateway(
    helm: Helm, settings: tuple[str, ...], mode: str, live: str, port: str
) -> None:
    api = environment(helm.render(*settings), "stocks-api")
    assert (api["STOCKS_GATEWAY_MODE"], api["STOCKS_LIVE_TRADING"]) == (mode, live)
    assert (api["STOCKS_GATEWAY_HOST"], api["STOCKS_GATEWAY_PORT"]) == ("gw.desk", port)


def test_the_settings_of_the_api_come_from_the_values(helm: Helm) -> None:
    manifests = helm.render("api.calendar=XLON", "api.authFailuresPerMinute=1000000")
    api = environment(manifests, "stocks-api")
    assert api["STOCKS_CALENDAR"] == "XLON"
    assert api["STOCKS_AUTH_FAILURES_PER_MINUTE"] == "1000000"


def test_whole_numbers_stay_whole(helm: Helm, tmp_path: Path) -> None:
    # Helm reads numbers of a file as floats: 12345678 would become 1.2345678e+07.
    chart = copy_of_the_chart(tmp_path)
    values = chart / "values.yaml"
    values.write_text(
        values.read_text()
        .replace("seed: 1 ", "seed: 12345678 ")
        .replace("clientId: 1", "clientId: 2000000")
    )
    manifests = replace(helm, chart=chart).render()
    assert environment(manifests, "stocks-gateway")["SIMULATOR_SEED"] == "12345678"
    assert environment(manifests, "stocks-api")["STOCKS_GATEWAY_CLIENT_ID"] == "2000000"


def test_postgresql_by_a_secret(helm: Helm) -> None:
    manifests = helm.render("api.database.existingSecret=db", "api.database.key=dsn")
    url = environment(manifests, "stocks-api")["STOCKS_DATABASE_URL"]
    assert url == {"secretKeyRef": {"name": "db", "key": "dsn"}}


def test_several_replicas_know_each_other_and_roll_one_after_another(helm: Helm) -> None:
    manifests = helm.render("api.replicas=3", "api.database.existingSecret=db")
    spec = only(manifests, "Deployment", "stocks-api")["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    api = environment(manifests, "stocks-api")
    assert api["STOCKS_REPLICAS"] == "3"
    assert api["STOCKS_ADVERTISE_URL"] == "http://$(POD_IP):8000"
    budget = only(manifests, "PodDisruptionBudget", "stocks-api")["spec"]
    assert budget["selector"] == spec["selector"]
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("settings", [(), ("api.database.existingSecret=db",)])
def test_the_kill_switch_has_a_place_to_be_written_to(
    helm: Helm, settings: tuple[str, ...]
) -> None:
    manifests = helm.render(*settings)
    folder = Path(environment(manifests, "stocks-api")["STOCKS_KILL_SWITCH_FILE"]).parent
    pod = only(manifests, "Deployment", "stocks-api")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount for mount in pod["containers"][0]["volumeMounts"]}
    assert "readOnly" not in mounts[str(folder)]


def test_orders_survive_the_pod_and_the_release(find: Find) -> None:
    claim = find("PersistentVolumeClaim", "stocks-api-data")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    pod = find("Deployment", "stocks-api")["spec"]["template"]["spec"]
    assert {"claimName": "stocks-api-data"} in [
        v.get("persistentVolumeClaim") for v in pod["volumes"]
    ]
    assert find("Deployment", "stocks-api")["spec"]["strategy"] == {"type": "Recreate"}


def test_without_persistence_the_database_is_gone_with_the_pod(helm: Helm) -> None:
    manifests = helm.render("api.persistence.enabled=false")
    pod = only(manifests, "Deployment", "stocks-api")["spec"]["template"]["spec"]
    assert {"name": "data", "emptyDir": {}} in pod["volumes"]


def test_no_probe_depends_on_the_gateway(find: Find) -> None:
    (container,) = find("Deployment", "stocks-api")["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "http"}


SERVED: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "its own namespace": ((), ["stocks"]),
    "all namespaces": (("operator.clusterWide=true",), []),
}


@pytest.mark.parametrize(("settings", "namespaces"), SERVED.values(), ids=SERVED)
def test_the_admission_policy_guards_what_the_operator_serves(
    helm: Helm, settings: tuple[str, ...], namespaces: list[str]
) -> None:
    bindings = [
        m for m in helm.render(*settings) if m["kind"] == "ValidatingAdmissionPolicyBinding"
    ]
    (binding,) = bindings
    selected = binding["spec"].get("matchResources", {}).get("namespaceSelector", {})
    assert list(selected.get("matchLabels", {}).values()) == namespaces
    assert binding["spec"]["paramRef"]["namespace"] == "stocks", "one catalogue for all"


def test_the_operator_may_read_the_prometheus_object_that_is_named(helm: Helm) -> None:
    named = ("operator.prometheus.namespace=obs", "operator.prometheus.name=main")
    manifests = helm.render(*named)
    role = only(manifests, "Role", "stocks-operator.stocks")
    assert role["metadata"]["namespace"] == "obs"
    rights = [(rule["resources"], rule["verbs"]) for rule in role["rules"]]
    assert rights == [
        (["prometheuses"], ["list"]),
        (["pods"], ["list"]),
        (["pods/status"], ["patch"]),
    ]
    binding = only(manifests, "RoleBinding", "stocks-operator.stocks")
    assert binding["metadata"]["namespace"] == "obs"
    operator = environment(manifests, "stocks-operator")
    assert operator["THRESHOLDS_PROMETHEUS_OBJECT"] == "obs/main"


@pytest.mark.parametrize(
    "setting", ["operator.prometheus.name=", "operator.prometheusUrl=", "monitoring.enabled=false"]
)
def test_without_a_prometheus_object_it_may_read_none(helm: Helm, setting: str) -> None:
    manifests = helm.render(setting)
    assert "THRESHOLDS_PROMETHEUS_OBJECT" not in environment(manifests, "stocks-operator")
    roles = [manifest for manifest in manifests if manifest["kind"] in ("Role", "RoleBinding")]
    assert {role["metadata"]["namespace"] for role in roles} == {"stocks"}
    assert "namespaces" not in str([role.get("rules") for role in roles])


def test_where_pods_are_not_to_be_touched_there_is_no_right_to(helm: Helm) -> None:
    manifests = helm.render("operator.touchPods=false")
    role = only(manifests, "Role", "stocks-operator.stocks")
    assert "pods/status" not in str(role["rules"])
    assert environment(manifests, "stocks-operator")["THRESHOLDS_TOUCH_PODS"] == "false"


ACCESS = {
    "a token": (
        ["token.secret=prom"],
        [{"secret": {"name": "prom", "items": [{"key": "token", "path": "token"}]}}],
    ),
    "the pod's own token": (
        ["serviceAccountToken=true"],
        [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}],
    ),
    "a header": (
        ["headers.X-Scope-OrgID.secret=mimir", "headers.X-Scope-OrgID.key=tenant"],
        [
            {
                "secret": {
                    "name": "mimir",
                    "items": [{"key": "tenant", "path": "headers/X-Scope-OrgID"}],
                }
            }
        ],
    ),
    "an authority of its own": (
        ["ca.secret=ca"],
        [{"secret": {"name": "ca", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}],
    ),
    "a client certificate": (
        ["clientCertificate.secret=mtls"],
        [
            {
                "secret": {
                    "name": "mtls",
                    "items": [
                        {"key": "tls.crt", "path": "tls.crt"},
                        {"key": "tls.key", "path": "tls.key"},
                    ],
                }
            }
        ],
    ),
}


@pytest.mark.parametrize(("settings", "sources"), ACCESS.values(), ids=ACCESS)
def test_row_g_the_operator_reaches_prometheus_by(
    helm: Helm, settings: list[str], sources: list[Manifest]
) -> None:
    manifests = helm.render(*(f"operator.prometheusAccess.{setting}" for setting in settings))
    pod = pod_specs(manifests)["stocks-operator"]
    (volume,) = (v for v in pod["volumes"] if v["name"] == "prometheus-access")
    assert volume["projected"]["sources"] == sources
    mounts = pod["containers"][0]["volumeMounts"]
    assert {
        "name": "prometheus-access",
        "mountPath": "/etc/prometheus-access",
        "readOnly": True,
    } in mounts
    operator = environment(manifests, "stocks-operator")
    assert operator["THRESHOLDS_PROMETHEUS_ACCESS"] == "/etc/prometheus-access"


def test_row_g_without_credentials_nothing_is_mounted(helm: Helm) -> None:
    manifests = helm.render("operator.prometheusAccess.proxyUrl=http://proxy:3128")
    operator = environment(manifests, "stocks-operator")
    assert operator["THRESHOLDS_PROMETHEUS_PROXY"] == "http://proxy:3128"
    assert "THRESHOLDS_PROMETHEUS_ACCESS" not in operator


def test_row_g_two_tokens_are_refused(helm: Helm) -> None:
    both = ("serviceAccountToken=true", "token.secret=prom")
    said = helm.refusal(*(f"operator.prometheusAccess.{setting}" for setting in both))
    assert "token" in said


def test_replicas_may_be_named_one_by_one(helm: Helm) -> None:
    manifests = helm.render(
        "operator.prometheusUrls={http://a:9090,http://b:9090}", "operator.rulerUrls={http://r:1}"
    )
    operator = environment(manifests, "stocks-operator")
    assert operator["THRESHOLDS_PROMETHEUS_URLS"] == "http://a:9090,http://b:9090"
    assert operator["THRESHOLDS_RULER_URLS"] == "http://r:1"


def test_two_releases_share_no_name_but_the_crd(helm: Helm) -> None:
    one = helm.render(release="one", namespace="one")
    other = helm.render(release="other", namespace="other")
    shared = names(one) & names(other)
    assert not [name for name in shared if not name.startswith("CustomResourceDefinition/")]


def test_the_notes_say_simulated(helm: Helm) -> None:
    assert "Gateway: SIMULATED." in notes(helm)


def test_the_notes_shout_live(helm: Helm) -> None:
    text = notes(helm, *LIVE, "gateway.liveTrading.enabled=true")
    assert "LIVE TRADING: ORDERS GO TO gw.desk:4001 AND COST REAL MONEY" in text
    assert "SIMULATED" not in text


def test_the_notes_name_the_label_without_which_there_is_no_data(helm: Helm) -> None:
    assert "present: release=mine" in notes(helm, "monitoring.ruleLabels.release=mine")
    assert "nothing scrapes the API" in notes(helm, "monitoring.enabled=false")


def notes(helm: Helm, *settings: str) -> str:
    """`helm template` leaves the notes out: they are rendered as an object's field instead."""
    with TemporaryDirectory() as folder:
        chart = copy_of_the_chart(Path(folder))
        (chart / "templates" / "NOTES.txt").rename(chart / "notes.txt")
        (chart / "templates" / "notes.yaml").write_text(
            "kind: Notes\nmetadata: {name: notes}\n"
            'text: {{ tpl (.Files.Get "notes.txt") . | quote }}\n'
        )
        text = only(replace(helm, chart=chart).render(*settings), "Notes", "notes")["text"]
    assert isinstance(text, str)
    return text


def copy_of_the_chart(folder: Path) -> Path:
    return Path(shutil.copytree(CHART, folder / "chart"))
