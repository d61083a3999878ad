"""Errors of the domain and of its ports.

Retryable ones say that the world is not ready; permanent ones say that the request is wrong.

StocksError
├── RetryableError
│   ├── GatewayUnavailable
│   ├── DatabaseUnavailable
│   ├── Backlog
│   ├── NotLeading
│   │   └── Deposed
│   ├── AnswerLost
│   ├── KillSwitchActive
│   └── KillSwitchStuck
└── PermanentError
    ├── OrderNotFound
    ├── NotYourOrder
    ├── OrderFinal
    ├── OrderUnknownToGateway
    ├── NothingToResolve
    ├── ChangeRefused
    ├── ImpossibleChange
    ├── RiskRefused
    ├── IdempotencyConflict
    └── NotWatched
"""


# ruff: noqa: N818 the names say what is the case; "Error" on each would say nothing more


class StocksError(Exception):
    """Base of everything that this application raises on purpose.

    `rejection` is the reason under which an order that ends by it is counted, if it is.
    """

    rejection = ""


class RetryableError(StocksError):
    """The same request may succeed later."""


class GatewayUnavailable(RetryableError):
    """No verified link to the gateway; `reason` is a short word for metrics and logs."""

    rejection = "gateway_down"

    def __init__(self, message: str, reason: str = "unavailable") -> None:
        super().__init__(message)
        self.reason = reason


class DatabaseUnavailable(RetryableError):
    """The database did not answer, or refused."""

    rejection = "database_down"


class Backlog(RetryableError):
    """More orders wait to be sent than will be sent soon."""

    rejection = "backlog"


class NotLeading(RetryableError):
    """Another replica holds the gateway's session, or none does at the moment."""

    rejection = "not_leading"


class Deposed(NotLeading):
    """This replica led, and another has begun to since: nothing more is stored or sent here."""


class AnswerLost(RetryableError):
    """The replica that leads got the request and did not answer: it may have been carried out."""


class KillSwitchActive(RetryableError):
    """Trading is stopped until somebody lets it go on."""

    rejection = "kill_switch"


class KillSwitchStuck(RetryableError):
    """The switch can't be taken back: its file can't be removed."""


class PermanentError(StocksError):
    """The same request will fail again."""


class OrderNotFound(PermanentError):
    """No order has this id."""


class NotYourOrder(PermanentError):
    """The order belongs to another client."""


class OrderFinal(PermanentError):
    """The order is filled, cancelled or rejected: nothing can change it any more."""


class OrderUnknownToGateway(PermanentError):
    """The order is open here, but the gateway's session knows nothing of it."""


class NothingToResolve(PermanentError):
    """The order is not unresolved: what becomes of it is known, or still to be told."""


class ChangeRefused(PermanentError):
    """The order can't be changed now, or the gateway refused to; it stays as it was."""


class ImpossibleChange(PermanentError):
    """The change makes no sense for this order; `field` names what is wrong."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class RiskRefused(PermanentError):
    """A pre-trade limit refuses the order; limit and value are for people.

    `reason` is one of the words that refusals are counted by, `rule` the name in the risk file.
    """

    def __init__(self, reason: str, rule: str, limit: str, value: str) -> None:
        super().__init__(f"{rule}: the limit is {limit}, this would be {value}")
        self.rejection = reason
        self.rule = rule
        self.limit = limit
        self.value = value


class IdempotencyConflict(PermanentError):
    """The idempotency key was used before, with another order."""


class NotWatched(PermanentError):
    """The symbol is not on the watch list, so there is no market data for it."""
