"""Errors as clients see them: one shape, RFC 9457, that says what to change."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from stocks_api.domain.errors import (
    AnswerLost,
    Backlog,
    ChangeRefused,
    DatabaseUnavailable,
    GatewayUnavailable,
    IdempotencyConflict,
    ImpossibleChange,
    KillSwitchActive,
    KillSwitchStuck,
    NothingToResolve,
    NotLeading,
    NotWatched,
    NotYourOrder,
    OrderFinal,
    OrderNotFound,
    OrderUnknownToGateway,
    RiskRefused,
    StocksError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"


class FieldProblem(BaseModel):
    """One thing that is wrong: the field, and what it must be."""

    field: str
    message: str


class Problem(BaseModel):
    """An error. `errors` names the fields, if the request was wrong.

    `rule`, `limit` and `value` are those of the pre-trade limit that refused an order.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": "Refused by a risk limit",
                    "status": 422,
                    "detail": "max_quantity: the limit is 50, this would be 51",
                    "errors": [],
                    "rule": "max_quantity",
                    "limit": "50",
                    "value": "51",
                }
            ]
        }
    )

    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = []
    rule: str | None = None
    limit: str | None = None
    value: str | None = None


class RefusalError(Exception):
    """Refuse the request with this problem."""

    def __init__(
        self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(title=title, status=status, detail=detail)
        self.headers = dict(headers or {})


# Most specific first; what is retryable says when.
_DOMAIN: Sequence[tuple[type[StocksError], int, str]] = (
    (OrderNotFound, 404, "Unknown order"),
    (NotWatched, 404, "Unknown symbol"),
    (NotYourOrder, 403, "Not your order"),
    (OrderFinal, 409, "Order is final"),
    (OrderUnknownToGateway, 409, "Order is not at the gateway"),
    (NothingToResolve, 409, "Order is not unresolved"),
    (ChangeRefused, 409, "Order was not changed"),
    (ImpossibleChange, 422, "Invalid request"),
    (IdempotencyConflict, 422, "Idempotency key was used before"),
    (GatewayUnavailable, 503, "Gateway is not available"),
    (DatabaseUnavailable, 503, "Database is not available"),
    (Backlog, 503, "Too many orders wait"),
    (NotLeading, 503, "No replica takes orders"),
    (AnswerLost, 504, "Outcome is not known"),
    (RiskRefused, 422, "Refused by a risk limit"),
    (KillSwitchActive, 503, "Trading is stopped"),
    (KillSwitchStuck, 503, "Trading stays stopped"),
)


def install(app: FastAPI) -> None:
    """Answer every error with a Problem; bugs are answered by the middleware."""
    app.add_exception_handler(StocksError, _on_domain_error)
    app.add_exception_handler(RefusalError, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)


def document(app: FastAPI) -> None:
    """Let the OpenAPI document say that a Problem has a media type of its own."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            for response in _responses(generate()):
                _name_media_type(response.get("content", {}))
        return generate()

    app.openapi = openapi  # type: ignore[method-assign] # as FastAPI's manual has it


def _responses(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation["responses"].values()


def _name_media_type(content: dict[str, Any]) -> None:
    schema = content.get("application/json", {}).get("schema", {})
    if schema.get("$ref") == f"#/components/schemas/{Problem.__name__}":
        content[MEDIA_TYPE] = content.pop("application/json")


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response for a problem."""
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, problem.status, headers=headers, media_type=MEDIA_TYPE)


async def _on_domain_error(_request: Request, error: Exception) -> JSONResponse:
    for kind, status, title in _DOMAIN:
        if isinstance(error, kind):
            problem = _with_facts(Problem(title=title, status=status, detail=str(error)), error)
            headers = {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else None
            return answer(problem, headers)
    raise error


def _with_facts(problem: Problem, error: Exception) -> Problem:
    if isinstance(error, ImpossibleChange):
        problem.errors = [FieldProblem(field=error.field, message=error.message)]
    elif isinstance(error, RiskRefused):
        problem.rule, problem.limit, problem.value = error.rule, error.limit, error.value
    elif isinstance(error, KillSwitchActive):
        problem.rule = error.rejection
    return problem


async def _on_refusal(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusalError)  # noqa: S101 registered for this type only
    return answer(error.problem, error.headers)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 registered for this type only
    errors = [_field_problem(detail) for detail in error.errors()]
    detail = "; ".join(f"{problem.field}: {problem.message}" for problem in errors)
    return answer(Problem(title="Invalid request", status=422, detail=detail, errors=errors))


async def _on_http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 registered for this type only
    problem = Problem(title=error.detail, status=error.status_code, detail=error.detail)
    return answer(problem, error.headers)


def _field_problem(detail: Mapping[str, Any]) -> FieldProblem:
    """`("body", "quantity")` → `quantity`; never echoes what was sent."""
    where = [str(part) for part in detail["loc"] if part not in ("body", "query", "path", "header")]
    if detail["type"] == "json_invalid":
        return FieldProblem(field="body", message=f"not strict JSON: {detail['ctx']['error']}")
    message = str(detail["msg"]).removeprefix("Value error, ")
    return FieldProblem(field=".".join(where) or str(detail["loc"][0]), message=message)
