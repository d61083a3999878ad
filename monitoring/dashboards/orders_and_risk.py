"""Orders and risk: what is sent, what is refused and why, and how near the limits are."""

from __future__ import annotations

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode
from monitoring.dashboards.queries import (
    Query,
    Shape,
    buckets,
    firing,
    held_against_limits,
    ours,
    per_minute,
    quantile,
)

from threshold_operator.model.catalogue import Catalogue

ALERTS = "StocksOrder.+|StocksPositionLimitBreached|StocksKillSwitchActive"
KILL_SWITCH = {0: ("TRADING", panels.GREEN), 1: ("STOPPED", panels.RED)}
LATENCY = "order_latency_seconds"
SUBMITTED = 'status=~"accepted|rejected"'


def orders_and_risk(catalogue: Catalogue) -> Board:
    """Of orders, from the desk's request to the fill."""
    return Board(
        uid="stocks-orders-and-risk",
        title="Orders and risk",
        text="Volumes, rejections and latency of orders; positions, kill switch, unresolved.",
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("Volumes", _volumes()),
            Row("Rejections", _rejections(catalogue)),
            Row("Latency", _latency()),
            Row("Risk", _risk(catalogue)),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    return [
        mode(),
        panels.none_is_well(
            "Alerts firing",
            "Rejections, unresolved orders, position limits, kill switch.",
            firing(ALERTS),
        ),
        panels.words(
            "Kill switch",
            "STOPPED: new orders are refused until somebody takes it back.",
            f"max({ours('kill_switch_active')})",
            KILL_SWITCH,
        ),
        panels.none_is_well(
            "Unresolved orders",
            "Sent, and neither confirmed nor refused: a person has to ask the broker.",
            f"max({ours('orders_unresolved')})",
        ),
        panels.number(
            "Rejected",
            "As a part of the orders of 5 minutes; 0 below 10 orders, as the alert reads it.",
            ours("stocks:order_rejection:ratio"),
            "percentunit",
            decimals=1,
        ),
        panels.number(
            "Orders",
            "Accepted and rejected, per minute.",
            per_minute("orders_total", SUBMITTED),
            "suffix:/min",
            decimals=1,
        ),
    ]


def _volumes() -> list[panels.Built]:
    return [
        panels.bars(
            "Orders by status",
            "Each order enters a status once; filled ones were accepted before.",
            [Query(per_minute("orders_total", by="status"), "{{status}}")],
            "suffix:/min",
        ),
        panels.bars(
            "Accepted orders by side and type",
            "What the gateway took.",
            [
                Query(
                    per_minute("orders_total", 'status="accepted"', by="side, order_type"),
                    "{{side}} {{order_type}}",
                )
            ],
            "suffix:/min",
        ),
    ]


def _rejections(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksOrderRejectionRateHigh")
    return [
        panels.lines(
            "Rejection rate and its limits",
            "Of the orders of 5 minutes; 0 below 10 orders. Dashed: the limits in force.",
            limited,
            unit,
        ),
        panels.bars(
            "Rejections by reason",
            "gateway: by the broker; all others: by the API itself, before sending.",
            [Query(per_minute("order_rejections_total", by="reason"), "{{reason}}")],
            "suffix:/min",
        ),
    ]


def _latency() -> list[panels.Built]:
    return [
        *(
            panels.lines(
                title,
                text,
                [
                    Query(quantile(q, LATENCY, f'stage="{stage}"'), f"p{round(100 * q)}")
                    for q in (0.5, 0.9, 0.99)
                ],
                "s",
                width=8,
                no_value="no order lately",
            )
            for stage, title, text in (
                ("ack", "Time to acknowledgement", "From sending an order to the broker's word."),
                ("fill", "Time to fill", "From sending an order to its fill; limits may rest."),
            )
        ),
        panels.heat(
            "Acknowledgements by time taken",
            "How many orders were acknowledged how quickly.",
            buckets(LATENCY, 'stage="ack"'),
            "s",
            width=8,
        ),
    ]


def _risk(catalogue: Catalogue) -> list[panels.Built]:
    limited, unit = held_against_limits(catalogue, "StocksPositionLimitBreached")
    unresolved, count = held_against_limits(catalogue, "StocksOrdersUnresolved")
    used = f"max by (symbol) (abs({ours('position_size')}) / {ours('position_limit')})"
    return [
        panels.gauge(
            "Position limit used now",
            "Shares held, long or short, as a part of the most that may be held.",
            Query(f"sort_desc({used})", "{{symbol}}", shape=Shape.NOW),
            "percentunit",
            no_value="no position limit",
        ),
        panels.lines(
            "Position limit used, and the limits in force",
            "By symbol. Dashed: where StocksPositionLimitBreached fires.",
            limited,
            unit,
        ),
        panels.lines(
            "Unresolved orders and their limits",
            "The API asks the gateway again every 10 s. Dashed: the limits in force.",
            unresolved,
            count,
        ),
        panels.timeline(
            "Kill switch over time",
            "Who pulled it is in the log of the API.",
            [Query(f"max({ours('kill_switch_active')})", "kill switch")],
            KILL_SWITCH,
            height=8,
        ),
    ]
