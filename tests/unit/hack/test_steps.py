from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest

from cluster.locks import only_one
from cluster.steps import ClusterError, CommandError, Progress, end_line, slug, start_line


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def progress(tmp_path: Path, out: io.StringIO) -> Progress:
    return Progress(tmp_path, out)


def test_a_step_is_announced_and_timed(progress: Progress, out: io.StringIO) -> None:
    with progress.step("build kind 0.33.0") as step:
        step.note = "cached"
    started, ended = out.getvalue().splitlines()
    assert started == start_line("build kind 0.33.0")
    assert ended.startswith("  ok  build kind 0.33.0  0.")
    assert ended.endswith(" s  (cached)")


def test_a_line_without_a_note_ends_with_the_seconds() -> None:
    assert end_line("node image", 17.04) == "  ok  node image  17.0 s"


def test_what_a_command_prints_goes_to_the_log_of_its_step(
    progress: Progress, tmp_path: Path
) -> None:
    with progress.step("say (both)") as step:
        step.run("sh", "-c", "echo out; echo err >&2")
    log = (tmp_path / f"{slug('say (both)')}.log").read_text()
    assert log.splitlines() == ["$ sh -c 'echo out; echo err >&2'", "out", "err"]


def test_output_is_returned_and_input_is_passed(progress: Progress) -> None:
    with progress.step("cat") as step:
        assert step.output("cat", stdin="hello") == "hello"


def test_a_failed_step_shows_the_end_of_its_log_and_where_it_is(
    progress: Progress, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError) as failed, progress.step("break") as step:
        step.run("sh", "-c", "seq 100; exit 3")
    text = str(failed.value)
    assert "break: sh ended with code 3" in text
    assert "| 100\n" in text
    assert "| 80\n" not in text, "only the last lines"
    assert str(tmp_path / "break.log") in text


def test_the_hint_of_a_failed_command_survives(progress: Progress) -> None:
    error = CommandError("no", "try harder")
    with pytest.raises(ClusterError) as failed, progress.step("break"):
        raise error
    assert failed.value.hint == "try harder"


def test_a_failure_on_either_side_of_a_pipe_fails_the_step(progress: Progress) -> None:
    with pytest.raises(ClusterError), progress.step("pipe") as step:
        step.pipe(("false",), ("cat",))


def test_the_first_failure_stops_what_runs_beside_it(progress: Progress) -> None:
    def fail() -> None:
        raise ClusterError("broken")

    def sleep() -> None:
        with progress.step("sleep") as step:
            step.run("sleep", "100")

    with pytest.raises(ClusterError, match="broken"):
        progress.side_by_side(fail, sleep)


def test_two_runs_do_not_hold_a_lock_at_once(
    progress: Progress, out: io.StringIO, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    order = []

    def second() -> None:
        with only_one("build", progress):
            order.append("second")

    with only_one("build", progress):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        order.append("first")
    other.join()
    assert order == ["first", "second"]
    assert "waiting for another run" in out.getvalue()
