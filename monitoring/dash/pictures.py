"""``python -m monitoring.dash.pictures``: a PNG of each dashboard from live data (`make pictures`).

Drawn by Debian's Chromium, from the page of this package or from a Grafana.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from monitoring.dash.__main__ import FILES
from PIL import Image
from playwright.sync_api import Browser, Error, FloatRect, sync_playwright

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
CHROMIUM = "/usr/bin/chromium"
WIDTH = 1200
COLORS = 128
SPANS = ("now-15m", "now-30m", "now-1h", "now-3h", "now-12h", "now-2d")  # those of page/time.js
TALLEST = 2000  # nobody scrolls further through a picture, and it stays below 200 kB
DRAW_MILLISECONDS = 60_000
#: What the README opens with: a limit moves, and the alert follows.
STORY = ("stocks-alert-thresholds", ("StocksOrderRejectionRateHigh", "Alerts over time"))


@dataclass(frozen=True)
class Picture:
    """One PNG: a dashboard, or some of its panels by their titles."""

    name: str
    uid: str
    panels: tuple[str, ...] = ()

    def address(self, site: Site, since: str) -> str:
        """Where a browser sees it."""
        parameters = [("from", since), *site.parameters]
        parameters += [("viewPanel", number) for number in self._numbers()]
        return f"{site.dashboards}/{self.uid}?{urlencode(parameters)}"

    def _numbers(self) -> Iterator[str]:
        board = json.loads((FILES / f"{self.uid}.json").read_text())
        numbers = {panel["title"]: str(panel["id"]) for panel in board["panels"]}
        return (numbers[title] for title in self.panels)


@dataclass(frozen=True)
class Site:
    """Our page, or a Grafana: its dashboards' address, and how to see that all is drawn."""

    dashboards: str
    parameters: tuple[tuple[str, str], ...]
    drawn: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def main() -> None:
    """Write the pictures; exits 1 with one line where the page or Chromium is missing."""
    arguments = _parser().parse_args()
    site = _grafana(arguments.grafana) if arguments.grafana else _own(arguments.url)
    arguments.output.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM)
            for picture in pictures(story=not arguments.grafana):
                path = arguments.output / f"{picture.name}.png"
                take(browser, site, picture.address(site, arguments.since), path)
                print(f"{path} {path.stat().st_size // 1000} kB")
    except Error as error:
        sys.exit(f"pictures: {error.message.splitlines()[0]}; is it served? `make local`")


def pictures(*, story: bool) -> list[Picture]:
    """Of every dashboard; the story's panels are chosen in a way that Grafana has not."""
    uids = [path.stem for path in sorted(FILES.glob("*.json"))]
    every = [Picture(uid.removeprefix("stocks-"), uid) for uid in uids]
    return [*every, Picture("threshold-moves", *STORY)] if story else every


def take(browser: Browser, site: Site, address: str, path: Path) -> None:
    """The page from its top, once everything in it is drawn."""
    page = browser.new_page(
        viewport={"width": WIDTH, "height": 600}, extra_http_headers=site.headers
    )
    page.goto(address, timeout=DRAW_MILLISECONDS)
    if site.drawn:
        page.wait_for_selector(site.drawn, timeout=DRAW_MILLISECONDS)
    else:
        page.wait_for_load_state("networkidle", timeout=DRAW_MILLISECONDS)
    high = page.evaluate("document.documentElement.scrollHeight")
    seen = FloatRect(x=0, y=0, width=WIDTH, height=min(high, TALLEST))
    page.screenshot(path=path, full_page=True, clip=seen)
    page.close()
    slim(path)


def slim(path: Path) -> None:
    """A third of the size: few colours are on such a page, and a thin red line must stay red."""
    with Image.open(path) as picture:
        few = picture.convert("RGB").quantize(COLORS, Image.Quantize.MAXCOVERAGE)
        few.save(path, optimize=True)


def _own(url: str) -> Site:
    return Site(f"{url}/d", (("refresh", "off"),), "html[data-ready=true]")


def _grafana(url: str) -> Site:
    token = os.environ.get("GRAFANA_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Site(f"{url}/d", (("to", "now"), ("kiosk", "")), headers=headers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dash.pictures", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:3000/dash", help="our page")
    parser.add_argument(
        "--grafana", metavar="URL", help="a Grafana instead; GRAFANA_TOKEN is a viewer's token"
    )
    parser.add_argument("--output", type=Path, default=IMAGES, metavar="FOLDER")
    parser.add_argument("--since", default="now-30m", choices=SPANS, help="(%(default)s)")
    return parser


if __name__ == "__main__":
    main()
