"""The cluster itself: created, started again, deleted; never one that we did not make."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cluster.kit import Kit
from cluster.paths import KIND_CONFIG
from cluster.steps import ClusterError, CommandError, Progress, Step

CLUSTER = "stocks"
NAMESPACE = "stocks"
ANSWER_SECONDS = 90


@dataclass(frozen=True)
class Target:
    """A kind cluster and the command lines that reach it and no other."""

    kit: Kit
    name: str = CLUSTER
    kubeconfig: Path | None = None
    """None: the user's own."""

    @property
    def context(self) -> str:
        """The name kind gives the cluster in a kubeconfig."""
        return f"kind-{self.name}"

    def kubectl(self, *arguments: str) -> list[str]:
        """A kubectl command line for this cluster."""
        where = [*self._kubeconfig(), "--context", self.context]
        return [str(self.kit.kubectl), *where, *arguments]

    def helm(self, *arguments: str) -> list[str]:
        """A helm command line for this cluster."""
        where = [*self._kubeconfig(), "--kube-context", self.context]
        return [str(self.kit.helm), *where, *arguments]

    def kind(self, *arguments: str) -> list[str]:
        """A kind command line for this cluster."""
        return [str(self.kit.kind), *arguments, "--name", self.name]

    def kind_writing(self, *arguments: str) -> list[str]:
        """The same, for the calls of kind that write a kubeconfig."""
        return [*self.kind(*arguments), *self._kubeconfig()]

    def _kubeconfig(self) -> list[str]:
        return ["--kubeconfig", str(self.kubeconfig)] if self.kubeconfig else []


def ensure_cluster(target: Target, progress: Progress) -> None:
    """The cluster runs and the kubeconfig knows it: created, started again, or left as it is."""
    nodes = list_nodes(target)
    if not nodes:
        create(target, progress)
    elif any(node.state != "running" for node in nodes):
        start(nodes, progress)
    with progress.step(f"cluster {target.name}") as step:
        if nodes and not knows(target):
            step.run(*target.kind_writing("export", "kubeconfig"))
        wait_for_answer(target)
        context = ("config", "set-context", target.context, f"--namespace={NAMESPACE}")
        step.run(*target.kubectl(*context))
        ready = ("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
        step.run(*target.kubectl(*ready))
        step.note = f"context {target.context}, namespace {NAMESPACE}{age(nodes, target)}"


class Node(NamedTuple):
    """A node's container; ``state`` is Docker's word: running, exited, ..."""

    name: str
    state: str
    image: str


def list_nodes(target: Target) -> list[Node]:
    """The nodes of a kind cluster; none where there is no cluster of this name."""
    label = f"label=io.x-k8s.kind.cluster={target.name}"
    form = "{{.Names}} {{.State}} {{.Image}}"
    command = ["docker", "ps", "--all", "--filter", label, "--format", form]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    return [Node(*line.split()) for line in listed.stdout.splitlines()]


def age(nodes: list[Node], target: Target) -> str:
    """A word about nodes made from another image than a new cluster would be."""
    same = all(node.image == target.kit.node_image for node in nodes)
    return "" if same else ", made from an older node image: `make down up` renews it"


def create(target: Target, progress: Progress) -> None:
    """Create the cluster from kind-config.yaml; its ports on this machine must be free."""
    refuse_taken_ports(KIND_CONFIG.read_text())
    with progress.step(f"create cluster {target.name}") as step:
        options = ("--image", target.kit.node_image, "--config", str(KIND_CONFIG), "--wait", "120s")
        try:
            step.run(*target.kind_writing("create", "cluster"), *options)
        except CommandError as failed:
            failed.hint = creation_hint(target.kit)
            raise


def creation_hint(kit: Kit) -> str:
    """What may help when kind could not create a cluster."""
    if kit.public:
        return "if the image could not be pulled: STOCKS_IMAGES=built builds one instead"
    return "run this again; if it stays, keep the node to look at: kind create cluster --retain"


def start(nodes: list[Node], progress: Progress) -> None:
    """Start the node containers again, e.g. after a reboot."""
    with progress.step("start the cluster's nodes") as step:
        step.run("docker", "start", *(node.name for node in nodes))


def knows(target: Target) -> bool:
    """Whether the kubeconfig has the cluster's context."""
    command = target.kubectl("config", "get-contexts", target.context)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def wait_for_answer(target: Target) -> None:
    """Return when the API server says it is ready: a started node needs a while."""
    ask = target.kubectl("get", "--raw", "/readyz", "--request-timeout=5s")
    deadline = time.monotonic() + ANSWER_SECONDS
    while subprocess.run(ask, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"cluster {target.name} does not answer",
                f"make it anew: kind delete cluster --name {target.name}, then run this again",
            )
        time.sleep(1)


def delete(target: Target, progress: Progress) -> bool:
    """Delete the cluster of this name; False where there is none."""
    if not list_nodes(target):
        return False
    with progress.step(f"delete cluster {target.name}") as step:
        step.run(*target.kind_writing("delete", "cluster"))
    return True


def load_images(target: Target, images: list[str], step: Step) -> None:
    """Copy images from Docker into the cluster's nodes; those already there are passed over."""
    step.run(*target.kind("load", "docker-image", *images))


def refuse_taken_ports(config: str) -> None:
    """ClusterError that names the ports of kind-config.yaml that something else listens on."""
    taken = [str(port) for port in host_ports(config) if is_taken(port)]
    if taken:
        raise ClusterError(
            f"port {', '.join(taken)} on 127.0.0.1 is taken, and the cluster needs it",
            f"see who has it: ss -ltnp 'sport = :{taken[0]}'",
        )


def host_ports(config: str) -> list[int]:
    """The ports on this machine that a kind configuration maps."""
    return [int(port) for port in re.findall(r"\bhostPort: (\d+)", config)]


def is_taken(port: int) -> bool:
    """Whether something listens on this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
