"""What all sessions share, and what they know about the client they answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway_simulator import replies
from gateway_simulator.account import Values, account_values
from gateway_simulator.book import Book
from gateway_simulator.contracts import ContractQuery, Directory, Instrument, UnknownContractError
from gateway_simulator.exchange import Event, Exchange
from gateway_simulator.faults import Faults


@dataclass(frozen=True)
class Desk:
    """The account, its exchange and the faults in force.

    `publish` tells the sessions what happened to orders; `clock` gives an aware time.
    """

    account: str
    directory: Directory
    exchange: Exchange
    faults: Faults
    clock: Callable[[], datetime]
    publish: Callable[[Iterable[Event]], None]

    @property
    def book(self) -> Book:
        """Orders and positions."""
        return self.exchange.book

    def values(self) -> Values:
        """The account's values at the present prices."""
        return account_values(self.book, self.exchange.mark, self.account)


@dataclass(frozen=True)
class Client:
    """Who is being answered; `send` takes whole frames."""

    client_id: int
    send: Callable[[bytes], None]

    def refuse(self, request_id: int, code: int, text: str) -> None:
        """Answer a request, or with -1 the client itself, with an error."""
        self.send(replies.error(request_id, code, text))

    def find(self, desk: Desk, request_id: int, query: ContractQuery) -> Instrument | None:
        """The stock a request means; when there is none the client is told (200)."""
        try:
            return desk.directory.find(query)
        except UnknownContractError as error:
            text = f"No security definition has been found for the request ({error})"
            self.refuse(request_id, 200, text)
            return None
