"""The machine: missing Debian packages, a Docker daemon that answers, a Python that has pip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cluster.paths import HACK, cache
from cluster.steps import ClusterError, Progress, Step

CAP_SYS_RESOURCE = 24  # bit number, capabilities(7)
DOCKER_WAIT_SECONDS = 60
WRAPPER = "runc-without-sys-resource"
# The images have Python 3.11, and wheels are chosen by the Python that downloads them.
PYTHON = sys.executable if sys.version_info[:2] == (3, 11) else "python3.11"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def search_sbin() -> None:
    """Let us and all we start find dockerd, runc, iptables and chroot, whatever the user's PATH."""
    path = os.environ.get("PATH", "/usr/bin:/bin")
    os.environ["PATH"] = f"{path}:/usr/local/sbin:/usr/sbin:/sbin"


def ensure_programs(progress: Progress, packages: dict[str, str]) -> None:
    """Install the Debian packages of those programs (name: package) that are missing."""
    missing = sorted({package for name, package in packages.items() if not shutil.which(name)})
    if not missing:
        return
    if not CA_BUNDLE.exists():
        missing.append("ca-certificates")
    install(progress, missing)


def install(progress: Progress, packages: list[str]) -> None:
    """Install Debian packages, without those that are only recommended."""
    with progress.step(f"Debian packages: {' '.join(packages)}") as step:
        step.run(HACK / "debian-packages", *packages)


def ensure_docker(progress: Progress) -> None:
    """A Docker daemon that answers and can run privileged containers, which kind's nodes are."""
    ensure_programs(progress, {"docker": "docker.io"})
    if not docker_answers():
        if os.geteuid() != 0:
            raise ClusterError("Docker does not answer", "start it, or run this as root")
        ensure_programs(progress, {"dockerd": "docker.io", "iptables": "iptables"})
        with progress.step("Docker daemon") as step:
            start_docker(step)
    if capability_missing() and default_runtime() == "runc":
        raise ClusterError(
            "the running Docker daemon cannot start privileged containers: "
            "this machine lacks CAP_SYS_RESOURCE",
            f"stop that daemon (ours is then started with {HACK / WRAPPER} as its runtime)",
        )


def docker_answers() -> bool:
    """Whether ``docker`` reaches a daemon."""
    asked = subprocess.run(["docker", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def default_runtime() -> str:
    """The name of the daemon's default OCI runtime."""
    asked = ["docker", "info", "--format", "{{.DefaultRuntime}}"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def start_docker(step: Step) -> None:
    """Start the daemon by systemd where it runs, else detached, so that it outlives us."""
    log = cache("logs") / "dockerd.log"
    if Path("/run/systemd/system").is_dir():
        step.run("systemctl", "start", "docker")
    else:
        command = ["dockerd", "--pidfile", str(docker_pid_file())]
        step.note = f"log: {log}"
        with log.open("a") as out:
            subprocess.Popen(
                command + runtime_options(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
    wait_for_docker(log)


def wait_for_docker(log: Path) -> None:
    """Return when the daemon answers; ClusterError when it does not in time."""
    deadline = time.monotonic() + DOCKER_WAIT_SECONDS
    while not docker_answers():
        if time.monotonic() > deadline:
            raise ClusterError(f"Docker did not answer in {DOCKER_WAIT_SECONDS} s", f"see {log}")
        time.sleep(0.5)


def stop_docker(progress: Progress) -> bool:
    """Stop the daemon that we started, by its pid file; False where there is none of ours."""
    pid_file = docker_pid_file()
    pid = pid_file.read_text().strip() if pid_file.exists() else ""
    if not pid or program_of(pid) != "dockerd":
        return False
    with progress.step(f"stop our Docker daemon (process {pid})"):
        os.kill(int(pid), signal.SIGTERM)
        deadline = time.monotonic() + DOCKER_WAIT_SECONDS
        while program_of(pid) == "dockerd":
            if time.monotonic() > deadline:
                raise ClusterError(f"dockerd did not end in {DOCKER_WAIT_SECONDS} s", f"kill {pid}")
            time.sleep(0.2)
    return True


def docker_pid_file() -> Path:
    """Where the daemon that we start writes its process id."""
    return cache() / "dockerd.pid"


def program_of(pid: str) -> str:
    """The program a process runs now; empty when there is no such process, or only its remains."""
    try:
        stat = Path("/proc", pid, "stat").read_text()
    except OSError:
        return ""
    before, _, after = stat.rpartition(") ")
    return "" if after.startswith("Z") else before.partition(" (")[2]


def runtime_options() -> list[str]:
    """dockerd's options where this machine may not use every capability; else none.

    The wrapper is copied, since the daemon needs it after this checkout is gone.
    """
    if not capability_missing():
        return []
    wrapper = cache() / WRAPPER
    shutil.copy(HACK / WRAPPER, wrapper)
    return ["--add-runtime", f"{WRAPPER}={wrapper}", "--default-runtime", WRAPPER]


def capability_missing() -> bool:
    """Whether this machine's bounding set lacks CAP_SYS_RESOURCE (some sandboxes and VMs)."""
    return lacks_sys_resource(Path("/proc/self/status").read_text())


def lacks_sys_resource(status: str) -> bool:
    """The same, of the text of a ``/proc/<pid>/status``."""
    bounding = next(line for line in status.splitlines() if line.startswith("CapBnd:"))
    return not int(bounding.split()[1], 16) >> CAP_SYS_RESOURCE & 1


def pip(progress: Progress) -> Path:
    """A pip of Python 3.11 in a virtual environment of ours: bare Debian has none."""
    folder = cache() / "pip"
    if not (folder / "bin" / "pip").exists():
        if not has_ensurepip():
            install(progress, ["python3-venv"])
        with progress.step("virtual environment for pip") as step:
            step.run(PYTHON, "-m", "venv", "--clear", folder)
    return folder / "bin" / "pip"


def has_ensurepip() -> bool:
    """Debian splits ensurepip off Python; without it no venv gets a pip."""
    asked = subprocess.run([PYTHON, "-c", "import ensurepip"], capture_output=True, check=False)
    return asked.returncode == 0
