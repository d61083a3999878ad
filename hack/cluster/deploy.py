"""Into a cluster that runs: the monitoring stack, our images, our chart."""

from __future__ import annotations

from cluster import dash, images, monitoring, release
from cluster.kind import Target, load_images
from cluster.paths import CHART
from cluster.release import Release
from cluster.steps import Progress

PARTS = ("images", "monitoring", "chart")


def deploy(target: Target, wanted: Release, progress: Progress, parts: tuple[str, ...]) -> None:
    """Install or repair these parts; each alone may be left out."""
    if "monitoring" in parts:
        monitoring.install(target, progress)
    if not release.chart_exists():
        progress.say(f"  --  no chart at {CHART}: images and chart are passed over")
        return
    if "images" in parts or "chart" in parts:
        ours = ensure_loaded(target, progress)
    if "chart" in parts:
        release.install(target, wanted, ours, progress)
        if not target.kit.public:
            dash.install(target, ours["operator"], progress)


def ensure_loaded(target: Target, progress: Progress) -> dict[str, str]:
    """Our images, built if need be and present on the cluster's nodes; name: image."""
    ours = images.ensure_app_images(target.kit, progress)
    with progress.step("images into the cluster") as step:
        load_images(target, list(ours.values()), step)
    return ours
