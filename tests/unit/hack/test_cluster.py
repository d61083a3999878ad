"""The cluster, the monitoring stack and the release: what is asked of kind, kubectl and helm."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import dash, kind, kit, monitoring
from cluster.__main__ import parser
from cluster.kind import Target
from cluster.kit import Kit
from cluster.paths import HACK, KIND_CONFIG
from cluster.release import Release, upgrade
from cluster.steps import ClusterError, Progress

KIT = Kit(Path("/kind"), Path("/kubectl"), Path("/helm"), "node:1", public=False)
SELECTOR = {"matchLabels": {"release": "kube-prometheus-stack"}}


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Every object of the built monitoring stack by kind and name, filled in."""
    images = {name: f"{name}:1" for name in (*monitoring.PROGRAMS, "python")}
    names = (*monitoring.MANIFESTS, "alert-logger.yaml")
    texts = [(monitoring.HERE / name).read_text() for name in names]
    texts.append(dash.manifest("operator:1"))
    loaded = (o for text in texts for o in yaml.safe_load_all(monitoring.fill(text, images)))
    return {(o["kind"], o["metadata"]["name"]): o for o in loaded}


def test_every_command_names_the_cluster_it_means() -> None:
    target = Target(KIT, "stocks-e2e", Path("/tmp/config"))
    where = ["--kubeconfig", "/tmp/config"]
    assert target.kubectl("get", "pods") == [
        "/kubectl", *where, "--context", "kind-stocks-e2e", "get", "pods",
    ]  # fmt: skip
    assert target.helm("list") == ["/helm", *where, "--kube-context", "kind-stocks-e2e", "list"]
    assert target.kind("get", "nodes")[-2:] == ["--name", "stocks-e2e"]


def test_without_a_kubeconfig_the_users_own_is_used() -> None:
    assert "--kubeconfig" not in Target(KIT).kubectl("get", "pods")


def test_kind_maps_the_node_ports_of_the_services_to_loopback() -> None:
    config = yaml.safe_load(KIND_CONFIG.read_text())
    mappings = config["nodes"][0]["extraPortMappings"]
    assert {m["listenAddress"] for m in mappings} == {"127.0.0.1"}
    objects = manifests()
    values = yaml.safe_load((HACK / "values-kind.yaml").read_text())
    served = {
        8000: values["api"]["service"]["nodePort"],
        9090: node_port(objects["Service", "kube-prometheus-stack-prometheus"]),
        9093: node_port(objects["Service", "kube-prometheus-stack-alertmanager"]),
        3000: node_port(objects["Service", "stocks-dash"]),
    }
    assert {m["hostPort"]: m["containerPort"] for m in mappings} == served


def node_port(service: dict[str, Any]) -> int:
    port: int = service["spec"]["ports"][0]["nodePort"]
    return port


def test_both_monitoring_stacks_have_the_same_ports_and_scrape_as_often() -> None:
    values = yaml.safe_load((monitoring.HERE / f"{monitoring.STACK}-values.yaml").read_text())
    objects = manifests()
    for name in ("prometheus", "alertmanager"):
        service = objects["Service", f"kube-prometheus-stack-{name}"]
        assert values[name]["service"]["nodePort"] == node_port(service)
    spec = objects["Prometheus", "kube-prometheus-stack-prometheus"]["spec"]
    for name, value in values["prometheus"]["prometheusSpec"].items():
        assert spec[name] == value


def test_grafana_and_our_page_are_found_at_the_same_port() -> None:
    values = yaml.safe_load((monitoring.HERE / f"{monitoring.STACK}-values.yaml").read_text())
    served = node_port(manifests()["Service", dash.NAME])
    assert values["grafana"]["service"] == {"type": "NodePort", "nodePort": served}


def test_the_page_in_the_cluster_is_laid_out_as_in_the_checkout() -> None:
    held = json.loads(dash.config_map())["data"]
    spec = manifests()["Deployment", dash.NAME]["spec"]["template"]["spec"]
    items = spec["volumes"][0]["configMap"]["items"]
    assert {item["path"]: held[item["key"]] for item in items} == {
        name: path.read_text() for name, path in dash.files().items()
    }
    wanted = ("__main__.py", "page/panels/stat.js")
    assert {f"monitoring/dash/{name}" for name in wanted} <= {*dash.files()}
    assert len(dash.config_map()) < 1_000_000  # bytes that an object may have


@pytest.mark.parametrize("what", ["rule", "serviceMonitor", "podMonitor"])
def test_prometheus_selects_by_the_release_label_in_all_namespaces(what: str) -> None:
    spec = manifests()["Prometheus", "kube-prometheus-stack-prometheus"]["spec"]
    assert spec[f"{what}Selector"] == SELECTOR
    assert spec[f"{what}NamespaceSelector"] == {}


