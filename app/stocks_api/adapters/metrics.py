"""Every metric of the application: names, types and labels are a contract with the rules.

Children of closed label sets exist from the start, so a rate works from the first event on. The
text format 0.0.4 is served, never OpenMetrics: two gauges are called `_total` by specification.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from stocks_api.domain.market import Pnl, Position, finite
from stocks_api.domain.orders import (
    NOT_SENT,
    Irregular,
    Message,
    Order,
    OrderStatus,
    OrderType,
    Side,
)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# An edge at every default latency threshold (0.5 s and 1 s) and around it.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 10.0, 30.0)
# Acknowledgements take milliseconds; fills of resting orders take hours.
ORDER_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
QUERY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
COUNTED_STATUSES = tuple(status for status in OrderStatus if status is not OrderStatus.PENDING)
AUTH_REASONS = ("missing", "malformed", "unknown", "expired", "scope")
REJECTION_REASONS = (
    *("gateway", "gateway_down", "database_down", "not_leading", "backlog", "kill_switch"),
    *("risk_limit", "price_collar", "order_rate", "restricted", "duplicate"),
)
DISCONNECT_REASONS = ("closed", "unresponsive", "upstream", "error")
LATENCY_STAGES = ("ack", "fill")
# https://interactivebrokers.github.io/tws-api/message_codes.html
ERROR_CODES = frozenset(
    {100, 103, 104, 105, 110, 161, 200, 201, 321, 326, 354, 399, 404, 434, 1100, 1101, 1102, 1300}
    | {2103, 2105, 2110, 2157, 10147, 10148, 10167, 10197}
)
OTHER = "other"

_Metric = TypeVar("_Metric", Counter, Histogram)


class Metrics:
    """Implements every metrics port of the services and of the HTTP layer."""

    def __init__(
        self, registry: CollectorRegistry, symbols: Iterable[str], started_at: float | None = None
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry
        self._symbols = frozenset(symbols)
        started = time.time() if started_at is None else started_at
        self._http(registry)
        self._gateway(registry, started)
        self._orders(registry)
        self._risk(registry)
        self._account(registry)
        self._database(registry, started)
        self._blocked = Counter(
            "event_loop_blocked_seconds_total",
            "Time in which nothing could be answered, since one turn of the event loop lasted.",
            registry=registry,
        )
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def exposition(self) -> bytes:
        """The page that Prometheus scrapes, in text format 0.0.4."""
        return generate_latest(self._registry)

    def event_loop_blocked(self, seconds: float) -> None:
        """A turn of the event loop came so much too late."""
        self._blocked.inc(seconds)

    # HTTP

    def _http(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "api_requests_total", "HTTP requests.", ["method", "route", "status"], registry=registry
        )
        self._durations = Histogram(
            "api_request_duration_seconds",
            "Time to answer a request.",
            ["method", "route"],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._request_children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._auth_failures = _closed(
            Counter("auth_failures_total", "Refused API keys.", ["reason"], registry=registry),
            AUTH_REASONS,
        )

    def expect_route(self, method: str, route: str, status: int) -> None:
        """Bind the children of a route in advance."""
        self._request_pair(method, route, status)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        bounded = method if method in METHODS else "OTHER"
        counter, histogram = self._request_pair(bounded, route, status)
        counter.inc()
        histogram.observe(seconds)

    def _request_pair(self, method: str, route: str, status: int) -> tuple[Counter, Histogram]:
        key = (method, route, status)
        pair = self._request_children.get(key)
        if pair is None:
            pair = (
                self._requests.labels(method, route, str(status)),
                self._durations.labels(method, route),
            )
            self._request_children[key] = pair
        return pair

    def auth_failed(self, reason: str) -> None:
        """A request was refused for its key."""
        self._auth_failures.labels(reason).inc()

    # Gateway

    def _gateway(self, registry: CollectorRegistry, started: float) -> None:
        self._link = Gauge(
            "ib_connection_status",
            "1 while a round trip to the gateway succeeded lately, else 0.",
            registry=registry,
        )
        self._leader = Gauge(
            "gateway_leader",
            "1 while this replica holds the gateway's session, else 0.",
            registry=registry,
        )
        self._round_trip = Gauge(
            "ib_last_roundtrip_timestamp_seconds",
            "When the gateway last answered; the start of the process before the first answer.",
            registry=registry,
        )
        self._round_trip.set(started)
        self._disconnects = _closed(
            Counter("ib_disconnects_total", "Verified links lost.", ["reason"], registry=registry),
            DISCONNECT_REASONS,
        )
        self._errors = _closed(
            Counter(
                "ib_errors_total", "Error messages of the gateway.", ["code"], registry=registry
            ),
            (*map(str, sorted(ERROR_CODES)), OTHER),
        )
        self._irregular = Counter(
            "ib_irregular_messages_total",
            "Messages on orders that came again, after the order was final, or about no order of "
            "ours; and executions and commissions that did not come when they were asked for.",
            ["message", "reason"],
            registry=registry,
        )
        for message in Message:
            for reason in Irregular:
                self._irregular.labels(message, reason)
        self._ticks = Gauge(
            "market_data_last_tick_timestamp_seconds",
            "When the last tick came; the start of the process before the first one.",
            ["symbol"],
            registry=registry,
        )
        for symbol in self._symbols:
            self._ticks.labels(symbol).set(started)
        self._session = Gauge(
            "market_session_open",
            "1 while the exchange is open, else 0; absent while that is not known.",
            ["calendar"],
            registry=registry,
        )

    def leading(self, leads: bool) -> None:
        """This replica leads, or another does."""
        self._leader.set(1 if leads else 0)

    def link_verified(self, verified: bool) -> None:
        """The link became, or stopped being, verified."""
        self._link.set(1 if verified else 0)

    def round_trip_succeeded(self, at: float) -> None:
        """The gateway answered at `at`, epoch seconds."""
        self._round_trip.set(at)

    def disconnected(self, reason: str) -> None:
        """A verified link was lost."""
        self._disconnects.labels(reason if reason in DISCONNECT_REASONS else "closed").inc()

    def gateway_error(self, code: int) -> None:
        """The gateway sent an error message."""
        self._errors.labels(str(code) if code in ERROR_CODES else OTHER).inc()

    def irregular_message(self, message: Message, irregular: Irregular) -> None:
        """A message on an order was repeated, late, about no order of ours, or never came."""
        self._irregular.labels(message, irregular).inc()

    def ticked(self, symbol: str, at: datetime) -> None:
        """A tick of this symbol arrived."""
        self._ticks.labels(symbol).set(at.timestamp())

    def market_session(self, calendar: str, is_open: bool) -> None:
        """The exchange is open now, or not."""
        self._session.labels(calendar).set(1 if is_open else 0)

    # Orders

    def _orders(self, registry: CollectorRegistry) -> None:
        self._entered = Counter(
            "orders_total",
            "Orders by the status they entered.",
            ["side", "order_type", "status"],
            registry=registry,
        )
        for side in Side:
            for order_type in OrderType:
                for status in COUNTED_STATUSES:
                    self._entered.labels(side, order_type, status)
        self._latency = _closed(
            Histogram(
                "order_latency_seconds",
                "From sending an order to its acknowledgement, and to its fill.",
                ["stage"],
                buckets=ORDER_BUCKETS,
                registry=registry,
            ),
            LATENCY_STAGES,
        )
        self._rejections = _closed(
            Counter(
                "order_rejections_total", "Refused orders by reason.", ["reason"], registry=registry
            ),
            REJECTION_REASONS,
        )
        self._unresolved = Gauge(
            "orders_unresolved", "Orders whose outcome is not known.", registry=registry
        )

    def order_entered(self, order: Order, status: OrderStatus) -> None:
        """The order entered `status`, for the first time."""
        request = order.request
        self._entered.labels(request.side, request.order_type, status).inc()
        if status is OrderStatus.REJECTED and not order.reason.startswith(NOT_SENT):
            self.order_refused("gateway")

    def order_refused(self, reason: str) -> None:
        """An order was refused, here or by the gateway."""
        self._rejections.labels(reason).inc()

    def order_latency(self, stage: str, seconds: float) -> None:
        """`ack` or `fill`: seconds since the order was sent."""
        self._latency.labels(stage).observe(max(0.0, seconds))

    def unresolved_orders(self, count: int) -> None:
        """How many orders are unresolved."""
        self._unresolved.set(count)

    # Risk

    def _risk(self, registry: CollectorRegistry) -> None:
        self._kill_switch = Gauge(
            "kill_switch_active", "1 while trading is stopped, else 0.", registry=registry
        )
        self._position_limit = Gauge(
            "position_limit", "Shares that may be held.", ["symbol"], registry=registry
        )
        self._risk_file = Gauge(
            "risk_file_valid",
            "0 while the newest risk file is wrong and the limits before it are in force.",
            registry=registry,
        )

    def kill_switch(self, active: bool) -> None:
        """Trading is stopped, or not."""
        self._kill_switch.set(1 if active else 0)

    def position_limits(self, limits: Mapping[str, float], default: float) -> None:
        """Shares by symbol, and for all others; shown for the watch list."""
        for symbol in self._symbols:
            self._position_limit.labels(symbol).set(limits.get(symbol, default))

    def risk_file_valid(self, valid: bool) -> None:
        """Whether the newest file is in force."""
        self._risk_file.set(1 if valid else 0)

    # Account

    def _account(self, registry: CollectorRegistry) -> None:
        self._active = Gauge(
            "active_positions_total", "Positions that are not flat.", registry=registry
        )
        self._size = Gauge(
            "position_size", "Shares held; negative: short.", ["symbol"], registry=registry
        )
        self._position_pnl = Gauge(
            "position_pnl_unrealized",
            "Unrealised P&L of a position, account currency.",
            ["symbol"],
            registry=registry,
        )
        # Registered with their first values. A 0 in their place would be a P&L, and the true one a
        # move of it, at every start; a ratio to a worth of 0 would mean nothing.
        self._unrealized = Gauge(
            "pnl_unrealized_total", "Unrealised P&L, account currency.", registry=None
        )
        self._realized = Gauge(
            "pnl_realized_total", "Realised P&L of the day, account currency.", registry=None
        )
        self._daily = Gauge(
            "pnl_daily_total", "P&L since the previous close, account currency.", registry=None
        )
        self._worth = Gauge(
            "account_net_liquidation", "Worth of the account, account currency.", registry=None
        )
        self._unknown = {self._unrealized, self._realized, self._daily, self._worth}
        for symbol in self._symbols:
            self._size.labels(symbol)

    def positions(self, positions: Iterable[Position]) -> None:
        """All positions that are not flat; symbols off the watch list add up under `other`."""
        held = tuple(positions)
        self._active.set(len(held))
        sizes = dict.fromkeys(self._symbols, 0.0)
        profits: dict[str, float] = {}
        for position in held:
            label = self._label(position.symbol)
            sizes[label] = sizes.get(label, 0.0) + float(position.quantity)
            if (profit := finite(position.pnl.unrealized)) is not None:
                profits[label] = profits.get(label, 0.0) + profit
        _show(self._size, sizes)
        _show(self._position_pnl, profits)

    def account_pnl(self, pnl: Pnl) -> None:
        """Profit and loss of the account."""
        self._show_known(self._unrealized, pnl.unrealized)
        self._show_known(self._realized, pnl.realized)
        self._show_known(self._daily, pnl.daily)

    def net_liquidation(self, value: float) -> None:
        """What the account is worth."""
        self._show_known(self._worth, value)

    def _show_known(self, gauge: Gauge, value: float | None) -> None:
        number = finite(value)
        if number is None:
            return
        gauge.set(number)
        if gauge in self._unknown:
            self._unknown.remove(gauge)
            self._registry.register(gauge)

    def _label(self, symbol: str) -> str:
        return symbol if symbol in self._symbols else OTHER

    # Database

    def _database(self, registry: CollectorRegistry, started: float) -> None:
        self._database_up = Gauge(
            "database_up", "1 while orders can be stored, else 0.", registry=registry
        )
        self._database_success = Gauge(
            "database_last_success_timestamp_seconds",
            "When a query last succeeded; the start of the process before the first one.",
            registry=registry,
        )
        self._database_success.set(started)
        self._queries = Histogram(
            "database_query_duration_seconds",
            "Time of a database operation.",
            ["operation"],
            buckets=QUERY_BUCKETS,
            registry=registry,
        )

    def database_up(self, up: bool) -> None:
        """The last query succeeded, or not."""
        self._database_up.set(1 if up else 0)

    def database_succeeded(self, at: float) -> None:
        """A query succeeded at `at`, epoch seconds."""
        self._database_success.set(at)

    def database_query(self, operation: str, seconds: float) -> None:
        """An operation of the repository ended."""
        self._queries.labels(operation).observe(seconds)


def _closed(metric: _Metric, values: Iterable[str]) -> _Metric:
    """Bind every child of a closed label set, so that it is exposed as 0 from the start."""
    for value in values:
        metric.labels(value)
    return metric


def _show(gauge: Gauge, values: dict[str, float]) -> None:
    """Set one child for each label, and drop the children that have no value any more."""
    shown = [sample.labels for metric in gauge.collect() for sample in metric.samples]
    for labels in shown:
        if not values.keys() & labels.values():
            gauge.remove(*labels.values())
    for label, value in values.items():
        gauge.labels(label).set(value)
