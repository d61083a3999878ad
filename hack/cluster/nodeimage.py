"""kind's node image, made here: systemd, containerd and Kubernetes, with its own images preloaded.

Where the published one can be pulled, that is used (``kit.py`` tells). What kind needs of a node,
and why, is said where it is done: in ``node/`` and ``images/``.
"""

from __future__ import annotations

import subprocess
import time

from cluster import docker, tools, versions
from cluster.digest import digest
from cluster.paths import HACK
from cluster.steps import ClusterError, Progress, Step

PACKAGES = (
    "bash ca-certificates conntrack containerd containernetworking-plugins curl dbus e2fsprogs "
    "ethtool iproute2 iptables iputils-ping jq kmod libseccomp2 mount nftables procps runc systemd "
    "systemd-sysv"
)
NODE, IMAGES = HACK / "node", HACK / "images"
# Names that the manifests in node/kind/manifests call.
NODE_TOOLS = f"{docker.PREFIX}/node-tools:1"
LOCAL_PATH = f"{docker.PREFIX}/local-path-provisioner:1"
ENTRYPOINT = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
CONTAINERD_WAIT_SECONDS = 30


def tag() -> str:
    """The node image's name: the Kubernetes version and a digest of all that goes into it."""
    folders = [build.folder.name for build in tools.NODE_BUILDS]
    parts = [IMAGES / "node", IMAGES / "node-tools", IMAGES / "kube-proxy"]
    inside = digest([NODE, *parts, PACKAGES, *folders])
    return f"{docker.PREFIX}/node:v{versions.KUBERNETES}-{inside}"


def ensure_node_rootfs(progress: Progress) -> str:
    """The Debian that nodes are made from."""
    return docker.ensure_rootfs("node-rootfs", PACKAGES, progress)


def ensure_node_image(progress: Progress) -> str:
    """The node image, built if Docker has none of this content; its tag."""
    wanted = tag()
    if docker.has_image(wanted):
        return wanted
    tools.ensure_all_built(tools.NODE_BUILDS, progress)
    rootfs = ensure_node_rootfs(progress)
    with progress.step("Kubernetes' component images") as step:
        inside = component_images(step, rootfs)
    with progress.step("node image") as step:
        build_base(step, wanted, rootfs, pause_image(inside))
        preload(step, wanted, inside)
        docker.remove_images(step, inside)
    return wanted


def component_images(step: Step, rootfs: str) -> list[str]:
    """Build every image that a node must have before it can pull any; their tags."""
    names = kubeadm_images(step)
    kubernetes = tools.KUBERNETES
    for name in tools.CONTROL_PLANE:
        docker.build_scratch(step, names[name], [kubernetes.program(name)])
    etcd = [tools.ETCD.program("etcd"), tools.ETCD.program("etcdctl")]
    docker.build_scratch(step, names["etcd"], etcd)
    docker.build_scratch(step, names["coredns"], [tools.COREDNS.program("coredns")])
    docker.build_scratch(step, names["pause"], [tools.PAUSE.program("pause")])
    local_path = tools.LOCAL_PATH.program("local-path-provisioner")
    docker.build_scratch(step, LOCAL_PATH, [local_path])
    build_kube_proxy(step, names["kube-proxy"], rootfs)
    build_node_tools(step, names["kube-proxy"])
    return [*names.values(), NODE_TOOLS, LOCAL_PATH]


def kubeadm_images(step: Step) -> dict[str, str]:
    """Component: the image name that this kubeadm will ask for."""
    kubeadm = tools.KUBERNETES.program("kubeadm")
    version = f"--kubernetes-version=v{versions.KUBERNETES}"
    return by_component(step.output(kubeadm, "config", "images", "list", version))


def by_component(listed: str) -> dict[str, str]:
    """``host/coredns/coredns:v1.12.1`` is the image of ``coredns``."""
    return {name.split("/")[-1].split(":")[0]: name for name in listed.split()}


def pause_image(names: list[str]) -> str:
    """The name of the pause image among these."""
    return next(name for name in names if "/pause:" in name)


def build_kube_proxy(step: Step, name: str, rootfs: str) -> None:
    """kube-proxy with iptables and what that links."""
    here = IMAGES / "kube-proxy"
    files = {"Dockerfile": here / "Dockerfile", "collect.sh": here / "collect.sh"}
    files["kube-proxy"] = tools.KUBERNETES.program("kube-proxy")
    docker.build(step, name, files, {"ROOTFS": rootfs})


def build_node_tools(step: Step, kube_proxy: str) -> None:
    """The pod network's image, on kube-proxy's."""
    here = IMAGES / "node-tools"
    files = {"Dockerfile": here / "Dockerfile", "nodenet.sh": here / "nodenet.sh"}
    files["kubectl"] = tools.KUBERNETES.program("kubectl")
    docker.build(step, NODE_TOOLS, files, {"KUBE_PROXY": kube_proxy})


def build_base(step: Step, wanted: str, rootfs: str, pause: str) -> None:
    """The node without its preloaded images."""
    files = {"Dockerfile": IMAGES / "node" / "Dockerfile", "node": NODE}
    files |= {name: tools.KUBERNETES.program(name) for name in ("kubelet", "kubeadm", "kubectl")}
    files["crictl"] = tools.CRICTL.program("crictl")
    arguments = {"ROOTFS": rootfs, "KUBERNETES_VERSION": versions.KUBERNETES, "PAUSE_IMAGE": pause}
    docker.build(step, base_tag(wanted), files, arguments)


def base_tag(wanted: str) -> str:
    """The name of the image that the node image is committed on."""
    return wanted.replace("/node:", "/node-base:")


def preload(step: Step, wanted: str, images: list[str]) -> None:
    """Put images into the node's containerd, running in a container, and commit that."""
    name = f"node-build-{wanted.split('-')[-1]}"
    run = ("docker", "run", "--detach", "--name", name, "--security-opt", "seccomp=unconfined")
    step.run("docker", "rm", "--force", "--volumes", name)
    step.run(*run, "--entrypoint", "containerd", base_tag(wanted))
    try:
        wait_for_containerd(name)
        ctr = ("ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--no-unpack")
        sink = ("docker", "exec", "--interactive", name, *ctr, "--digests", "-")
        step.pipe(("docker", "save", *images), sink)
        # The image's own stop signal is systemd's; containerd would sit it out.
        step.run("docker", "kill", "--signal=TERM", name)
        step.run("docker", "wait", name)
        step.run("docker", "commit", "--change", ENTRYPOINT, name, wanted)
    finally:
        step.run("docker", "rm", "--force", "--volumes", name)


def wait_for_containerd(container: str) -> None:
    """Return when containerd in that container answers."""
    ask = ["docker", "exec", container, "ctr", "version"]
    deadline = time.monotonic() + CONTAINERD_WAIT_SECONDS
    while subprocess.run(ask, capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise ClusterError(
                "containerd did not start in the node image", f"docker logs {container}"
            )
        time.sleep(0.5)
