"""Bad requests: each is refused with a message that says what to change, and goes no further.

The API runs without a gateway, so a good order is answered by 503: whatever gets as far as that
was let through.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml
from tests.ports import free_ports

from stocks_api.main import create
from stocks_api.settings import Settings

KEY = "a-key-of-the-desk"
GOOD = {"symbol": "AAPL", "side": "BUY", "quantity": 10, "order_type": "MKT"}
LIMIT = GOOD | {"order_type": "LMT", "limit_price": 1.5}
STOP = GOOD | {"order_type": "STP", "stop_price": 1.5}
STOP_LIMIT = LIMIT | STOP | {"order_type": "STP_LMT"}


# One API for all: none of these requests leaves a trace in it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    tmp_path = tmp_path_factory.mktemp("api")
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    entry = {"name": "desk", "sha256": digest, "scopes": ["read", "trade"]}
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump({"keys": [entry]}))
    settings = Settings(
        api_keys_file=tmp_path / "keys.yaml",
        database_url=f"sqlite+aiosqlite:///{tmp_path}/stocks.db",  # type: ignore[arg-type]
        gateway_port=free_ports(1)[0],
    )
    app = create(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=transport, base_url="http://api", headers={"X-API-Key": KEY}
        ) as client,
    ):
        yield client


@pytest.mark.parametrize(
    "order",
    [
        GOOD,
        LIMIT,
        STOP,
        LIMIT | STOP | {"order_type": "STP_LMT"},
        GOOD | {"symbol": "BRK B"},
    ],
)
async def test_a_good_order_gets_as_far_as_the_gateway(
    http: httpx.AsyncClient, order: dict[str, Any]
) -> None:
    assert (await http.post("/v1/orders", json=order)).status_code == 503


@pytest.mark.parametrize(
    ("order", "field"),
    [
        pytest.param(GOOD | {"quantity": 0}, "quantity", id="a quantity of 0"),
        pytest.param(GOOD | {"quantity": -1}, "quantity", id="a negative quantity"),
        pytest.param(GOOD | {"quantity": "1"}, "quantity", id="a quantity in quotes"),
        pytest.param(GOOD | {"quantity": "NaN"}, "quantity", id="a quantity that is no number"),
        pytest.param(GOOD | {"quantity": "Infinity"}, "quantity", id="an infinite quantity"),
        pytest.param(GOOD | {"quantity": 1e308}, "quantity", id="an absurd quantity"),
        pytest.param(GOOD | {"quantity": 1000001}, "quantity", id="a quantity above the limit"),
        pytest.param(GOOD | {"quantity": 0.00001}, "quantity", id="a sliver of a share"),
        pytest.param(GOOD | {"quantity": "ten"}, "quantity", id="a quantity in words"),
        pytest.param(GOOD | {"quantity": True}, "quantity", id="a quantity that is a boolean"),
        pytest.param(GOOD | {"quantity": None}, "quantity", id="a quantity of null"),
        pytest.param(GOOD | {"quantity": ["1"]}, "quantity", id="a quantity in a list"),
        pytest.param(GOOD | {"quantity": "1" * 5000}, "quantity", id="5000 digits"),
        pytest.param(GOOD | {"symbol": ""}, "symbol", id="an empty symbol"),
        pytest.param(GOOD | {"symbol": "aapl"}, "symbol", id="a symbol in lower case"),
        pytest.param(GOOD | {"symbol": "AAPL\x00"}, "symbol", id="a symbol with a NUL"),
        pytest.param(GOOD | {"symbol": "AAPL\n"}, "symbol", id="a symbol with a line break"),
        pytest.param(GOOD | {"symbol": "🚀"}, "symbol", id="a symbol that is an emoji"),
        pytest.param(GOOD | {"symbol": "../etc"}, "symbol", id="a symbol that is a path"),
        pytest.param(GOOD | {"symbol": "A" * 10_000}, "symbol", id="a symbol of 10 kB"),
        pytest.param(GOOD | {"side": "HOLD"}, "side", id="an unknown side"),
        pytest.param(GOOD | {"order_type": "TRAIL"}, "order_type", id="an unknown order type"),
        pytest.param(GOOD | {"time_in_force": "IOC"}, "time_in_force", id="an unknown duration"),
        pytest.param(GOOD | {"order_type": "LMT"}, "limit_price", id="a limit order without price"),
        pytest.param(GOOD | {"limit_price": 1}, "limit_price", id="a market order with a price"),
        pytest.param(LIMIT | {"limit_price": 0}, "limit_price", id="a price of 0"),
        pytest.param(LIMIT | {"limit_price": -3}, "limit_price", id="a negative price"),
        pytest.param(LIMIT | {"limit_price": "NaN"}, "limit_price", id="a price that is no number"),
        pytest.param(LIMIT | {"limit_price": 1e9}, "limit_price", id="a price above the limit"),
        pytest.param(GOOD | {"order_type": "STP"}, "stop_price", id="a stop order without a stop"),
        pytest.param(LIMIT | {"stop_price": 2}, "stop_price", id="a limit order with a stop"),
        pytest.param(
            STOP | {"order_type": "STP_LMT"}, "limit_price", id="a stop-limit order without limit"
        ),
        pytest.param(STOP | {"stop_price": "NaN"}, "stop_price", id="a stop that is no number"),
        pytest.param(GOOD | {"colour": "red"}, "colour", id="an unknown field"),
        pytest.param(
            GOOD | {"client_order_id": "a\nb"},
            "client_order_id",
            id="a reference with a line break",
        ),
        pytest.param(
            GOOD | {"client_order_id": "x" * 65},
            "client_order_id",
            id="a reference that is too long",
        ),
        pytest.param(["not", "an", "object"], "body", id="a list"),
        pytest.param({"side": "BUY"}, "symbol", id="no symbol"),
    ],
)
async def test_a_bad_order_is_refused_naming_the_field(
    http: httpx.AsyncClient, order: Any, field: str
) -> None:
    answer = await http.post("/v1/orders", json=order)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert field in {error["field"] for error in problem["errors"]}
    assert all(error["message"] for error in problem["errors"])
    assert len(answer.content) < 2000  # what was sent is not echoed


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({}, "body"),
        ({"quantity": None}, "body"),
        ({"quantity": 0}, "quantity"),
        ({"limit_price": -1}, "limit_price"),
        ({"stop_price": 1e9}, "stop_price"),
        ({"side": "SELL"}, "side"),
    ],
)
async def test_a_bad_change_is_refused_naming_the_field(
    http: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    answer = await http.patch(f"/v1/orders/{nobody}", json=change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param('{"quantity": NaN}', "NaN is not a number", id="NaN"),
        pytest.param('{"quantity": -Infinity}', "is not a number", id="minus infinity"),
        pytest.param(
            '{"side": "BUY", "side": "SELL"}', "twice", id="a key that stands there twice"
        ),
        pytest.param("[" * 10_000, "nested too deeply", id="bottomless nesting"),
        pytest.param("{", "", id="half an object"),
        pytest.param('{"symbol": "AA\x01PL"}', "", id="a raw control character"),
        pytest.param(b"\xff\xfe", "", id="no UTF-8"),
    ],
)
async def test_a_body_that_is_not_strict_json_is_refused(
    http: httpx.AsyncClient, body: str | bytes, message: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/v1/orders", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == "body"
    assert message in answer.json()["detail"]


async def test_a_number_in_quotes_is_refused_saying_what_to_change(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/orders", json=GOOD | {"quantity": "1"})
    assert "send it without quotes" in answer.json()["errors"][0]["message"]


async def test_a_number_of_5000_digits_is_refused_naming_the_field(http: httpx.AsyncClient) -> None:
    body = json.dumps(GOOD).replace("10", "1" * 5000)
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/v1/orders", content=body, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "quantity")


async def test_another_content_type_is_refused(http: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = await http.post("/v1/orders", content=json.dumps(GOOD), headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in pieces"])
async def test_a_body_above_16_kib_is_refused(http: httpx.AsyncClient, announced: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    body = b" " * 102_400 if announced else pieces()
    answer = await http.post("/v1/orders", content=body)
    assert answer.status_code == 413
    assert "16384 bytes" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("key", "status"),
    [
        pytest.param("x" * 129, 422, id="an idempotency key that is too long"),
        pytest.param("a b", 422, id="an idempotency key with a space"),
        pytest.param("x" * 128, 503, id="the longest idempotency key"),
    ],
)
async def test_an_idempotency_key_is_bounded(
    http: httpx.AsyncClient, key: str, status: int
) -> None:
    answer = await http.post("/v1/orders", json=GOOD, headers={"Idempotency-Key": key})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/orders?limit=0", "limit"),
        ("/v1/orders?limit=201", "limit"),
        ("/v1/orders?before=x", "before"),
        ("/v1/orders?before=99999999999999999999", "before"),
        ("/v1/orders?status=lost", "status"),
        ("/v1/orders?symbol=../x", "symbol"),
        ("/v1/orders?statsu=filled", "statsu"),
        ("/v1/orders/12", "order_id"),
        ("/v1/quotes/aapl", "symbol"),
    ],
)
async def test_a_bad_query_is_refused_naming_the_field(
    http: httpx.AsyncClient, path: str, field: str
) -> None:
    answer = await http.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(("path", "status"), [("/nowhere", 404), ("/v1/pnl/x", 404)])
async def test_an_unknown_path_is_a_problem_too(
    http: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await http.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_wrong_method_is_405(http: httpx.AsyncClient) -> None:
    answer = await http.put("/v1/orders", json=GOOD)
    assert (answer.status_code, answer.json()["status"]) == (405, 405)
