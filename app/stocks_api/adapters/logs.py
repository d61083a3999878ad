"""Structured logs: one JSON object per line on standard error."""

import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

# Attributes that every record has; whatever else is on it was passed as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JsonFormatter(logging.Formatter):
    """Time (UTC), level, logger, message, the request's id, and what was passed as `extra`."""

    def __init__(self, request_id: Callable[[], str | None]) -> None:
        super().__init__()
        self._request_id = request_id

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": self._request_id(),
        }
        entry |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({k: v for k, v in entry.items() if v is not None}, default=str)


def configure(level: str, request_id: Callable[[], str | None]) -> None:
    """Send every logger's records to standard error as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(request_id))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("ib_insync", "ib_async", "alembic", "eventkit", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # What these two have to say is said by the gateway adapter and the link, once.
    for client in ("ib_insync", "ib_async"):
        for repeating in (f"{client}.client", f"{client}.wrapper"):
            logging.getLogger(repeating).setLevel(logging.CRITICAL)
