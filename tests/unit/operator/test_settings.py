"""The environment: read once, and wrong in words."""

from __future__ import annotations

import pytest

from threshold_operator.settings import Settings, SettingsError


@pytest.fixture(autouse=True)
def namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THRESHOLDS_NAMESPACE", "stocks")


def test_the_defaults_are_those_of_the_documentation() -> None:
    settings = Settings.from_environment()
    assert settings.prometheus_url == ""
    assert settings.rule_labels == {"release": "kube-prometheus-stack"}
    assert settings.port == 8080


@pytest.mark.parametrize("all_of_them", ["", "*"], ids=["empty", "a star"])
def test_all_namespaces_may_be_served_from_one(
    monkeypatch: pytest.MonkeyPatch, all_of_them: str
) -> None:
    assert Settings.from_environment().lease_namespace == "stocks"
    monkeypatch.setenv("THRESHOLDS_NAMESPACE", all_of_them)
    monkeypatch.setenv("THRESHOLDS_LEASE_NAMESPACE", "home")
    settings = Settings.from_environment()
    assert (settings.namespace, settings.lease_namespace) == ("", "home")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("release=monitoring", {"release": "monitoring"}),
        ("release=monitoring, team=desk", {"release": "monitoring", "team": "desk"}),
        ("prometheus=", {"prometheus": ""}),
        ("", {}),
    ],
    ids=["one", "two", "an empty value", "none"],
)
def test_rule_labels_are_pairs(
    monkeypatch: pytest.MonkeyPatch, text: str, labels: dict[str, str]
) -> None:
    monkeypatch.setenv("THRESHOLDS_RULE_LABELS", text)
    assert Settings.from_environment().rule_labels == labels


WRONG = {
    "all namespaces, and no place for the Lease": (
        "NAMESPACE",
        "*",
        "THRESHOLDS_LEASE_NAMESPACE: must be set where THRESHOLDS_NAMESPACE means all namespaces",
    ),
    "a namespace that is PromQL": ("NAMESPACE", 'a"}', "THRESHOLDS_NAMESPACE: String should match"),
    "labels that are no pairs": ("RULE_LABELS", "release", "THRESHOLDS_RULE_LABELS: must be comma"),
    "a label without a name": ("RULE_LABELS", "=x", "THRESHOLDS_RULE_LABELS: must be comma"),
    "no URL": ("PROMETHEUS_URL", "prometheus:9090", "THRESHOLDS_PROMETHEUS_URL: String should"),
    "a Prometheus object of no namespace": (
        "PROMETHEUS_OBJECT",
        "kube-prometheus-stack-prometheus",
        "THRESHOLDS_PROMETHEUS_OBJECT: String should match",
    ),
    "no port": ("PORT", "http", "THRESHOLDS_PORT: Input should be a valid integer"),
}


@pytest.mark.parametrize(("name", "value", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"THRESHOLDS_{name}", value)
    with pytest.raises(SettingsError, match="the environment is wrong") as wrong:
        Settings.from_environment()
    assert message in str(wrong.value)
