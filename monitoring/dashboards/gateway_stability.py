"""Gateway stability: is Interactive Brokers there, and are its prices fresh?"""

from __future__ import annotations

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode
from monitoring.dashboards.queries import Query, firing, held_against_limits, ours, per_minute

from threshold_operator.model.catalogue import Catalogue

ALERTS = "StocksGateway.+|StocksMarketData.+|StocksApiAbsent"
LINK = {1: ("VERIFIED", panels.GREEN), 0: ("LOST", panels.RED)}
# A closed market is no fault, and neither green nor red.
SESSION = {1: ("OPEN", panels.GREEN), 0: ("CLOSED", panels.GREY)}


def gateway_stability(catalogue: Catalogue) -> Board:
    """Of the link between the API and the gateway."""
    return Board(
        uid="stocks-gateway-stability",
        title="Gateway stability",
        text="The link to the gateway, its errors, the age of the prices, the market's session.",
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("Over time", _timelines()),
            Row("The link", _link(catalogue)),
            Row("Market data", _market_data(catalogue)),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    lost = f"sum(increase({ours('ib_disconnects_total')}[$__range]))"
    return [
        mode(),
        panels.none_is_well(
            "Alerts firing", "Connection, market data and absence.", firing(ALERTS)
        ),
        panels.words(
            "Gateway link",
            "VERIFIED while a round trip succeeded lately; an open socket isn't enough.",
            f"min({ours('ib_connection_status')})",
            LINK,
            no_value="API not scraped",
        ),
        panels.words(
            "Market",
            "By the exchange's calendar: holidays, half days, daylight saving.",
            f"max({ours('market_session_open')})",
            SESSION,
            no_value="no calendar",
        ),
        panels.number(
            "Last round trip",
            "How long ago the gateway last answered.",
            ours("stocks:gateway_silence:seconds"),
            "s",
            decimals=0,
        ),
        panels.number("Links lost", "In the time that is shown.", lost, "short", decimals=0),
    ]


def _timelines() -> list[panels.Built]:
    return [
        panels.timeline(
            "Gateway link over time",
            "By instance of the API. A gap is a time without a scrape.",
            [Query(ours("ib_connection_status"), "{{instance}}")],
            LINK,
        ),
        panels.timeline(
            "Market session over time",
            "By calendar. Prices stand still while it is closed.",
            [Query(f"max by (calendar) ({ours('market_session_open')})", "{{calendar}}")],
            SESSION,
            no_value="no calendar is set (STOCKS_CALENDAR)",
        ),
    ]


def _link(catalogue: Catalogue) -> list[panels.Built]:
    irregular = per_minute("ib_irregular_messages_total", by="message, reason")
    limited, unit = held_against_limits(catalogue, "StocksGatewayConnectionLost")
    return [
        panels.lines(
            "Time since the last round trip, and its limits",
            "A round trip is made every 5 s. Dashed: the limits in force.",
            limited,
            unit,
            width=6,
        ),
        panels.bars(
            "Links lost by reason",
            "closed: by the gateway; unresponsive: open but deaf; upstream: between it and IB.",
            [Query(per_minute("ib_disconnects_total", by="reason"), "{{reason}}")],
            "suffix:/min",
            width=6,
        ),
        panels.bars(
            "Errors by code",
            "Codes of the TWS API; empty while the gateway reports none.",
            [Query(f"{per_minute('ib_errors_total', by='code')} > 0", "{{code}}")],
            "suffix:/min",
            width=6,
            no_value="no error",
        ),
        panels.bars(
            "Messages on orders out of turn",
            "duplicate: a real gateway says some statuses twice; late: the order was final; "
            "missing: not told of a fill even when asked; unknown: about no order of ours.",
            [Query(f"{irregular} > 0", "{{message}}: {{reason}}")],
            "suffix:/min",
            width=6,
            no_value="none",
        ),
    ]


def _market_data(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksMarketDataDelayed")
    last = f"max by (symbol) ({ours('market_data_last_tick_timestamp_seconds')})"
    return [
        panels.lines(
            "Age of the last tick by symbol, and its limits",
            "While the market is open, as StocksMarketDataDelayed reads it. Dashed: the limits.",
            limited,
            unit,
            no_value="the market is closed: no tick is expected",
        ),
        panels.lines(
            "Age of the last tick by symbol, also while the market is closed",
            "Of the watch list; since the start of the API for a symbol without a tick.",
            [Query(f"time() - {last}", "{{symbol}}")],
            "s",
        ),
    ]