def test_prometheus_sends_its_alerts_to_our_alertmanager() -> None:
    objects = manifests()
    (peer,) = objects["Prometheus", "kube-prometheus-stack-prometheus"]["spec"]["alerting"][
        "alertmanagers"
    ]
    service = objects["Service", peer["name"]]
    assert service["metadata"]["namespace"] == peer["namespace"]
    assert service["spec"]["ports"][0]["name"] == peer["port"]


def test_a_manifest_that_names_an_unknown_image_is_an_error() -> None:
    with pytest.raises(KeyError):
        monitoring.fill("image: ${grafana_image}", {})


def test_every_monitor_is_one_that_prometheus_selects() -> None:
    found = [o["metadata"] for (kind, _), o in manifests().items() if kind == "ServiceMonitor"]
    assert {m["name"].removeprefix("kube-prometheus-stack-") for m in found} == {
        "kubelet", "prometheus-node-exporter",
    }  # fmt: skip
    assert all(m["labels"] == SELECTOR["matchLabels"] for m in found)


def test_nodes_and_kubelets_are_scraped_as_the_jobs_of_kube_prometheus_stack() -> None:
    objects = manifests()
    kubelet = objects["ServiceMonitor", "kube-prometheus-stack-kubelet"]["spec"]
    assert kubelet["selector"]["matchLabels"][kubelet["jobLabel"]] == "kubelet"
    paths = [endpoint.get("path", "/metrics") for endpoint in kubelet["endpoints"]]
    assert paths == ["/metrics", "/metrics/cadvisor"]
    name = "kube-prometheus-stack-prometheus-node-exporter"
    nodes, service = objects["ServiceMonitor", name]["spec"], objects["Service", name]
    assert service["metadata"]["labels"][nodes["jobLabel"]] == "node-exporter"
    assert nodes["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (container,) = objects["DaemonSet", name]["spec"]["template"]["spec"]["containers"]
    assert "--web.listen-address=[$(HOST_IP)]:9100" in container["args"]


def test_alertmanagers_receivers_are_where_the_logger_listens() -> None:
    service = manifests()["Service", "alert-logger"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    config = yaml.safe_load((monitoring.EXAMPLES / "alertmanager.yaml").read_text())
    urls = [hook["url"] for r in config["receivers"] for hook in r.get("webhook_configs", [])]
    port = service["spec"]["ports"][0]["port"]
    assert urls == [f"http://{host}:{port}/page", f"http://{host}:{port}/ticket"]


def test_helm_gets_our_images_and_the_callers_values_after_ours() -> None:
    command = upgrade(Release(values=(Path("more.yaml"),)), {"api": "stocks-fastapi/api:dev-1"})
    text = " ".join(command)
    assert "--set api.image.repository=stocks-fastapi/api,api.image.tag=dev-1" in text
    assert text.index("values-kind.yaml") < text.index("more.yaml")


def test_a_taken_port_is_named_before_kind_trips_over_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} on 127.0.0.1 is taken"):
            kind.refuse_taken_ports(f"- {{containerPort: 30800, hostPort: {port}}}")


def test_nodes_of_an_older_image_are_pointed_out() -> None:
    assert kind.age([kind.Node("a", "running", "node:1")], Target(KIT)) == ""
    assert "older node image" in kind.age([kind.Node("a", "running", "node:0")], Target(KIT))


@pytest.mark.parametrize(("asked", "public"), [("public", True), ("built", False)])
def test_the_source_of_images_can_be_forced(
    asked: str, public: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("STOCKS_IMAGES", asked)
    assert kit.choose_source(Progress(tmp_path)) is public


def test_an_unknown_source_of_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOCKS_IMAGES", "mine")
    with pytest.raises(ClusterError) as refused:
        kit.choose_source(Progress(tmp_path))
    assert "STOCKS_IMAGES=built" in refused.value.hint


def test_the_registry_is_tried_once_and_the_answer_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("STOCKS_IMAGES", raising=False)
    answers = iter([False])
    monkeypatch.setattr(kit, "registry_answers", lambda: next(answers))
    progress = Progress(tmp_path)
    assert [kit.choose_source(progress) for _ in range(2)] == [False, False]


def test_deploy_takes_the_cluster_and_the_parts() -> None:
    asked = "deploy --kubeconfig f --kind-cluster c --only monitoring --only chart --values v.yaml"
    options = parser().parse_args(asked.split())
    assert (options.kubeconfig, options.kind_cluster) == (Path("f"), "c")
    assert options.only == ["monitoring", "chart"]
    assert (options.namespace, options.release) == ("stocks", "stocks")
