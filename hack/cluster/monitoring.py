"""The monitoring stack: kube-prometheus-stack, or the same parts built here under the same names.

Same Services, same ``release`` label in every selector: on either path a chart or rule that forgets
the label is not seen.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from cluster import docker, tools, versions
from cluster.digest import digest
from cluster.kind import Target, load_images
from cluster.kit import python_image
from cluster.locks import only_one
from cluster.paths import HACK, REPO
from cluster.steps import ClusterError, CommandError, Progress, Step

HERE = HACK / "monitoring"
EXAMPLES = REPO / "examples" / "alertmanager"
NAMESPACE = "monitoring"
STACK = "kube-prometheus-stack"
STACK_CHARTS = "https://prometheus-community.github.io/helm-charts"
STACK_VERSION = "88.5.x"
TIMEOUT = "300s"
CRD_GROUP = "monitoring.coreos.com"
# Applied in this order: the operator must be there before what it looks after is waited for.
MANIFESTS = ("operator.yaml", "prometheus.yaml", "alertmanager.yaml", "exporters.yaml")
# Built program: where its image keeps it (the operator calls the reloader by this path).
PROGRAMS = {
    "prometheus": (tools.PROMETHEUS, "/bin"),
    "alertmanager": (tools.ALERTMANAGER, "/bin"),
    "prometheus-operator": (tools.PROMETHEUS_OPERATOR, "/bin"),
    "prometheus-config-reloader": (tools.PROMETHEUS_OPERATOR, "/bin"),
    "node_exporter": (tools.NODE_EXPORTER, "/bin"),
}


def install(target: Target, progress: Progress) -> None:
    """Install or repair the stack, and wait until it is Ready."""
    python = python_image(progress, target.kit.public)
    if target.kit.public:
        install_chart(target, python, progress)
    else:
        install_built(target, ensure_images(progress) | {"python": python}, progress)


def install_chart(target: Target, python: str, progress: Progress) -> None:
    """The published chart, set up as our tests and our own manifests have it."""
    with progress.step(f"{STACK} {STACK_VERSION}") as step:
        apply_namespace(target, step)
        apply_notifications(target, python, step)
        chart = [STACK, "--repo", STACK_CHARTS, "--version", STACK_VERSION]
        where = ["--namespace", NAMESPACE, "--values", str(HERE / f"{STACK}-values.yaml")]
        upgrade = ("upgrade", "--install", STACK, *chart, *where, "--wait", "--timeout", "10m")
        step.run(*target.helm(*upgrade))
        wait_ready(target, step)


def ensure_images(progress: Progress) -> dict[str, str]:
    """The stack's images, built if Docker has none of these versions; program: image."""
    with only_one("build", progress):
        tools.ensure_all_built(tools.MONITORING_BUILDS, progress)
        images = {name: image_name(name) for name in PROGRAMS}
        missing = [name for name, image in images.items() if not docker.has_image(image)]
        if missing:
            with progress.step("images of the monitoring stack") as step:
                for name in missing:
                    build, where = PROGRAMS[name]
                    docker.build_scratch(step, images[name], [build.program(name)], where)
    return images


def image_name(program: str) -> str:
    """``stocks-fastapi/prometheus:v3.16.0-<digest of the build>``."""
    build, where = PROGRAMS[program]
    return f"{docker.PREFIX}/{program}:v{build.version}-{digest([build.folder.name, where], 6)}"


def install_built(target: Target, images: dict[str, str], progress: Progress) -> None:
    """prometheus-operator, Prometheus, Alertmanager and exporters by our own manifests."""
    with progress.step("monitoring stack: operator, Prometheus, Alertmanager, exporters") as step:
        load_images(target, list(images.values()), step)
        apply_crds(target, step)
        apply_namespace(target, step)
        apply_notifications(target, images["python"], step)
        for name in MANIFESTS:
            apply(target, step, fill((HERE / name).read_text(), images))
        wait_ready(target, step)


