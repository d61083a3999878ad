"""Whether orders can be placed now, and if not, why."""

from stocks_api.services.database_health import DatabaseHealth
from stocks_api.services.link import Link
from stocks_api.services.order_writer import OrderWriter


class Readiness:
    """Gateway, database, and orders reconciled with the gateway."""

    def __init__(
        self, gateway_mode: str, link: Link, database: DatabaseHealth, writer: OrderWriter
    ) -> None:
        self.gateway_mode = gateway_mode.upper()
        self._link = link
        self._database = database
        self._writer = writer

    def problems(self) -> dict[str, str]:
        """For each check its problem, empty if there is none."""
        behind = self._writer.reconciling
        return {
            "gateway": self._link.problem,
            "database": self._database.problem,
            "orders": "being reconciled with the gateway" if behind else "",
        }
