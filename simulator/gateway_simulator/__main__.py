"""``python -m gateway_simulator``: run until SIGTERM or SIGINT."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys

from gateway_simulator.server import GatewaySimulator
from gateway_simulator.settings import Settings, SettingsError, unknown_names

log = logging.getLogger("gateway_simulator")

_DESCRIPTION = """\
Speaks the TWS protocol, so that a trading program runs without an Interactive Brokers account.
Orders fill against seeded random prices; faults are injected over HTTP."""

_SETTINGS = """\
environment:
  SIMULATOR_HOST          address of the TWS protocol (127.0.0.1)
  SIMULATOR_PORT          its port (4002)
  SIMULATOR_CONTROL_HOST  address of the HTTP control port (127.0.0.1)
  SIMULATOR_CONTROL_PORT  its port (8081): /healthz, /state, /faults/...
  SIMULATOR_SEED          seed of the random prices (1)
  SIMULATOR_ACCOUNT       account code (DU1234567)
  SIMULATOR_TICK_SECONDS  seconds between price moves (0.25)
  SIMULATOR_INITIAL_CASH  cash at the start, USD (1000000)"""


def main() -> int:
    """Run; returns the exit status: 0 after a signal, 2 for wrong settings, 1 for anything else."""
    argparse.ArgumentParser(
        prog="python -m gateway_simulator",
        description=_DESCRIPTION,
        epilog=_SETTINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    for name in unknown_names(os.environ):
        log.warning("%s is not a setting and is ignored; see --help", name)
    try:
        asyncio.run(_serve(settings))
    except OSError as error:
        log.error("cannot listen: %s", error)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with GatewaySimulator(settings) as simulator:
        log.info("SIMULATED gateway for account %s", settings.account)
        log.info("control port: %s", simulator.control_url)
        serving = asyncio.create_task(simulator.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    log.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
