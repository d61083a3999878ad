"""Orders through the API, the real client and a simulated gateway, and what the metrics say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.api.conftest import (
    CHIEF,
    MARKET_BUY,
    READER,
    RESTING_BUY,
    RIVAL,
    TRADER,
    Api,
    Simulator,
    running,
    until,
)

from stocks_api.settings import Settings

BUY_MKT = {"side": "BUY", "order_type": "MKT"}
BUY_LMT = {"side": "BUY", "order_type": "LMT"}


async def test_a_market_order_is_filled_and_every_metric_moves_once(api: Api) -> None:
    placed = await api.place(MARKET_BUY)
    order = await api.until_status(placed["id"], "filled")
    assert order["filled_quantity"] == "10"
    assert [change["status"] for change in order["history"]] == ["pending", "accepted", "filled"]
    assert await api.count("orders_total", **BUY_MKT, status="accepted") == 1
    assert await api.count("orders_total", **BUY_MKT, status="filled") == 1
    assert await api.count("order_latency_seconds_count", stage="ack") == 1
    assert await api.count("order_latency_seconds_count", stage="fill") == 1
    await api.until_metric("active_positions_total", 1)
    await api.until_metric("position_size", 10, symbol="AAPL")


async def test_the_answer_has_the_average_price_of_its_fills(api: Api) -> None:
    placed = await api.place(MARKET_BUY)
    order = await api.until_status(placed["id"], "filled")
    (fill,) = order["fills"]
    assert (fill["quantity"], fill["price"]) == ("10", order["average_price"])


async def test_a_jump_of_the_price_moves_the_unrealised_pnl(api: Api, simulator: Simulator) -> None:
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    await simulator.inject("price", symbol="AAPL", factor=2)
    await until(lambda: api.count("pnl_unrealized_total"), lambda pnl: pnl > 500)
    await until(lambda: api.count("pnl_daily_total"), lambda pnl: pnl > 500)
    await until(
        lambda: api.metric("position_pnl_unrealized", symbol="AAPL"),
        lambda pnl: pnl is not None and pnl > 500,
    )
    assert (await api.json("/v1/pnl"))["unrealized"] > 500
    assert await api.count("account_net_liquidation") > 0


async def test_selling_what_was_bought_is_flat_again(api: Api) -> None:
    for side in ("BUY", "SELL"):
        placed = await api.place(MARKET_BUY | {"side": side})
        await api.until_status(placed["id"], "filled")
    await api.until_metric("active_positions_total", 0)
    await api.until_metric("position_size", 0, symbol="AAPL")
    assert await api.metric("position_pnl_unrealized", symbol="AAPL") is None
    assert (await api.json("/v1/positions"))["positions"] == []


async def test_a_position_off_the_watch_list_is_labelled_other(api: Api) -> None:
    placed = await api.place(MARKET_BUY | {"symbol": "NVDA", "quantity": 3})
    await api.until_status(placed["id"], "filled")
    await api.until_metric("position_size", 3, symbol="other")
    assert (await api.json("/v1/positions"))["positions"][0]["symbol"] == "NVDA"


@pytest.mark.parametrize("code", [201, 103, 321, 200])
async def test_a_rejection_is_counted_once_and_says_why(
    api: Api, simulator: Simulator, code: int
) -> None:
    await simulator.inject("reject", orders=1, code=code, message="margin is short")
    answer = await api.post(MARKET_BUY)
    assert answer.status_code == 201
    assert answer.json()["status"] == "rejected"
    assert answer.json()["reason"] == f"{code}: margin is short"
    await api.place(MARKET_BUY)
    assert await api.count("orders_total", **BUY_MKT, status="rejected") == 1
    assert await api.count("order_rejections_total", reason="gateway") == 1
    assert await api.count("ib_errors_total", code=str(code)) == 1


async def test_an_unknown_symbol_is_rejected_by_the_gateway(api: Api) -> None:
    order = await api.place(MARKET_BUY | {"symbol": "ZZZZZ"})
    assert order["status"] == "rejected"
    assert order["reason"].startswith("200:")


async def test_a_resting_order_is_accepted_and_cancelled(api: Api) -> None:
    placed = await api.place(RESTING_BUY)
    assert placed["status"] == "accepted"
    answer = await api.delete(placed["id"])
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    for status, count in {"accepted": 1, "cancelled": 1, "rejected": 0, "filled": 0}.items():
        assert await api.count("orders_total", **BUY_LMT, status=status) == count


async def test_a_filled_order_cannot_be_cancelled(api: Api) -> None:
    placed = await api.place(MARKET_BUY)
    await api.until_status(placed["id"], "filled")
    answer = await api.delete(placed["id"])
    assert answer.status_code == 409
    assert "filled" in answer.json()["detail"]


async def test_an_order_of_another_client_is_left_alone_except_by_an_admin_who_trades(
    api: Api, simulator: Simulator
) -> None:
    placed = await api.place(RESTING_BUY)
    for answer in (
        await api.delete(placed["id"], RIVAL),
        await api.patch(placed["id"], RIVAL, quantity=11),
    ):
        assert answer.status_code == 403, answer.text
        assert "belongs to desk" in answer.json()["detail"]
    (there,) = await simulator.orders()
    assert (there["status"], there["quantity"]) == ("Submitted", 10)
    assert (await api.patch(placed["id"], CHIEF, quantity=11)).status_code == 200
    assert (await api.delete(placed["id"], CHIEF)).json()["status"] == "cancelled"


async def test_an_order_of_nobody_is_not_found(api: Api) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    assert (await api.get(f"/v1/orders/{nobody}")).status_code == 404
    assert (await api.delete(nobody)).status_code == 404


async def test_the_same_key_and_body_give_the_same_order(api: Api, simulator: Simulator) -> None:
    headers = {"Idempotency-Key": "monday-1"}
    first = await api.post(RESTING_BUY, **headers)
    second = await api.post(RESTING_BUY, **headers)
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert len(await simulator.orders()) == 1


async def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    headers = {"Idempotency-Key": "monday-1"}
    await api.post(RESTING_BUY, **headers)
    answer = await api.post(RESTING_BUY | {"quantity": 11}, **headers)
    assert answer.status_code == 422
    assert "idempotency key" in answer.json()["detail"]


async def test_a_client_order_id_is_a_key_too(api: Api) -> None:
    order = RESTING_BUY | {"client_order_id": "desk-7"}
    first, second = await api.place(order), await api.place(order)
    assert first["id"] == second["id"]
    assert first["client_order_id"] == "desk-7"


async def test_concurrent_duplicates_give_one_order(api: Api, simulator: Simulator) -> None:
    headers = {"Idempotency-Key": "burst"}
    answers = await asyncio.gather(*(api.post(RESTING_BUY, **headers) for _ in range(10)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await simulator.orders()) == 1


async def test_numbers_are_accepted_as_json_numbers_and_kept_exact(api: Api) -> None:
    placed = await api.place(RESTING_BUY | {"quantity": 0.3, "limit_price": 1.1})
    assert (placed["quantity"], placed["limit_price"]) == ("0.3", "1.1")


async def test_the_list_has_filters_and_pages(api: Api) -> None:
    for symbol in ("AAPL", "MSFT", "AAPL"):
        await api.place(RESTING_BUY | {"symbol": symbol})
    page = await api.json("/v1/orders?symbol=AAPL&status=accepted&limit=1")
    assert [order["symbol"] for order in page["orders"]] == ["AAPL"]
    rest = await api.json(f"/v1/orders?symbol=AAPL&before={page['next_before']}")
    assert (len(rest["orders"]), rest["next_before"]) == (1, None)


async def test_quotes_of_the_watch_list_tick(api: Api) -> None:
    async def quote() -> Any:
        return await api.json("/v1/quotes/MSFT")

    first = await until(quote, lambda found: found["last"] is not None)
    assert first["bid"] < first["ask"]
    await until(quote, lambda found: found["last_tick_at"] > first["last_tick_at"])
    assert (await api.get("/v1/quotes/NVDA")).status_code == 404


async def test_stalled_ticks_of_a_symbol_grow_old_while_others_go_on(
    api: Api, simulator: Simulator
) -> None:
    name = "market_data_last_tick_timestamp_seconds"
    await simulator.inject("stall", symbols=["TSLA"])
    stalled = await api.count(name, symbol="TSLA")
    await until(lambda: api.count(name, symbol="AAPL"), lambda at: at > stalled + 0.5)
    assert await api.count(name, symbol="TSLA") == stalled


@pytest.mark.parametrize(
    ("key", "method", "status", "reason"),
    [
        pytest.param(None, "GET", 401, "missing", id="no key is missing"),
        pytest.param("%%%%", "GET", 401, "malformed", id="junk is malformed"),
        pytest.param("x" * 5000, "GET", 401, "malformed", id="5 kB is malformed"),
        pytest.param("a-key-of-nobody", "GET", 401, "unknown", id="a key of nobody is unknown"),
        pytest.param("expired-key-0003", "GET", 401, "expired", id="an old key is expired"),
        pytest.param(READER, "POST", 403, "scope", id="a reader may not trade"),
        pytest.param(READER, "DELETE", 403, "scope", id="a reader may not cancel"),
    ],
)
async def test_a_request_without_the_right_key_is_refused_and_counted(
    api: Api, simulator: Simulator, key: str | None, method: str, status: int, reason: str
) -> None:
    path = "/v1/orders/00000000-0000-0000-0000-000000000000" if method == "DELETE" else "/v1/orders"
    headers = {} if key is None else {"X-API-Key": key}
    body = MARKET_BUY if method == "POST" else None
    answer = await api.http.request(method, path, headers=headers, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    for each in ("missing", "malformed", "unknown", "expired", "scope"):
        assert await api.count("auth_failures_total", reason=each) == (each == reason)
    assert await simulator.orders() == []


async def test_who_fails_too_often_is_told_to_wait_and_good_keys_still_pass(
    settings: Settings,
) -> None:
    few = settings.model_copy(update={"auth_failures_per_minute": 3})
    async with running(few) as api:
        answers = [await api.get("/v1/pnl", "a-key-of-nobody") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429, 429]
        assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
        assert await api.count("auth_failures_total", reason="unknown") == 5
        assert (await api.get("/v1/pnl", TRADER)).status_code == 200


async def test_a_reader_may_read(api: Api) -> None:
    for path in ("/v1/orders", "/v1/positions", "/v1/pnl"):
        assert (await api.get(path, READER)).status_code == 200


async def test_the_key_is_checked_before_the_body_is_read(api: Api) -> None:
    answer = await api.http.post("/v1/orders", content=b"{", headers={"X-API-Key": "not-a-key-1"})
    assert answer.status_code == 401


async def test_a_changed_keys_file_is_read_again(api: Api) -> None:
    path = api.settings.api_keys_file
    assert (await api.get("/v1/pnl", TRADER)).status_code == 200
    path.write_text(path.read_text().replace("desk", "robot").replace("trade", "admin"))
    await until(lambda: api.post(MARKET_BUY), lambda answer: answer.status_code == 403)
