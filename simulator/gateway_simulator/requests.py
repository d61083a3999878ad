"""What clients ask, decoded: fields of a payload become one frozen dataclass per request.

Layouts are those of server version 176; `DECODERS` maps the first field, the message id, to them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from gateway_simulator.contracts import ContractQuery
from gateway_simulator.fields import Fields, MalformedRequestError
from gateway_simulator.place_order import PlaceOrder, place_order


@dataclass(frozen=True)
class StartApi:
    """71: the client names itself."""

    client_id: int


@dataclass(frozen=True)
class RequestMarketData:
    """1: quotes of one contract, streaming or one snapshot."""

    request_id: int
    contract: ContractQuery
    snapshot: bool


@dataclass(frozen=True)
class CancelMarketData:
    """2."""

    request_id: int


@dataclass(frozen=True)
class CancelOrder:
    """4."""

    order_id: int


@dataclass(frozen=True)
class RequestOpenOrders:
    """5: the client's own open orders."""


@dataclass(frozen=True)
class RequestAccountUpdates:
    """6: account values and portfolio, kept current until unsubscribed."""

    subscribe: bool
    account: str


@dataclass(frozen=True)
class RequestExecutions:
    """7: today's executions; an empty filter field matches everything."""

    request_id: int
    client_id: int
    account: str
    since: datetime
    symbol: str
    side: str


@dataclass(frozen=True)
class RequestIds:
    """8: the next order id."""


@dataclass(frozen=True)
class RequestContractDetails:
    """9."""

    request_id: int
    contract: ContractQuery


@dataclass(frozen=True)
class RequestAutoOpenOrders:
    """15: bind orders placed by hand to client 0; there are none here."""

    bind: bool


@dataclass(frozen=True)
class RequestAllOpenOrders:
    """16: open orders of all clients."""


@dataclass(frozen=True)
class RequestManagedAccounts:
    """17."""


@dataclass(frozen=True)
class RequestCurrentTime:
    """49."""


@dataclass(frozen=True)
class RequestGlobalCancel:
    """58."""


@dataclass(frozen=True)
class RequestMarketDataType:
    """59: 1 live, 2 frozen, 3 delayed, 4 delayed frozen."""

    data_type: int


@dataclass(frozen=True)
class RequestPositions:
    """61: positions, kept current until cancelled."""


@dataclass(frozen=True)
class CancelPositions:
    """64."""


@dataclass(frozen=True)
class RequestAccountSummary:
    """62: the named account values, kept current until cancelled."""

    request_id: int
    tags: tuple[str, ...]


@dataclass(frozen=True)
class CancelAccountSummary:
    """63."""

    request_id: int


@dataclass(frozen=True)
class RequestAccountUpdatesMulti:
    """76."""

    request_id: int
    account: str
    model_code: str


@dataclass(frozen=True)
class CancelAccountUpdatesMulti:
    """77."""

    request_id: int


@dataclass(frozen=True)
class RequestPnl:
    """92: P&L of the account, every second until cancelled."""

    request_id: int
    account: str


@dataclass(frozen=True)
class CancelPnl:
    """93."""

    request_id: int


@dataclass(frozen=True)
class RequestPnlSingle:
    """94: P&L of one position, every second until cancelled."""

    request_id: int
    account: str
    con_id: int


@dataclass(frozen=True)
class CancelPnlSingle:
    """95."""

    request_id: int


@dataclass(frozen=True)
class RequestCompletedOrders:
    """99: today's orders that are done, of all clients."""


Request = (
    StartApi
    | RequestMarketData
    | CancelMarketData
    | PlaceOrder
    | CancelOrder
    | RequestOpenOrders
    | RequestAccountUpdates
    | RequestExecutions
    | RequestIds
    | RequestContractDetails
    | RequestAutoOpenOrders
    | RequestAllOpenOrders
    | RequestManagedAccounts
    | RequestCurrentTime
    | RequestGlobalCancel
    | RequestMarketDataType
    | RequestPositions
    | CancelPositions
    | RequestAccountSummary
    | CancelAccountSummary
    | RequestAccountUpdatesMulti
    | CancelAccountUpdatesMulti
    | RequestPnl
    | CancelPnl
    | RequestPnlSingle
    | CancelPnlSingle
    | RequestCompletedOrders
)


def decode(fields: list[str]) -> Request | None:
    """The request in `fields`; None when its id is not simulated. Raises MalformedRequestError."""
    reader = Fields(fields)
    decoder = DECODERS.get(reader.integer())
    if decoder is None:
        return None
    request = decoder(reader)
    reader.end()
    return request


def _start_api(fields: Fields) -> StartApi:
    fields.skip("version")
    request = StartApi(fields.integer())
    fields.skip("optionalCapabilities")
    return request


