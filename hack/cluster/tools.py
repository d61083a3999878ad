"""The programs we need: found on PATH where the version fits, else built from Go modules.

What is built lies in the cache in a folder named by version and by a digest of how it is built, so
a changed flag or go.sum builds anew and anything else never does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster import versions
from cluster.digest import digest
from cluster.golang import ENVIRONMENT, ensure_go
from cluster.paths import HACK, cache
from cluster.steps import Progress, Step
from cluster.versions import fits, version_in


@dataclass(frozen=True)
class Build:
    """What one ``go build`` in ``mods/<module>`` (or one ``go install package@release``) makes."""

    name: str
    version: str
    programs: Mapping[str, str]
    """The package of each program."""
    module: str = ""
    """Folder below ``mods/``: needed where the project's go.mod has replace directives."""
    release: str = ""
    """The Go version of the project where no own module is needed."""
    tags: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Go variables set by the linker."""
    extras: Mapping[str, str] = field(default_factory=dict)
    """Folders copied out of a Go module: name here, folder in the module."""

    @property
    def folder(self) -> Path:
        """Where its programs lie once built."""
        recipe = digest([*([HACK / "mods" / self.module] if self.module else []), repr(self)], 6)
        return cache("tools") / f"{self.name}-{self.version}-{recipe}"

    def program(self, name: str) -> Path:
        """The path of one of its programs."""
        return self.folder / name

    @property
    def title(self) -> str:
        """What it is called on the terminal."""
        more = f" ({len(self.programs)} programs)" if len(self.programs) > 1 else ""
        return f"build {self.name} {self.version}{more}"


def _kubernetes_variables() -> dict[str, str]:
    """kubeadm refuses to work when it does not know its own version."""
    major, minor, _ = versions.KUBERNETES.split(".")
    tag = f"v{versions.KUBERNETES}"
    base = "k8s.io/component-base/version"
    return {
        f"{base}.gitVersion": tag,
        f"{base}.gitMajor": major,
        f"{base}.gitMinor": minor,
        "k8s.io/client-go/pkg/version.gitVersion": tag,
    }


def _prometheus_variables(version: str) -> dict[str, str]:
    """The version that programs of the Prometheus family print and report as a metric."""
    return {"github.com/prometheus/common/version.Version": version}


def _kubernetes_programs(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
KUBERNETES = Build(
    "kubernetes",
    versions.KUBERNETES,
    _kubernetes_programs(*CONTROL_PLANE, "kubelet", "kubeadm", "kube-proxy", "kubectl"),
    module="kubernetes",
    variables=_kubernetes_variables(),
)
KUBECTL = Build(
    "kubectl",
    versions.KUBERNETES,
    _kubernetes_programs("kubectl"),
    module="kubernetes",
    variables=_kubernetes_variables(),
)
ETCD = Build(
    "etcd",
    versions.ETCD,
    {"etcd": "go.etcd.io/etcd/server/v3", "etcdctl": "go.etcd.io/etcd/etcdctl/v3"},
    module="etcd",
)
COREDNS = Build("coredns", versions.COREDNS, {"coredns": "."}, module="coredns")
LOCAL_PATH = Build(
    "local-path-provisioner",
    versions.LOCAL_PATH,
    {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
    module="local-path-provisioner",
)
CRICTL = Build("crictl", versions.KUBERNETES, {"crictl": "."}, module="crictl")
PAUSE = Build("pause", versions.KUBERNETES, {"pause": "."}, module="pause")
KIND = Build("kind", versions.KIND, {"kind": "sigs.k8s.io/kind"}, release=f"v{versions.KIND}")
HELM = Build(
    "helm",
    versions.HELM,
    {"helm": "helm.sh/helm/v3/cmd/helm"},
    release=f"v{versions.HELM}",
    variables={"helm.sh/helm/v3/internal/version.version": f"v{versions.HELM}"},
)
PROMETHEUS = Build(
    "prometheus",
    versions.PROMETHEUS,
    {
        "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
        "promtool": "github.com/prometheus/prometheus/cmd/promtool",
    },
    release="v0.316.0",  # Prometheus 3.x.y is v0.3xx.y as a Go module
    # Without these every cloud's SDK comes along: four times the time, twice the size.
    tags="remove_all_sd,enable_kubernetes_sd",
    variables=_prometheus_variables(versions.PROMETHEUS),
)
ALERTMANAGER = Build(
    "alertmanager",
    versions.ALERTMANAGER,
    {"alertmanager": "github.com/prometheus/alertmanager/cmd/alertmanager"},
    release=f"v{versions.ALERTMANAGER}",
    variables=_prometheus_variables(versions.ALERTMANAGER),
)
NODE_EXPORTER = Build(
    "node-exporter",
    versions.NODE_EXPORTER,
    {"node_exporter": "github.com/prometheus/node_exporter"},
    release=f"v{versions.NODE_EXPORTER}",
    variables=_prometheus_variables(versions.NODE_EXPORTER),
)
_OPERATOR_MODULE = "github.com/prometheus-operator/prometheus-operator"
PROMETHEUS_OPERATOR = Build(
    "prometheus-operator",
    versions.PROMETHEUS_OPERATOR,
    {
        "prometheus-operator": f"{_OPERATOR_MODULE}/cmd/operator",
        "prometheus-config-reloader": f"{_OPERATOR_MODULE}/cmd/prometheus-config-reloader",
    },
    module="prometheus-operator",
    variables=_prometheus_variables(versions.PROMETHEUS_OPERATOR),
    extras={"crds": f"{_OPERATOR_MODULE}/example/prometheus-operator-crd"},
)

# What the node image is made of, and what the monitoring stack is made of.
NODE_BUILDS = (KUBERNETES, ETCD, COREDNS, LOCAL_PATH, CRICTL, PAUSE)
MONITORING_BUILDS = (PROMETHEUS, ALERTMANAGER, PROMETHEUS_OPERATOR, NODE_EXPORTER)

# Who makes a program that a person or a test calls, and how it tells its version.
CALLED = {
    "kind": KIND,
    "kubectl": KUBERNETES,
    "helm": HELM,
    "promtool": PROMETHEUS,
    "prometheus": PROMETHEUS,
    "alertmanager": ALERTMANAGER,
}
VERSION_COMMAND = {"kubectl": ("version", "--client"), "helm": ("version",)}


def ensure_built(build: Build, progress: Progress) -> Path:
    """Build it unless the cache has it; its folder."""
    folder = build.folder
    if not folder.exists():
        go = ensure_go(progress)
        with (
            progress.step(build.title) as step,
            tempfile.TemporaryDirectory(dir=cache("tools"), prefix=".") as scratch,
        ):
            complete = compile_into(Path(scratch, "out"), build, go, step)
            complete.rename(folder)  # only now has it its name: a half one is never used
    return folder


def ensure_all_built(builds: Iterable[Build], progress: Progress) -> None:
    """Build several, one after the other: each ``go build`` uses all cores by itself."""
    for build in builds:
        ensure_built(build, progress)


def compile_into(folder: Path, build: Build, go: Path, step: Step) -> Path:
    """Run Go and gather all that the build makes in a folder, which is returned."""
    linker = ["-s", "-w", *(f"-X {name}={value}" for name, value in build.variables.items())]
    options = ["-tags", build.tags, "-ldflags", " ".join(linker)]
    packages = build.programs.values()
    environment = {**ENVIRONMENT, "GOBIN": str(folder)}
    if build.module:
        here = HACK / "mods" / build.module
        step.run(go, "build", *options, "-o", f"{folder}/", *packages, env=environment, cwd=here)
    else:
        wanted = [f"{package}@{build.release}" for package in packages]
        step.run(go, "install", *options, *wanted, env=environment)
    rename_programs(folder, build)
    copy_extras(folder, build, go, step)
    return folder


def rename_programs(folder: Path, build: Build) -> None:
    """Go names a program after its package; some are known by another name (etcd's is "server")."""
    for program, package in build.programs.items():
        built = folder / name_by_go(package)
        if not (folder / program).exists():
            built.rename(folder / program)


def name_by_go(package: str) -> str:
    """The last part of a package's path that is no major version."""
    parts = package.split("/")
    major = parts[-1][:1] == "v" and parts[-1][1:].isdigit()
    return parts[-2] if major else parts[-1]


def copy_extras(folder: Path, build: Build, go: Path, step: Step) -> None:
    """Copy folders out of the module cache, e.g. the operator's CRDs."""
    for name, source in build.extras.items():
        module = "/".join(source.split("/")[:3])
        query = ("list", "-m", "-f", "{{.Dir}}", module)
        found = step.output(go, *query, env=ENVIRONMENT, cwd=HACK / "mods" / build.module)
        inside = Path(found.strip(), *source.split("/")[3:])
        shutil.copytree(inside, folder / name, copy_function=shutil.copyfile)
        (folder / name).chmod(0o755)


def on_path(name: str) -> Path | None:
    """A program on PATH if its version fits; not one that we linked there, which may be old."""
    found = shutil.which(name)
    if not found or is_ours(Path(found)):
        return None
    command = [found, *VERSION_COMMAND.get(name, ("--version",))]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return Path(found) if fits(name, version_in(said.stdout + said.stderr)) else None


def is_ours(program: Path) -> bool:
    """Whether a program lies in our cache."""
    return program.resolve().is_relative_to(cache().resolve())


def ensure_program(name: str, progress: Progress, public: bool = False) -> Path:
    """A program to call: from PATH, else built, and then linked where it can be found."""
    found = on_path(name)
    if found:
        return found
    build = KUBECTL if public and name == "kubectl" else CALLED[name]
    ensure_built(build, progress)
    return link(name, build.program(name))


def link(name: str, program: Path) -> Path:
    """Link a program into the cache's ``bin`` folder; that path stays the same over versions."""
    place = cache("bin") / name
    if not place.is_symlink() or place.readlink() != program:
        place.unlink(missing_ok=True)
        place.symlink_to(program)
    return place


def offer(names: Iterable[str]) -> list[str]:
    """Make our programs callable as typed, where no other one is in the way.

    Those not on PATH are linked into /usr/local/bin; returns the names for which that failed.
    """
    left = []
    for name in names:
        ours, place = cache("bin") / name, Path("/usr/local/bin", name)
        if shutil.which(name) or not ours.exists():
            continue
        try:
            place.unlink(missing_ok=True)
            place.symlink_to(ours)
        except OSError:
            left.append(name)
    return left


def path_line() -> str:
    """The shell line that puts our programs on PATH."""
    return f'export PATH="{cache("bin")}{os.pathsep}$PATH"'
