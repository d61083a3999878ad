"""P&L and positions: what the desk has, and how fast its worth moves."""

from __future__ import annotations

from monitoring.dashboards import panels
from monitoring.dashboards.board import Board, Row, mode
from monitoring.dashboards.queries import Query, Shape, firing, held_against_limits, ours

from threshold_operator.model.catalogue import Catalogue

ALERTS = "StocksPnl.+|StocksAccountPnl.+|StocksPositionLimitBreached"
NO_ACCOUNT = "no account data"
# In the currency of the account, which no series names.
MONEY = "short"


def pnl_and_positions(catalogue: Catalogue) -> Board:
    """Of the account; all amounts are in its currency."""
    return Board(
        uid="stocks-pnl-and-positions",
        title="P&L and positions",
        text="Unrealised, realised and daily P&L, by symbol; moves; positions. Account currency.",
        rows=[
            Row("Is all well?", _at_a_glance()),
            Row("Profit and loss", _pnl()),
            Row("Moves", _moves(catalogue)),
            Row("Positions", _positions()),
        ],
    )


def _at_a_glance() -> list[panels.Built]:
    amounts = [
        ("Unrealised P&L", "Of the open positions.", "pnl_unrealized_total"),
        ("Realised P&L", "Of the day.", "pnl_realized_total"),
        ("Daily P&L", "Since the previous close.", "pnl_daily_total"),
        ("Net liquidation", "What the account is worth.", "account_net_liquidation"),
    ]
    return [
        mode(),
        panels.none_is_well(
            "Alerts firing", "Unusual moves, and positions at their limit.", firing(ALERTS)
        ),
        *(
            panels.number(title, text, f"max({ours(metric)})", MONEY, no_value=NO_ACCOUNT)
            for title, text, metric in amounts
        ),
    ]


def _pnl() -> list[panels.Built]:
    kinds = ("unrealized", "realized", "daily")
    return [
        panels.lines(
            "P&L of the account",
            "A closed position moves its P&L from unrealised to realised.",
            [Query(f"max({ours(f'pnl_{kind}_total')})", kind) for kind in kinds],
            MONEY,
            no_value=NO_ACCOUNT,
        ),
        panels.lines(
            "Unrealised P&L by symbol",
            "Symbols off the watch list add up under other; a flat one has none.",
            [Query(_by_symbol("position_pnl_unrealized"), "{{symbol}}")],
            MONEY,
            no_value="no position",
        ),
    ]


def _moves(catalogue: Catalogue) -> list[panels.Built]:
    text = "Of 5 minutes, as a part of net liquidation. Dashed: the limits in force."
    titles = {
        "StocksPnlMoveUnusual": "Moves by symbol, and their limits",
        "StocksAccountPnlMoveUnusual": "Moves of the account, and their limits",
    }
    return [
        panels.lines(title, text, *held_against_limits(catalogue, alert), no_value=NO_ACCOUNT)
        for alert, title in titles.items()
    ]


def _positions() -> list[panels.Built]:
    columns = {
        "symbol": "Symbol",
        "Value #A": "Shares",
        "Value #B": "May be held",
        "Value #C": "Unrealised P&L",
    }
    metrics = ("position_size", "position_limit", "position_pnl_unrealized")
    return [
        panels.rows(
            "Positions now",
            "Negative: short. A flat symbol has no P&L.",
            [Query(_by_symbol(metric), shape=Shape.TABLE) for metric in metrics],
            columns,
            width=8,
            no_value="",
        ),
        panels.lines(
            "Shares by symbol",
            "Negative: short.",
            [Query(_by_symbol("position_size"), "{{symbol}}")],
            "short",
            width=8,
        ),
        panels.lines(
            "Open positions",
            "How many are not flat, symbols off the watch list among them.",
            [Query(f"max({ours('active_positions_total')})", "open positions")],
            "short",
            width=8,
        ),
    ]


def _by_symbol(metric: str) -> str:
    return f"max by (symbol) ({ours(metric)})"