def fill(manifest: str, images: dict[str, str]) -> str:
    """A manifest with its images and versions filled in; an unknown ``${name}`` is an error."""
    names = {f"{name.replace('-', '_')}_image": image for name, image in images.items()}
    known = {
        "prometheus_version": versions.PROMETHEUS,
        "alertmanager_version": versions.ALERTMANAGER,
        "alert_logger_digest": digest([EXAMPLES / "alert_logger.py"]),
    }
    return Template(manifest).substitute(names | known)


def apply(target: Target, step: Step, manifest: str) -> None:
    """Server-side apply: kubectl keeps no copy in an annotation, which CRDs are too large for."""
    command = ("apply", "--server-side", "--force-conflicts", "--filename", "-")
    step.run(*target.kubectl(*command), stdin=manifest)


def apply_namespace(target: Target, step: Step) -> None:
    """The stack's namespace."""
    apply(target, step, (HERE / "namespace.yaml").read_text())


def apply_crds(target: Target, step: Step) -> None:
    """The operator's CRDs, unless all of this version are there: 4 MB to parse and to send."""
    folder = tools.PROMETHEUS_OPERATOR.program("crds")
    if crd_versions(target, step) == {versions.PROMETHEUS_OPERATOR: len(list(folder.iterdir()))}:
        return
    command = ("apply", "--server-side", "--force-conflicts", "--filename", str(folder))
    step.run(*target.kubectl(*command))
    crds = [f"crd/{path.stem.split('_')[1]}.{CRD_GROUP}" for path in sorted(folder.iterdir())]
    step.run(*target.kubectl("wait", "--for=condition=Established", "--timeout=60s", *crds))


def crd_versions(target: Target, step: Step) -> dict[str, int]:
    """Version of the operator's CRDs in the cluster: how many have it."""
    template = (
        "{range .items[?(@.spec.group=='" + CRD_GROUP + "')]}"
        "{.metadata.annotations.operator\\.prometheus\\.io/version}{'\\n'}{end}"
    )
    found = step.output(*target.kubectl("get", "crds", "--output", f"jsonpath={template}")).split()
    return {version: found.count(version) for version in found}


def apply_notifications(target: Target, python: str, step: Step) -> None:
    """Alertmanager's configuration, and the receiver in it that prints what it is sent."""
    config, logger = EXAMPLES / "alertmanager.yaml", EXAMPLES / "alert_logger.py"
    apply_file(target, step, ("secret", "generic", "stocks-alertmanager"), config)
    apply_file(target, step, ("configmap", "alert-logger"), logger)
    apply(target, step, fill((HERE / "alert-logger.yaml").read_text(), {"python": python}))


def apply_file(target: Target, step: Step, kind: tuple[str, ...], file: Path) -> None:
    """A Secret or ConfigMap in the stack's namespace that holds one file."""
    make = ("create", *kind, "--namespace", NAMESPACE, f"--from-file={file}")
    manifest = step.output(*target.kubectl(*make, "--dry-run=client", "--output=yaml"))
    apply(target, step, manifest)


def wait_ready(target: Target, step: Step) -> None:
    """Until the operator says that Prometheus and Alertmanager run as they should, and the rest."""
    available = (f"prometheus/{STACK}-prometheus", f"alertmanager/{STACK}-alertmanager")
    rolled_out = (f"daemonset/{STACK}-prometheus-node-exporter", "deployment/alert-logger")
    inside = ("--namespace", NAMESPACE, f"--timeout={TIMEOUT}")
    try:
        for kind in available:
            step.run(*target.kubectl("wait", kind, "--for=condition=Available", *inside))
        for kind in rolled_out:
            step.run(*target.kubectl("rollout", "status", kind, *inside))
    except CommandError as failed:
        step.run(*target.kubectl("get", "pods,events", "--namespace", NAMESPACE))
        raise ClusterError(
            f"the monitoring stack is not Ready ({failed})", f"see {step.log}"
        ) from failed