def _market_data(fields: Fields) -> RequestMarketData:
    fields.skip("version")
    request_id, contract = fields.integer(), fields.contract()
    if contract.sec_type == "BAG":
        fields.skip_many(4 * fields.count())  # legs
    fields.delta_neutral_contract()
    fields.skip("genericTicks")
    snapshot = fields.flag()
    fields.skip("regulatorySnapshot", "options")
    return RequestMarketData(request_id, contract, snapshot)


def _cancel_order(fields: Fields) -> CancelOrder:
    fields.skip("version")
    request = CancelOrder(fields.integer())
    fields.skip("manualCancelOrderTime")
    return request


def _account_updates(fields: Fields) -> RequestAccountUpdates:
    fields.skip("version")
    return RequestAccountUpdates(fields.flag(), fields.text())


def _executions(fields: Fields) -> RequestExecutions:
    fields.skip("version")
    request_id, client_id, account = fields.integer(), fields.integer(), fields.text()
    since, symbol = _exchange_time(fields.text()), fields.text()
    fields.skip("secType", "exchange")
    return RequestExecutions(request_id, client_id, account, since, symbol, fields.text())


def _exchange_time(text: str) -> datetime:
    """``YYYYMMDD HH:MM:SS`` or ``YYYYMMDD-HH:MM:SS``, New York; nothing means ever."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    try:
        return datetime.strptime(text[:17].replace("-", " "), "%Y%m%d %H:%M:%S").replace(
            tzinfo=ZoneInfo("America/New_York")
        )
    except ValueError:
        raise MalformedRequestError(f"{text[:40]!r} is not YYYYMMDD HH:MM:SS") from None


def _contract_details(fields: Fields) -> RequestContractDetails:
    fields.skip("version")
    request = RequestContractDetails(fields.integer(), fields.contract())
    fields.skip("includeExpired", "secIdType", "secId", "issuerId")
    return request


def _account_summary(fields: Fields) -> RequestAccountSummary:
    fields.skip("version")
    request_id = fields.integer()
    fields.skip("group")
    return RequestAccountSummary(request_id, tuple(fields.text().split(",")))


def _account_updates_multi(fields: Fields) -> RequestAccountUpdatesMulti:
    fields.skip("version")
    request = RequestAccountUpdatesMulti(fields.integer(), fields.text(), fields.text())
    fields.skip("ledgerAndNLV")
    return request


def _pnl(fields: Fields) -> RequestPnl:
    request = RequestPnl(fields.integer(), fields.text())
    fields.skip("modelCode")
    return request


def _pnl_single(fields: Fields) -> RequestPnlSingle:
    request_id, account = fields.integer(), fields.text()
    fields.skip("modelCode")
    return RequestPnlSingle(request_id, account, fields.integer())


def _completed_orders(fields: Fields) -> RequestCompletedOrders:
    fields.skip("apiOnly")  # all are
    return RequestCompletedOrders()


def _numbered(make: Callable[[int], Request], *, version: bool) -> Callable[[Fields], Request]:
    """Decoder of a request that is a number after its version, or alone."""

    def decoder(fields: Fields) -> Request:
        if version:
            fields.skip("version")
        return make(fields.integer())

    return decoder


def _bare(request: Request, skipped: int = 1) -> Callable[[Fields], Request]:
    """Decoder of a request without parameters: its version, and what does not matter here."""

    def decoder(fields: Fields) -> Request:
        fields.skip_many(skipped)
        return request

    return decoder


def _auto_open_orders(fields: Fields) -> RequestAutoOpenOrders:
    fields.skip("version")
    return RequestAutoOpenOrders(fields.flag())


DECODERS: Mapping[int, Callable[[Fields], Request]] = {
    1: _market_data,
    2: _numbered(CancelMarketData, version=True),
    3: place_order,
    4: _cancel_order,
    5: _bare(RequestOpenOrders()),
    6: _account_updates,
    7: _executions,
    8: _bare(RequestIds(), skipped=2),
    9: _contract_details,
    15: _auto_open_orders,
    16: _bare(RequestAllOpenOrders()),
    17: _bare(RequestManagedAccounts()),
    49: _bare(RequestCurrentTime()),
    58: _bare(RequestGlobalCancel()),
    59: _numbered(RequestMarketDataType, version=True),
    61: _bare(RequestPositions()),
    62: _account_summary,
    63: _numbered(CancelAccountSummary, version=True),
    64: _bare(CancelPositions()),
    71: _start_api,
    76: _account_updates_multi,
    77: _numbered(CancelAccountUpdatesMulti, version=True),
    92: _pnl,
    93: _numbered(CancelPnl, version=False),
    94: _pnl_single,
    95: _numbered(CancelPnlSingle, version=False),
    99: _completed_orders,
}
