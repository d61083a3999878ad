"""The dashboards in a real browser, from the live data of ``make local``."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright
from tests.dashboards import FILES, load
from tests.integration.local.conftest import ROOT, Running
from tests.ports import free_ports
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(400)

UID = "stocks-orders-and-risk"
DRAW_MILLISECONDS = 60_000
#: A rate needs two scrapes, 15 s apart, with orders between them.
DATA_SECONDS = 120


@pytest.fixture
def said() -> list[str]:
    """What the browser complained of."""
    return []


@pytest.fixture
def page(said: list[str]) -> Iterator[Page]:
    """A new tab of Debian's Chromium; a complaint that the test did not expect fails it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        tab = browser.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        yield tab
        browser.close()
    assert said == []


def states(page: Page, address: str) -> dict[str, str]:
    """Panel -> drawn, empty or failed."""
    page.goto(f"{address}?refresh=off", timeout=DRAW_MILLISECONDS)
    page.wait_for_selector("html[data-ready=true]", timeout=DRAW_MILLISECONDS)
    found = page.locator("section").evaluate_all(
        "all => Object.fromEntries(all.map(({dataset}) => [dataset.panel, dataset.state]))"
    )
    assert isinstance(found, dict)
    return found


def test_every_panel_of_orders_and_risk_is_drawn(running: Running, page: Page) -> None:
    # The page's newest point is up to a step of 15 s old.
    latency = 'rate(order_latency_seconds_count{namespace="stocks"}[1m] offset 15s) > 0'

    def traded() -> bool:
        assert running.order() in (200, 201, 202)
        return bool(running.query(latency))

    eventually(traded, bool, within=DATA_SECONDS)
    address = f"http://127.0.0.1:{running.ports.dash}/dash/d/{UID}"
    drawn = states(page, address)
    assert drawn == dict.fromkeys(panel_titles(), "drawn")
    assert page.locator('[data-panel="Gateway in use"] .value').inner_text() == "SIMULATED"
    assert page.locator('[data-panel="Kill switch"] .value').inner_text() == "TRADING"
    assert painted(page, "Orders by status")
    assert painted(page, "Acknowledgements by time taken")
    assert page.locator('[data-panel="Position limit used now"] .bar').count() >= 3


def panel_titles() -> list[str]:
    (file,) = [file for file in FILES if file.stem == UID]
    return [panel["title"] for panel in load(file)["panels"] if panel["type"] != "row"]


def painted(page: Page, panel: str) -> bool:
    """Whether more than the axes' greys is on its canvas."""
    colourful = page.locator(f'[data-panel="{panel}"] canvas').evaluate(
        """canvas => {
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          let found = 0;
          for (let at = 0; at < data.length; at += 4) {
            const [red, green, blue] = data.slice(at, at + 3);
            if (Math.max(red, green, blue) - Math.min(red, green, blue) > 60) found++;
          }
          return found;
        }"""
    )
    return bool(colourful > 20)


def test_what_series_and_files_hold_is_text_and_never_markup(
    running: Running, page: Page, tmp_path: Path
) -> None:
    evil = "<img src=x onerror=\"document.title='pwned'\">"
    (source,) = [file for file in FILES if file.stem == UID]
    shutil.copy(source, tmp_path)
    board = load(source)
    board["uid"], board["title"] = "evil", evil
    board["panels"] = [panel for panel in board["panels"] if panel["type"] in ("stat", "bargauge")]
    for panel in board["panels"]:
        panel["title"] = evil + str(panel["id"])
        panel["fieldConfig"]["defaults"]["noValue"] = evil
        text = json.dumps(evil)
        panel["targets"][0]["expr"] = f"label_replace(vector(1), 'symbol', {text}, '', '')"
    board["links"][1]["url"] = "javascript:document.title='pwned'"
    (tmp_path / "evil.json").write_text(json.dumps(board))
    with dash(running, tmp_path) as address:
        drawn = states(page, f"{address}/d/evil")
        assert set(drawn.values()) == {"drawn"}
        assert page.locator("img").count() == 0
        assert page.locator('[href^="javascript:"]').count() == 0
        assert page.title() == evil


def test_a_query_that_prometheus_refuses_is_told_in_its_panel(
    running: Running, page: Page, said: list[str], tmp_path: Path
) -> None:
    (source,) = [file for file in FILES if file.stem == UID]
    board = load(source)
    first = next(panel for panel in board["panels"] if panel["type"] == "stat")
    first["targets"][0]["expr"] = "sum("
    board["panels"] = [first]
    (tmp_path / source.name).write_text(json.dumps(board))
    with dash(running, tmp_path) as address:
        page.goto(f"{address}/d/{UID}?refresh=off", timeout=DRAW_MILLISECONDS)
        page.wait_for_selector("section[data-state=failed]", timeout=DRAW_MILLISECONDS)
        assert "parse error" in page.locator(".failed").inner_text()
    assert "status of 400" in said.pop()


@contextmanager
def dash(running: Running, folder: Path) -> Iterator[str]:
    """Another server of the page, with dashboards of the test."""
    (port,) = free_ports(1)
    prometheus = f"http://127.0.0.1:{running.ports.prometheus}"
    command = [sys.executable, "-m", "monitoring.dash", "--prometheus", prometheus]
    options = ["--dashboards", str(folder), "--port", str(port)]
    with subprocess.Popen([*command, *options], cwd=ROOT) as process:
        try:
            eventually(lambda: healthy(port), bool, within=60, every=0.2)
            yield f"http://127.0.0.1:{port}/dash"
        finally:
            process.terminate()


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").is_success
    except httpx.TransportError:
        return False
