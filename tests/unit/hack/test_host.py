from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster import host
from cluster.paths import HACK
from cluster.steps import Progress

STATUS = "Name:\tcat\nCapEff:\t{0}\nCapBnd:\t{0}\nCapAmb:\t0000000000000000\n"


@pytest.mark.parametrize(
    ("bounding", "lacks"),
    [
        pytest.param("000001ffffffffff", False, id="every capability"),
        pytest.param("000001fffeffffff", True, id="all but CAP_SYS_RESOURCE"),
        pytest.param("00000000a80425fb", True, id="an ordinary container's"),
    ],
)
def test_a_missing_capability_is_seen_in_the_bounding_set(bounding: str, lacks: bool) -> None:
    assert host.lacks_sys_resource(STATUS.format(bounding)) is lacks


def test_the_daemon_gets_its_own_runtime_only_where_the_capability_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(host, "capability_missing", lambda: False)
    assert host.runtime_options() == []
    monkeypatch.setattr(host, "capability_missing", lambda: True)
    assert "--default-runtime" in host.runtime_options()
    assert (tmp_path / "stocks-fastapi" / host.WRAPPER).stat().st_mode & 0o100


@pytest.mark.parametrize(
    "options", [("--bundle", "{bundle}"), ("--process", "{bundle}/config.json")]
)
def test_the_runtime_takes_that_one_capability_off_the_request(
    options: tuple[str, str], tmp_path: Path
) -> None:
    request = tmp_path / "config.json"
    names = ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_KILL"]
    request.write_text(json.dumps({"bounding": names}, separators=(",", ":")))
    runc = tmp_path / "runc"
    runc.write_text('#!/bin/sh\necho "$@"\n')
    runc.chmod(0o755)
    arguments = [options[0], options[1].format(bundle=tmp_path)]
    ran = subprocess.run(
        [HACK / host.WRAPPER, "create", *arguments, "node"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(request.read_text()) == {"bounding": ["CAP_CHOWN", "CAP_KILL"]}
    assert ran.stdout.split() == ["create", *arguments, "node"]


def test_an_ended_process_that_nobody_reaped_runs_no_program() -> None:
    with subprocess.Popen(["sleep", "100"]) as process:
        pid = str(process.pid)
        eventually(lambda: host.program_of(pid) == "sleep")
        process.kill()
        eventually(lambda: host.program_of(pid) == "")
    assert host.program_of(pid) == ""


def eventually(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_pid_file_left_by_a_reboot_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    host.docker_pid_file().write_text("1")
    assert host.program_of("1") != "dockerd"
    assert host.stop_docker(Progress(tmp_path)) is False
