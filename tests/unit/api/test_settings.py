"""Settings that are wrong: the program ends at once, and says what to change."""

from __future__ import annotations

import re

import pytest

from stocks_api.main import main


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param(
            {"STOCKS_GATEWAY_MODE": "live"}, "STOCKS_LIVE_TRADING=true", id="live needs two opt-ins"
        ),
        pytest.param({"STOCKS_LIVE_TRADING": "true"}, "STOCKS_GATEWAY_MODE=live", id="the other"),
        pytest.param({"STOCKS_GATEWAY_PORT": "0"}, "STOCKS_GATEWAY_PORT", id="a port of 0"),
        pytest.param(
            {"STOCKS_GATEWAY_PORT": "tcp://10.0.0.7:4002"},
            "STOCKS_GATEWAY_PORT",
            id="a port as Kubernetes sets it for a Service",
        ),
        pytest.param(
            {"STOCKS_DATABASE_URL": "postgresql+asyncpg://stocks:@db/stocks"},
            "STOCKS_DATABASE_URL: .*empty password",
            id="an empty secret",
        ),
        pytest.param(
            {"STOCKS_REPLICAS": "2"},
            "replicas is 2, but SQLite .*STOCKS_DATABASE_URL to postgresql.*STOCKS_REPLICAS=1",
            id="two replicas on SQLite",
        ),
        pytest.param(
            {
                "STOCKS_REPLICAS": "2",
                "STOCKS_HOST": "0.0.0.0",
                "STOCKS_DATABASE_URL": "postgresql+asyncpg://db/stocks",
            },
            "set STOCKS_ADVERTISE_URL to http://",
            id="replicas that cannot find each other",
        ),
        pytest.param({"STOCKS_SYMBOLS": "AAPL,../x"}, "STOCKS_SYMBOLS", id="a strange symbol"),
        pytest.param(
            {"STOCKS_DATABASE_URL": "mysql://root:hunter2@db/x"},
            "STOCKS_DATABASE_URL: .*postgresql",
            id="another database",
        ),
    ],
)
def test_wrong_settings_are_refused_saying_what_to_change(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main([])
    said = str(ended.value)  # which Python prints on standard error, with the exit status 1
    assert re.search(message, said), said
    assert "hunter2" not in said
