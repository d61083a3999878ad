"""The IB gateway, by ib_insync or ib_async: the only package that knows these clients.

Facts about their behaviour that this relies on were read from their sources (0.9.86; of its
continuation 2.1.0) and are named where they matter.
"""

from stocks_api.adapters.gateway.gateway import IbGateway
from stocks_api.adapters.gateway.ports import GatewayConfig, Listeners

__all__ = ["GatewayConfig", "IbGateway", "Listeners"]
