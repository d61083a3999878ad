"""Speaks the TWS wire protocol, so that everything runs without an IB account."""

from gateway_simulator.server import GatewaySimulator
from gateway_simulator.settings import Settings, SettingsError

__all__ = ["GatewaySimulator", "Settings", "SettingsError"]
