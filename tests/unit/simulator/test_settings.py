"""Settings come from the environment; what is wrong is named, all at once."""

from decimal import Decimal

import pytest

from gateway_simulator.settings import Settings, SettingsError, unknown_names


def test_defaults() -> None:
    assert Settings.from_environment({}) == Settings(
        host="127.0.0.1",
        port=4002,
        control_host="127.0.0.1",
        control_port=8081,
        seed=1,
        account="DU1234567",
        tick_seconds=0.25,
        initial_cash=Decimal(1_000_000),
    )


def test_every_setting_can_be_changed() -> None:
    changed = Settings.from_environment(
        {
            "SIMULATOR_HOST": "0.0.0.0",
            "SIMULATOR_PORT": "4003",
            "SIMULATOR_CONTROL_HOST": "::1",
            "SIMULATOR_CONTROL_PORT": "0",
            "SIMULATOR_SEED": "42",
            "SIMULATOR_ACCOUNT": "DU7",
            "SIMULATOR_TICK_SECONDS": " 0.5 ",
            "SIMULATOR_INITIAL_CASH": "2.5e6",
        }
    )
    assert changed == Settings("0.0.0.0", 4003, "::1", 0, 42, "DU7", 0.5, Decimal("2.5e6"))


@pytest.mark.parametrize(
    ("name", "value", "limit"),
    [
        ("HOST", "", "host name"),
        ("PORT", "65536", "from 0 to 65535"),
        ("PORT", "tcp://10.0.0.1:4002", "from 0 to 65535"),
        ("PORT", "-1", "from 0 to 65535"),
        ("PORT", "٣", "from 0 to 65535"),
        ("CONTROL_PORT", "", "from 0 to 65535"),
        ("SEED", "one", "whole number"),
        ("ACCOUNT", "DU1,DU2", "letters and digits"),
        ("TICK_SECONDS", "nan", "from 0.01 to 60"),
        ("TICK_SECONDS", "0", "from 0.01 to 60"),
        ("TICK_SECONDS", "often", "from 0.01 to 60"),
        ("INITIAL_CASH", "-1", "above 0"),
        ("INITIAL_CASH", "NaN", "above 0"),
        ("INITIAL_CASH", "lots", "above 0"),
    ],
)
def test_a_wrong_value_is_named_with_its_limit(name: str, value: str, limit: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({f"SIMULATOR_{name}": value})
    assert f"SIMULATOR_{name} must be" in str(error.value)
    assert limit in str(error.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_environment({"SIMULATOR_PORT": "x", "SIMULATOR_SEED": "y"})
    assert len(str(error.value).splitlines()) == 2


def test_misspelt_names_are_found() -> None:
    environment = {"SIMULATOR_PROT": "1", "SIMULATOR_PORT": "1", "OTHER": "1"}
    assert unknown_names(environment) == ["SIMULATOR_PROT"]
