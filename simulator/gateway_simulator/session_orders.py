"""A session's orders and executions: placing, changing, cancelling, reading them back."""

from collections.abc import Iterable, Iterator

from gateway_simulator import order_replies, replies
from gateway_simulator import requests as ask
from gateway_simulator.account import impact
from gateway_simulator.book import Execution, Order, RefusedError
from gateway_simulator.contracts import Instrument
from gateway_simulator.desk import Client, Desk
from gateway_simulator.exchange import (
    Acknowledged,
    Cancelled,
    Event,
    Filled,
    Rejected,
    check,
)
from gateway_simulator.place_order import PlaceOrder
from gateway_simulator.replies import SYSTEM


class SessionOrders:
    """The part of a session that deals with orders."""

    def __init__(self, client: Client, desk: Desk) -> None:
        self._client = client
        self._desk = desk

    def place(self, request: PlaceOrder) -> None:
        """Place a new order, change an open one, or say what an order would do."""
        instrument = self._client.find(self._desk, request.order_id, request.contract)
        if instrument is None:
            return
        try:
            self._check(request)
            if request.what_if:
                self._what_if(request, instrument)
            else:
                self._desk.publish(self._carry_out(request, instrument))
        except RefusedError as error:
            self._client.refuse(request.order_id, error.code, error.text)

    def cancel(self, request: ask.CancelOrder) -> None:
        """Cancel one of the client's own orders."""
        try:
            events = self._desk.exchange.cancel(self._client.client_id, request.order_id)
        except RefusedError as error:
            self._client.refuse(request.order_id, error.code, error.text)
        else:
            self._desk.publish(events)

    def cancel_all(self, _request: ask.RequestGlobalCancel) -> None:
        """Cancel the open orders of all clients."""
        self._desk.publish(self._desk.exchange.cancel_all())

    def tell_own(self, _request: ask.RequestOpenOrders) -> None:
        """The client's own open orders."""
        self._tell(self._desk.book.open_orders(self._client.client_id))

    def tell_all(self, _request: ask.RequestAllOpenOrders) -> None:
        """The open orders of all clients."""
        self._tell(self._desk.book.open_orders())

    def bind(self, _request: ask.RequestAutoOpenOrders) -> None:
        """Nothing to bind: no order is ever placed by hand."""

    def tell_completed(self, _request: ask.RequestCompletedOrders) -> None:
        """Today's completed orders of all clients."""
        for order in self._desk.book.completed_orders():
            self._client.send(order_replies.completed_order(order, self._desk.account))
        self._client.send(order_replies.completed_orders_end())

    def tell_executions(self, request: ask.RequestExecutions) -> None:
        """Today's executions that match; their commissions come after the end."""
        found = [one for one in self._desk.book.executions() if _matches(request, one)]
        number, account = request.request_id, self._desk.account
        for execution in found:
            self._client.send(replies.execution_details(number, execution, account))
        self._client.send(replies.execution_details_end(number))
        for execution in found:
            self._client.send(replies.commission_report(execution))

    def on_event(self, event: Event) -> None:
        """Tell the client what happened to its order."""
        for message in messages(event, self._desk.account):
            self._client.send(message)

    def _check(self, request: PlaceOrder) -> None:
        if request.unsupported:
            names = ", ".join(request.unsupported)
            raise RefusedError(201, f"Order rejected - reason:the simulator has no {names}")
        if request.account not in ("", self._desk.account):
            raise RefusedError(321, f"Error validating request: no account {request.account}")
        if request.order_id <= 0:
            raise RefusedError(321, "Error validating request: order ids begin at 1")

    def _carry_out(self, request: PlaceOrder, instrument: Instrument) -> list[Event]:
        client_id, order_id, terms = self._client.client_id, request.order_id, request.terms
        exchange, book = self._desk.exchange, self._desk.book
        if order_id < book.next_order_id(client_id):
            return exchange.modify(client_id, order_id, instrument, terms)
        check(terms)  # before a rejection is used up
        rejection = self._desk.faults.take_rejection()
        return exchange.place(client_id, order_id, instrument, terms, rejection)

    def _what_if(self, request: PlaceOrder, instrument: Instrument) -> None:
        check(request.terms)
        order = Order(
            self._client.client_id, request.order_id, 0, instrument, request.terms, "PreSubmitted"
        )
        effect = impact(self._desk.book, self._desk.exchange.mark, order)
        self._client.send(order_replies.what_if(order, self._desk.account, effect))

    def _tell(self, orders: Iterable[Order]) -> None:
        for order in orders:
            self._client.send(order_replies.open_order(order, self._desk.account))
            self._client.send(order_replies.order_status(order))
        self._client.send(order_replies.open_order_end())


def messages(event: Event, account: str) -> Iterator[bytes]:
    """What the gateway says when something happens to an order, in its order."""
    match event:
        case Acknowledged(order):
            yield order_replies.open_order(order, account)
            yield order_replies.order_status(order)
        case Filled(execution):
            yield from _fill_messages(execution, account)
        case Cancelled(order):
            yield order_replies.order_status(order)
            yield replies.error(order.order_id, 202, "Order Canceled - reason:")
        case Rejected(order, code, text):
            yield replies.error(order.order_id, code, text)
            yield order_replies.open_order(order, account)
            yield order_replies.order_status(order)


def _fill_messages(execution: Execution, account: str) -> Iterator[bytes]:
    """The gateway says the status of a fill twice."""
    order = execution.order
    yield replies.execution_details(SYSTEM, execution, account)
    yield order_replies.open_order(order, account)
    yield order_replies.order_status(order)
    yield order_replies.order_status(order)
    yield replies.commission_report(execution)


def _matches(request: ask.RequestExecutions, execution: Execution) -> bool:
    """An empty filter lets everything pass. Sides may be written BUY or BOT, SELL or SLD."""
    order = execution.order
    sides = {"BUY": "BUY", "BOT": "BUY", "SELL": "SELL", "SLD": "SELL", "SSHORT": "SELL"}
    return (
        request.client_id in (0, order.client_id)
        and request.symbol in ("", order.instrument.symbol)
        and sides.get(request.side, order.terms.action) == order.terms.action
        and execution.time >= request.since
    )
