"""A session's view of the account: positions, values, summaries and P&L, and their updates."""

from collections.abc import Collection, Iterable
from decimal import Decimal

from gateway_simulator import replies
from gateway_simulator import requests as ask
from gateway_simulator.account import Values, summary
from gateway_simulator.book import Pnl, Position, position_pnl
from gateway_simulator.desk import Client, Desk
from gateway_simulator.replies import SYSTEM

MAX_SUBSCRIPTIONS = 100
"""Subscriptions of each kind that one client may have: a bound on memory."""

_NOTHING = Decimal(0)
_UPDATES = ("updates", 0)  # this subscription has no request id


class SessionAccount:
    """The part of a session that deals with the account. Keys are the client's request ids."""

    def __init__(self, client: Client, desk: Desk) -> None:
        self._client = client
        self._desk = desk
        self._positions = False
        self._updates = False
        self._multi: dict[int, str] = {}  # model code
        self._summaries: dict[int, tuple[str, ...]] = {}  # tags
        self._pnl: set[int] = set()
        self._pnl_single: dict[int, int] = {}  # contract id
        # What each subscription was told, so that it hears of changes only.
        self._told: dict[tuple[str, int], dict[tuple[str, str], str]] = {}

    # Requests

    def follow_positions(self, _request: ask.RequestPositions) -> None:
        """Tell the positions, and from now on every change."""
        self._positions = True
        for held in self._desk.book.held():
            self._client.send(replies.position(held, self._desk.account))
        self._client.send(replies.position_end())

    def leave_positions(self, _request: ask.CancelPositions) -> None:
        """Tell no more positions."""
        self._positions = False

    def follow_values(self, request: ask.RequestAccountUpdates) -> None:
        """Tell values and portfolio, and from now on what changes; or stop doing so."""
        self._updates = request.subscribe and self._is_ours(SYSTEM, request.account)
        self._told.pop(_UPDATES, None)
        if self._updates:
            self._tell_values(self._desk.values())
            self._tell_portfolio(self._desk.book.held())
            self._client.send(replies.account_download_end(self._desk.account))

    def follow_multi(self, request: ask.RequestAccountUpdatesMulti) -> None:
        """The same for one account and model; the account here has no models."""
        number = request.request_id
        if self._is_ours(number, request.account) and self._has_room(number, self._multi):
            self._multi[number] = request.model_code
            self._told.pop(("multi", number), None)
            self._tell_multi(number, self._desk.values())
            self._client.send(replies.account_update_multi_end(number))

    def leave_multi(self, request: ask.CancelAccountUpdatesMulti) -> None:
        """Stop telling."""
        self._multi.pop(request.request_id, None)
        self._told.pop(("multi", request.request_id), None)

    def follow_summary(self, request: ask.RequestAccountSummary) -> None:
        """Tell the values that were named, and from now on what changes of them."""
        number = request.request_id
        if self._has_room(number, self._summaries):
            self._summaries[number] = request.tags
            self._told.pop(("summary", number), None)
            self._tell_summary(number, self._desk.values())
            self._client.send(replies.account_summary_end(number))

    def leave_summary(self, request: ask.CancelAccountSummary) -> None:
        """Stop telling."""
        self._summaries.pop(request.request_id, None)
        self._told.pop(("summary", request.request_id), None)

    def follow_pnl(self, request: ask.RequestPnl) -> None:
        """Tell the account's P&L now and every second."""
        number = request.request_id
        if self._is_ours(number, request.account) and self._has_room(number, self._pnl):
            self._pnl.add(number)
            self._tell_pnl(number)

    def leave_pnl(self, request: ask.CancelPnl) -> None:
        """Stop telling."""
        self._pnl.discard(request.request_id)

    def follow_pnl_single(self, request: ask.RequestPnlSingle) -> None:
        """Tell one position's P&L now and every second."""
        number = request.request_id
        if self._is_ours(number, request.account) and self._has_room(number, self._pnl_single):
            self._pnl_single[number] = request.con_id
            self._tell_pnl_single(number, request.con_id)

    def leave_pnl_single(self, request: ask.CancelPnlSingle) -> None:
        """Stop telling."""
        self._pnl_single.pop(request.request_id, None)

    def lose_pnl(self) -> None:
        """Forget the subscriptions to P&L."""
        self._pnl.clear()
        self._pnl_single.clear()

    # What happens by itself

    def on_trade(self, position: Position) -> None:
        """A position has changed; flat ones are told once, with 0 shares."""
        if self._positions:
            self._client.send(replies.position(position, self._desk.account))
        if self._updates:
            self._tell_portfolio([position])

    def on_pnl(self) -> None:
        """The time to stream P&L has come."""
        for number in self._pnl:
            self._tell_pnl(number)
        for number, con_id in self._pnl_single.items():
            self._tell_pnl_single(number, con_id)

    def on_values(self, values: Values) -> None:
        """The time to tell changed values and what the portfolio is worth has come."""
        if self._updates:
            self._tell_values(values)
            self._tell_portfolio(self._desk.book.held())
        for number in self._multi:
            self._tell_multi(number, values)
        for number in self._summaries:
            self._tell_summary(number, values)

    # Messages

    def _tell_values(self, values: Values) -> None:
        changed = self._changed(_UPDATES, values)
        for (key, currency), value in changed.items():
            self._client.send(replies.account_value(key, value, currency, self._desk.account))
        if changed:
            self._client.send(replies.account_time(self._desk.clock()))

    def _tell_portfolio(self, positions: Iterable[Position]) -> None:
        for one in positions:
            mark = self._desk.exchange.mark(one.instrument)
            self._client.send(replies.portfolio(one, mark, self._desk.account))

    def _tell_multi(self, number: int, values: Values) -> None:
        model, account = self._multi[number], self._desk.account
        for (key, currency), value in self._changed(("multi", number), values).items():
            self._client.send(
                replies.account_update_multi(number, model, key, value, currency, account)
            )

    def _tell_summary(self, number: int, values: Values) -> None:
        named = summary(values, self._summaries[number])
        for (key, currency), value in self._changed(("summary", number), named).items():
            self._client.send(
                replies.account_summary(number, key, value, currency, self._desk.account)
            )

    def _tell_pnl(self, number: int) -> None:
        self._client.send(replies.pnl(number, self._desk.book.pnl(self._desk.exchange.mark)))

    def _tell_pnl_single(self, number: int, con_id: int) -> None:
        held, mark = self._desk.book.position(con_id), self._desk.exchange.mark
        shares, pnl, value = _NOTHING, Pnl(_NOTHING, _NOTHING, _NOTHING), _NOTHING
        if held:
            shares, pnl = held.quantity, position_pnl(held, mark)
            value = held.quantity * mark(held.instrument)
        self._client.send(replies.pnl_single(number, shares, pnl, value))

    def _changed(self, subscription: tuple[str, int], values: Values) -> Values:
        """The values that a subscription does not know yet."""
        told = self._told.setdefault(subscription, {})
        changed = {key: one for key, one in values.items() if told.get(key) != one}
        told.update(changed)
        return changed

    # Bounds

    def _is_ours(self, number: int, account: str) -> bool:
        ours = account in ("", self._desk.account)
        if not ours:
            self._client.refuse(number, 321, "Error validating request: invalid account code")
        return ours

    def _has_room(self, number: int, subscribed: Collection[int]) -> bool:
        room = number in subscribed or len(subscribed) < MAX_SUBSCRIPTIONS
        if not room:
            text = f"Error validating request: at most {MAX_SUBSCRIPTIONS} subscriptions"
            self._client.refuse(number, 321, text)
        return room
