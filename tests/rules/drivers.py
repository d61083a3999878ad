"""Raw series under which a signal takes given values: one driver for each alert of the catalogue.

A driver gets the signal's values, one every 15 s from time 0, and a value of the scope label; it
returns what the programs and exporters would show. A rate over 5 minutes follows with that delay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

STEP = 15
NAMESPACE = 'namespace="__NAMESPACE__"'

Values = Sequence[float | None]
Series = dict[str, Values]
Driver = Callable[[Sequence[float], str], Series]


def _age(metric: str, scope: str = "") -> Driver:
    """Of a timestamp: the older the higher."""

    def series(values: Sequence[float], label: str) -> Series:
        name = _name(metric, scope, label)
        return {name: [step * STEP - value for step, value in enumerate(values)]}

    return series


def _gauge(metric: str, *, scope: str = "", of: tuple[str, float] | None = None) -> Driver:
    """The number itself, or a share of another gauge: ``of`` is its name and value."""

    def series(values: Sequence[float], label: str) -> Series:
        whole_metric, whole = of or ("", 1.0)
        shown: Series = {_name(metric, scope, label): [value * whole for value in values]}
        if of:
            shown[_name(whole_metric, scope, label)] = [whole] * len(values)
        return shown

    return series


def _instances(metric: str) -> Driver:
    """As many pods as the signal says, in whole numbers."""

    def series(values: Sequence[float], _: str) -> Series:
        most = max(round(value) for value in values)
        return {
            f'{metric}{{{NAMESPACE},pod="{pod}"}}': [
                0.0 if round(value) > pod else None for value in values
            ]
            for pod in range(most)
        }

    return series


def _rejections(values: Sequence[float], _: str) -> Series:
    """A hundred orders every 15 s, of which a share is rejected."""
    orders = f'orders_total{{{NAMESPACE},side="BUY",order_type="MKT",status='
    return {
        f'{orders}"rejected"}}': _counted(100 * value for value in values),
        f'{orders}"accepted"}}': _counted(100 * (1 - value) for value in values),
    }


def _failures(values: Sequence[float], _: str) -> Series:
    name = f'auth_failures_total{{{NAMESPACE},reason="unknown"}}'
    return {name: _counted(value * STEP / 60 for value in values)}


def _latency(values: Sequence[float], route: str) -> Series:
    """A hundred requests every 15 s, all in one bucket, of which p99 is 99 % of the way."""
    metric, labels = "api_request_duration_seconds", f'{NAMESPACE},route="{route}"'
    seconds = [max(value, 0.001) for value in values]
    edges = {s: (0.9 * s, 0.9 * s + 0.1 * s / 0.99) for s in seconds}
    shown: Series = {
        f'{metric}_bucket{{{labels},le="{edge:.12f}"}}': _counted(
            100.0 if edges[s][1] <= edge else 0.0 for s in seconds
        )
        for edge in sorted({edge for pair in edges.values() for edge in pair})
    }
    every = _counted(100.0 for _ in seconds)
    infinite = f'{metric}_bucket{{{labels},le="+Inf"}}'
    return {**shown, infinite: every, f"{metric}_count{{{labels}}}": every}


def _pnl(metric: str, scope: str = "") -> Driver:
    """A move within 5 minutes as a share of a net liquidation of a million."""

    def series(values: Sequence[float], label: str) -> Series:
        steps = 300 / STEP
        return {
            _name(metric, scope, label): _counted(1e6 * value / steps for value in values),
            _name("account_net_liquidation"): [1e6] * len(values),
        }

    return series


def _account_pnl(values: Sequence[float], label: str) -> Series:
    realized = {_name("pnl_realized_total"): [0.0] * len(values)}
    return {**_pnl("pnl_unrealized_total")(values, label), **realized}


def _ticks(values: Sequence[float], symbol: str) -> Series:
    session = {f'market_session_open{{{NAMESPACE},calendar="XNYS"}}': [1.0] * len(values)}
    age = _age("market_data_last_tick_timestamp_seconds", "symbol")
    return {**age(values, symbol), **session}


def _memory(values: Sequence[float], container: str) -> Series:
    labels = f'{NAMESPACE},pod="{container}-0",container="{container}"'
    return {
        f"container_memory_working_set_bytes{{{labels}}}": [value * 2**29 for value in values],
        f"container_spec_memory_limit_bytes{{{labels}}}": [2.0**29] * len(values),
    }


DRIVERS: dict[str, Driver] = {
    "StocksGatewayConnectionLost": _age("ib_last_roundtrip_timestamp_seconds"),
    "StocksOrderRejectionRateHigh": _rejections,
    "StocksApiLatencyHigh": _latency,
    "StocksPnlMoveUnusual": _pnl("position_pnl_unrealized", "symbol"),
    "StocksAccountPnlMoveUnusual": _account_pnl,
    "StocksDatabaseConnectionFailed": _age("database_last_success_timestamp_seconds"),
    "StocksAuthenticationFailuresHigh": _failures,
    "StocksOrdersUnresolved": _gauge("orders_unresolved"),
    "StocksApiAbsent": _instances("ib_connection_status"),
    "StocksPositionLimitBreached": _gauge(
        "position_size", scope="symbol", of=("position_limit", 200.0)
    ),
    "StocksMarketDataDelayed": _ticks,
    "StocksDiskSpaceLow": _gauge(
        "kubelet_volume_stats_available_bytes",
        scope="persistentvolumeclaim",
        of=("kubelet_volume_stats_capacity_bytes", 2.0**30),
    ),
    "StocksMemoryUsageHigh": _memory,
    "StocksKillSwitchActive": _gauge("kill_switch_active"),
    "StocksThresholdNotEffective": _gauge('threshold_objects{state="Conflict"}'),
    "StocksOperatorDown": _instances("thresholds_last_success_timestamp_seconds"),
}


def notation(values: Values) -> str:
    """As promtool reads them; an instance that is gone is stale at once, as after a scrape."""
    return " ".join("stale" if value is None else repr(value) for value in values)


def _name(metric: str, scope: str = "", label: str = "") -> str:
    name, _, more = metric.rstrip("}").partition("{")
    labels = [NAMESPACE, *([more] if more else []), *([f'{scope}="{label}"'] if scope else [])]
    return f"{name}{{{','.join(labels)}}}"


def _counted(increments: Iterable[float]) -> list[float]:
    return list(accumulate(increments))
