"""Whether orders can be placed now, and if not, why."""

from stocks_api.services.database_health import DatabaseHealth
from stocks_api.services.leadership import Leadership, SoleReplica
from stocks_api.services.link import Link
from stocks_api.services.order_writer import OrderWriter


class Readiness:
    """Gateway, database, and orders reconciled with the gateway; or a leader that has these."""

    def __init__(
        self,
        gateway_mode: str,
        leadership: Leadership | SoleReplica,
        link: Link,
        database: DatabaseHealth,
        writer: OrderWriter,
    ) -> None:
        self.gateway_mode = gateway_mode.upper()
        self._leadership = leadership
        self._link = link
        self._database = database
        self._writer = writer

    def problems(self) -> dict[str, str]:
        """For each check its problem, empty if there is none."""
        shared = {"leader": self._leadership.problem, "database": self._database.problem}
        if self._leadership.elsewhere is not None:
            return shared
        behind = self._writer.reconciling
        return shared | {
            "gateway": self._link.problem,
            "orders": "being reconciled with the gateway" if behind else "",
        }
