"""``python -m threshold_operator``: the commands on files, and ``run`` in a cluster."""

from __future__ import annotations

import argparse
import sys

from threshold_operator.cli import commands as cli
from threshold_operator.cli.sources import Commands
from threshold_operator.model.catalogue import CatalogueError
from threshold_operator.settings import Settings, SettingsError


def main() -> None:
    """The command line."""
    cli.main(commands=[_add_run])


def _add_run(commands: Commands) -> None:
    parser = commands.add_parser(
        "run",
        help="serve the AlertThresholds of one namespace, or of all",
        description="Serve AlertThresholds until SIGTERM, or wait until the one who does ends.",
        epilog="Set by the environment: THRESHOLDS_NAMESPACE (required; * means all),"
        " THRESHOLDS_LEASE_NAMESPACE (then required), THRESHOLDS_RELEASE, THRESHOLDS_CATALOGUE,"
        " THRESHOLDS_OWN_ALERTS, THRESHOLDS_OWN_ALERTS_CONFIG_MAP,"
        " THRESHOLDS_PROMETHEUS_URL, THRESHOLDS_RULE_LABELS, THRESHOLDS_HOST, THRESHOLDS_PORT.",
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    # Half a second of imports that the other commands needn't wait for.
    from threshold_operator.cluster.api import KubeError
    from threshold_operator.reconcile.handlers import run

    try:
        run(Settings.from_environment())
    except (SettingsError, CatalogueError, KubeError) as error:
        print(f"threshold-operator run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
