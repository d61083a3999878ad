#!/usr/bin/env python3
"""Prints the alerts that Alertmanager sends: a receiver for demos, without an account anywhere.

The path of the webhook's URL is the receiver's name: ``http://localhost:9099/page``. A GET answers
with the last lines. Standard library only; it knows no keys, so it listens on loopback by default.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

LONGEST_BODY = 1 << 20
KEPT_LINES = 1000
#: Told at another place of the line.
NOT_SCOPE = {"alertname", "severity", "prometheus"}


def lines(receiver: str, message: dict[str, Any]) -> Iterator[str]:
    """A line for each alert of a webhook message, version 4 of Alertmanager's format."""
    for alert in message["alerts"]:
        labels = alert["labels"]
        scope = ",".join(f"{k}={v}" for k, v in sorted(labels.items()) if k not in NOT_SCOPE)
        said = alert["annotations"].get("description", "")
        since = alert["startsAt"] if alert["status"] == "firing" else alert["endsAt"]
        what = f"{labels['alertname']}{{{scope}}}"
        yield f"{since} {receiver}: {alert['status']} {labels.get('severity')} {what} {said}"


class Handler(BaseHTTPRequestHandler):
    """``POST /<receiver>`` prints, ``GET /`` shows what was printed."""

    kept: ClassVar[deque[str]] = deque(maxlen=KEPT_LINES)

    def do_POST(self) -> None:
        """A message of Alertmanager's."""
        length = int(self.headers.get("Content-Length") or 0)
        if length > LONGEST_BODY:
            return self._answer(413, f"at most {LONGEST_BODY} bytes")
        try:
            told = list(lines(self.path.strip("/"), json.loads(self.rfile.read(length))))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._answer(400, f"no message of an Alertmanager: {error!r}")
        for line in told:
            print(line, flush=True)
        self.kept.extend(told)
        return self._answer(200, f"{len(told)} alerts")

    def do_GET(self) -> None:
        """The last lines, the oldest first."""
        self._answer(200, "\n".join(self.kept))

    def _answer(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, *_: object) -> None:
        """Only alerts are worth a line."""


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--port", type=int, default=9099, help="default: %(default)s")
    options = parser.parse_args()
    ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
