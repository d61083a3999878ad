"""One client: welcomes it and passes each of its requests to the part that answers it."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway_simulator import replies
from gateway_simulator import requests as ask
from gateway_simulator.desk import Client, Desk
from gateway_simulator.place_order import PlaceOrder
from gateway_simulator.replies import SYSTEM
from gateway_simulator.session_account import SessionAccount
from gateway_simulator.session_orders import SessionOrders
from gateway_simulator.session_quotes import SessionQuotes

FARMS_OK = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
LINK_BROKEN = (
    (2110, "Connectivity between TWS and server is broken. It will be restored automatically."),
)


class Session:
    """A client that has named itself. `send` takes whole frames; there are no sockets here."""

    def __init__(self, client_id: int, desk: Desk, send: Callable[[bytes], None]) -> None:
        self._client = client = Client(client_id, send)
        self._desk = desk
        self.client_id = client_id
        self.orders = SessionOrders(client, desk)
        self.account = SessionAccount(client, desk)
        self.quotes = SessionQuotes(client, desk)
        self._answer = self._answers()

    def welcome(self) -> None:
        """What every client is told first; it is ready once it has the accounts and the id."""
        self._tell_accounts(None)
        self._tell_next_id(None)
        for code, text in FARMS_OK if self._desk.exchange.reachable else LINK_BROKEN:
            self.notify(code, text)

    def notify(self, code: int, text: str) -> None:
        """A notice about the connection as a whole."""
        self._client.refuse(SYSTEM, code, text)

    def handle(self, request: ask.Request) -> None:
        """Carry out one request."""
        self._answer[type(request)](request)

    def _answers(self) -> Mapping[type, Callable[[Any], None]]:
        orders, account, quotes = self.orders, self.account, self.quotes
        return {
            ask.StartApi: self._already_started,
            ask.RequestIds: self._tell_next_id,
            ask.RequestManagedAccounts: self._tell_accounts,
            ask.RequestCurrentTime: self._tell_time,
            PlaceOrder: orders.place,
            ask.CancelOrder: orders.cancel,
            ask.RequestGlobalCancel: orders.cancel_all,
            ask.RequestOpenOrders: orders.tell_own,
            ask.RequestAllOpenOrders: orders.tell_all,
            ask.RequestAutoOpenOrders: orders.bind,
            ask.RequestCompletedOrders: orders.tell_completed,
            ask.RequestExecutions: orders.tell_executions,
            ask.RequestPositions: account.follow_positions,
            ask.CancelPositions: account.leave_positions,
            ask.RequestAccountUpdates: account.follow_values,
            ask.RequestAccountUpdatesMulti: account.follow_multi,
            ask.CancelAccountUpdatesMulti: account.leave_multi,
            ask.RequestAccountSummary: account.follow_summary,
            ask.CancelAccountSummary: account.leave_summary,
            ask.RequestPnl: account.follow_pnl,
            ask.CancelPnl: account.leave_pnl,
            ask.RequestPnlSingle: account.follow_pnl_single,
            ask.CancelPnlSingle: account.leave_pnl_single,
            ask.RequestContractDetails: quotes.contract_details,
            ask.RequestMarketDataType: quotes.choose_data_type,
            ask.RequestMarketData: quotes.subscribe,
            ask.CancelMarketData: quotes.unsubscribe,
        }

    def _already_started(self, _request: ask.StartApi) -> None:
        self.notify(321, f"Error validating request: client {self.client_id} has already started")

    def _tell_next_id(self, _request: ask.RequestIds | None) -> None:
        self._client.send(replies.next_valid_id(self._desk.book.next_order_id(self.client_id)))

    def _tell_accounts(self, _request: ask.RequestManagedAccounts | None) -> None:
        self._client.send(replies.managed_accounts(self._desk.account))

    def _tell_time(self, _request: ask.RequestCurrentTime) -> None:
        self._client.send(replies.current_time(self._desk.clock()))
