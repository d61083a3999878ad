"""``python -m monitoring.dash``: the dashboards at http://127.0.0.1:3000/dash (`make dash`)."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from aiohttp import web
from monitoring.dash.server import DashboardsError, application
from yarl import URL

FILES = Path(__file__).resolve().parents[2] / "charts/stocks-fastapi/files/dashboards"


def main() -> None:
    """Serve until told to stop; exits 1 where there are no dashboards."""
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    try:
        app = application(arguments.prometheus, arguments.dashboards)
    except DashboardsError as error:
        sys.exit(f"dash: {error}")
    print(f"http://{arguments.host}:{arguments.port}/dash", flush=True)
    web.run_app(app, host=arguments.host, port=arguments.port, print=None, access_log=None)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dash", description=__doc__)
    parser.add_argument("--prometheus", type=URL, default=URL("http://127.0.0.1:9090"))
    parser.add_argument("--dashboards", type=Path, default=FILES, metavar="FOLDER")
    parser.add_argument("--host", default="127.0.0.1", help="default: loopback alone")
    parser.add_argument("--port", type=int, default=3000)
    return parser


if __name__ == "__main__":
    main()
