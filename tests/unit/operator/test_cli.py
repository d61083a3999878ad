"""The commands that need no cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from threshold_operator.cli.commands import main

ROOT = Path(__file__).parents[3]
RULES = ROOT / "charts" / "stocks-fastapi" / "files" / "rules"
GOOD = (ROOT / "examples" / "rejection-rate.yaml").read_text()


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def code_of(*argv: str) -> int:
    """The exit code of a command."""
    try:
        main(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_render_writes_the_chart_rules_and_the_objects_of_one_namespace(tmp_path: Path) -> None:
    main(["render", "--namespace", "desk", "--output", str(tmp_path), "examples/tsla-pnl.yaml"])
    of_the_operator = {"stocks-operator-down.yaml", "stocks-threshold-not-effective.yaml"}
    rendered = {file.name for file in tmp_path.glob("stocks-*.yaml")}
    assert rendered == {file.name for file in RULES.glob("*.yaml")} - of_the_operator
    assert not any("__NAMESPACE__" in file.read_text() for file in tmp_path.iterdir())
    (group,) = yaml.safe_load((tmp_path / "threshold-tsla-pnl.yaml").read_text())["groups"]
    assert group["rules"][0]["labels"]["namespace"] == "desk"


def test_row_b_an_expired_object_is_valid_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(GOOD + '  expiresAt: "2020-01-01T00:00:00Z"\n')
    assert code_of("validate", str(old)) == 0
    said = capsys.readouterr()
    assert said.out == "1 valid\n"
    assert (
        "old.yaml, AlertThreshold/rejection-rate: warning: spec.expiresAt: 2020-01-01" in said.err
    )
    rendered = tmp_path / "rules"
    assert code_of("render", "--namespace", "x", "--output", str(rendered), str(old)) == 0


def test_row_o_tiers_out_of_order_with_the_default_are_valid_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(GOOD.replace("  warning: {threshold: 0.02}\n", ""))
    assert code_of("validate", str(file)) == 0
    said = capsys.readouterr()
    assert said.out == "1 valid\n"
    assert "warning: critical 0.05 (of rejection-rate) is reached no later than" in said.err


def test_every_example_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted((ROOT / "examples").glob("*.yaml"))
    examples = [str(file) for file in files if "kind: AlertThreshold" in file.read_text()]
    assert examples
    main(["validate", *examples])
    assert capsys.readouterr().out == f"{len(examples)} valid\n"


UNUSABLE = {
    "a list": ("- a list", "is no object; start with apiVersion:"),
    "no YAML": ("a: [", "while parsing"),
    "nesting without end": ("[" * 9000, "maximum recursion depth"),
    "not UTF-8": (b"\xff\xfe", "can't decode byte"),
}


@pytest.mark.parametrize(("content", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_file_that_cannot_be_used_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, message: str
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert code_of("validate", str(bad)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert str(bad) in said


def test_a_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of("validate", "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err


TWIN = GOOD.replace("name: rejection-rate", "name: twin")
INVALID = {
    "out of bounds": (
        GOOD.replace("0.05", "5"),
        "spec.critical.threshold: is 5, must lie between 0.001 and 1",
    ),
    "warning beyond critical": (
        GOOD.replace("0.05", "0.01"),
        "must lie above warning.threshold (0.02)",
    ),
    "unknown alert": (
        GOOD.replace("StocksOrder", "StocksOrdre"),
        "is not in the catalogue; known: Stocks",
    ),
    "metadata that is a list": ("metadata: [a]", "metadata: is missing"),
    "a namespace that is a number": (
        GOOD.replace("metadata:", "metadata:\n  namespace: 7"),
        "metadata.namespace: must be a string",
    ),
    "another namespace": (
        GOOD.replace("metadata:", "metadata:\n  namespace: desk"),
        "metadata.namespace: is desk, but --namespace is trading",
    ),
    "one name twice": (f"{GOOD}---\n{GOOD}", "metadata.name: is given to two objects"),
    "two objects of one scope": (
        f"{GOOD}---\n{TWIN}",
        "rejection-rate is older and already sets warning of StocksOrderRejectionRateHigh",
    ),
}


@pytest.mark.parametrize("command", ["validate", "render"])
@pytest.mark.parametrize(("text", "message"), INVALID.values(), ids=INVALID)
def test_an_invalid_object_is_refused_with_field_and_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, text: str, message: str
) -> None:
    bad, output = tmp_path / "bad.yaml", tmp_path / "rules"
    bad.write_text(text)
    more = ["--output", str(output)] if command == "render" else []
    argv = [command, "--namespace", "trading", *more, str(bad), "examples/tsla-pnl.yaml"]
    assert code_of(*argv) == 1
    said = capsys.readouterr().err
    assert f"{bad}, " in said
    assert message in said
    assert not output.exists(), "nothing is written of what is half right"


def test_a_list_as_kubectl_prints_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [yaml.safe_load(GOOD)]
    (tmp_path / "list.yaml").write_text(yaml.safe_dump({"kind": "List", "items": items}))
    assert code_of("validate", str(tmp_path / "list.yaml")) == 0
    assert capsys.readouterr().out == "1 valid\n"


def test_programs_get_every_problem_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("0.05", "5"))
    assert code_of("validate", "--output-format", "json", str(bad), "examples/tsla-pnl.yaml") == 1
    wrong, right = json.loads(capsys.readouterr().out)
    assert (wrong["name"], wrong["valid"], right["valid"]) == ("rejection-rate", False, True)
    assert wrong["problems"][0]["field"] == "spec.critical.threshold"


def test_render_tells_programs_what_it_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["render", "--namespace", "desk", "--output", str(tmp_path), "--output-format", "json"]
    main(argv)
    capsys.readouterr()
    main([*argv, "examples/tsla-pnl.yaml"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["file"] for row in rows if row["changed"]] == ["threshold-tsla-pnl.yaml"]


EXAMPLES = ("examples/rejection-rate.yaml", "examples/tsla-pnl.yaml")


def test_list_shows_the_objects_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list", *EXAMPLES])
    head, first, second = capsys.readouterr().out.splitlines()
    columns = "NAME ALERT SCOPE WARNING CRITICAL MODE UNTIL ACCEPTED EFFECTIVE STATE"
    assert head.split() == columns.split()
    assert first.split() == [
        *("rejection-rate", "StocksOrderRejectionRateHigh", "*", "0.02", "0.05", "Enforce"),
    ]
    assert second.split()[2:] == ["symbol=TSLA", "0.03", "Enforce", "2099-12-24T21:00:00Z"]


@pytest.mark.parametrize("command", ["list", "validate"])
def test_it_needs_files_or_a_namespace(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(command) == 2
    assert "give --namespace, or files" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_diff_against_the_defaults(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["diff", "--against", "defaults", "--namespace", "desk", "--output-format", form]
    assert code_of(*argv, *EXAMPLES) == 1
    rows = yaml.safe_load(capsys.readouterr().out)
    assert [(r["scope"], r["tier"], r["before"], r["by"], r["after"]) for r in rows] == [
        ("*", "critical", 0.2, "default", 0.05),
        ("*", "warning", 0.1, "default", 0.02),
        ("symbol=TSLA", "critical", 0.05, "default", 0.03),
    ]
    assert rows[2]["until"] == "2099-12-24T21:00:00Z"


def test_diff_of_what_changes_nothing_is_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = tmp_path / "same.yaml"
    same.write_text(GOOD.replace("0.05", "0.2").replace("0.02", "0.1"))
    assert code_of("diff", "--against", "defaults", "--namespace", "desk", str(same)) == 0
    assert capsys.readouterr().out == "no number changes\n"


def test_diff_of_an_invalid_object_is_2(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("0.05", "5"))
    assert code_of("diff", "--against", "defaults", "--namespace", "desk", str(bad)) == 2


def test_nothing_in_an_object_reaches_the_terminal_as_markup_or_escape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nasty = (Path("examples/tsla-pnl.yaml").read_text()).replace("TSLA", '"[red]\\e[31m"')
    (tmp_path / "nasty.yaml").write_text(nasty)
    main(["list", str(tmp_path / "nasty.yaml")])
    said = capsys.readouterr().out
    assert "symbol=[red]\\x1b[31m" in said
    assert "\x1b" not in said, "and no colours where there is no terminal"


@pytest.mark.parametrize("command", ["render", "validate", "diff", "preview", "list"])
def test_help_tells_the_exit_codes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(command, "--help") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "exit codes: 0, all is well; 1, " in said
    assert "2, it couldn't be found out" in said
