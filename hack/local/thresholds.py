"""AlertThreshold files on this machine: rendered, loaded, and waited for until in force."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from local.errors import LocalError
from local.place import NAMESPACE, REPO, Place, url
from local.web import answers, get_json, post, until

#: Two rule groups are evaluated one after the other, 15 s each; a removed rule's series ends
#: two intervals after the reload.
IN_FORCE_SECONDS = 90.0

EFFECTIVE = "stocks:alert_threshold:effective"


@dataclass(frozen=True)
class Limit:
    """One number of an object: which series it governs, and what it is."""

    alert: str
    severity: str
    source: str
    scope: tuple[tuple[str, str], ...]
    number: float

    def selector(self, metric: str, *more: str) -> str:
        """The series of this alert and tier, and of this scope if it has one."""
        labels = {"namespace": NAMESPACE, "alert": self.alert, "severity": self.severity}
        matchers = [f'{k}="{v}"' for k, v in [*labels.items(), *self.scope]]
        return f"{metric}{{{','.join([*matchers, *more])}}}"


def render(place: Place) -> None:
    """Write the rules of the catalogue and of everything that was applied."""
    _render(sorted(place.thresholds.glob("*.yaml")), place.rules)


def apply(place: Place, files: Sequence[Path]) -> None:
    """Put objects in force, and return when Prometheus evaluates their numbers.

    All or nothing: if one is wrong LocalError tells all problems, and nothing changes.
    """
    _require_running(place)
    objects = _named(body for file in files for body in _objects(file))
    with TemporaryDirectory() as scratch:
        wanted = Path(shutil.copytree(place.thresholds, Path(scratch, "objects")))
        for name, body in objects.items():
            (wanted / f"{name}.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
        _render(sorted(wanted.glob("*.yaml")), Path(scratch, "rules"))
        shutil.copytree(wanted, place.thresholds, dirs_exist_ok=True)
    _reload(place)
    for name, body in objects.items():
        for limit in _limits(body):
            _wait_in_force(place, limit)
            print(f"{name}: {limit.alert} {limit.severity} is now {limit.number:g}, in force")


def delete(place: Place, names: Sequence[str]) -> None:
    """Take objects back, and return when Prometheus no longer has their numbers."""
    _require_running(place)
    files = {name: place.thresholds / f"{name}.yaml" for name in names}
    for name, file in files.items():
        if not file.exists():
            there = sorted(path.stem for path in place.thresholds.glob("*.yaml"))
            raise LocalError(f"{name}: is not applied; applied: {', '.join(there) or 'none'}")
    limits = {name: _limits(yaml.safe_load(file.read_text())) for name, file in files.items()}
    for file in files.values():
        file.unlink()
    _reload(place)
    for name, gone in limits.items():
        _wait_gone(place, name)
        for limit in gone:
            _wait_evaluated(place, limit, since=time.time())
            back = _in_force(place, limit)
            print(f"{name}: {limit.alert} {limit.severity} is back at {back}")


def _require_running(place: Place) -> None:
    address = url(place.recall().prometheus, "/-/ready")
    if not answers(address):
        raise LocalError(f"{address} does not answer: start it with `make local`, and leave it on")


def _objects(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file as of this machine's namespace: the same file is for clusters, too."""
    try:
        bodies = [body for body in yaml.safe_load_all(file.read_text()) if body is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LocalError(f"{file}: {error}") from error
    for body in bodies:
        meta = body.get("metadata") if isinstance(body, dict) else None
        name = meta.get("name") if isinstance(meta, dict) else None
        if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", name):
            raise LocalError(f"{file}: metadata.name: must be small letters, digits, '-' and '.'")
        yield body | {"metadata": {"name": name}}


def _named(bodies: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    named: dict[str, dict[str, Any]] = {}
    for body in bodies:
        name = body["metadata"]["name"]
        if name in named:
            raise LocalError(f"{name}: is given twice; names are unique")
        named[name] = body
    return named


def _limits(body: dict[str, Any]) -> list[Limit]:
    spec = body["spec"]
    scope = tuple((spec.get("match") or {}).items())
    return [
        Limit(spec["alert"], tier, body["metadata"]["name"], scope, spec[tier]["threshold"])
        for tier in ("warning", "critical")
        if spec.get(tier)
    ]


def _render(objects: Sequence[Path], output: Path) -> None:
    """The operator's own renderer; its refusals are ours."""
    renderer = [sys.executable, "-m", "threshold_operator", "render"]
    done = subprocess.run(
        [*renderer, "--namespace", NAMESPACE, "--output", str(output), *map(str, objects)],
        cwd=REPO,
        env={**os.environ, "PYTHONPATH": str(REPO / "operator")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalError(done.stderr.strip())


def _reload(place: Place) -> None:
    render(place)
    post(url(place.recall().prometheus, "/-/reload"))


def _wait_in_force(place: Place, limit: Limit) -> None:
    """Until the alert compares with it, or where the signal has no instance yet, could."""
    loaded = limit.selector("stocks:alert_threshold", f'source="{limit.source}"')

    def in_force() -> bool:
        return _values(place, loaded) == {limit.number} and _effective(place, limit)

    if not until(in_force, IN_FORCE_SECONDS, every=1):
        raise LocalError(
            f"{limit.source}: {limit.alert} {limit.severity} {limit.number:g} is not in force "
            f"after {IN_FORCE_SECONDS:g} s; in force: {_in_force(place, limit)}"
        )


def _effective(place: Place, limit: Limit) -> bool:
    values = _values(place, limit.selector(EFFECTIVE))
    return not values or limit.number in values


def _wait_gone(place: Place, name: str) -> None:
    series = f'stocks:alert_threshold{{namespace="{NAMESPACE}",source="{name}"}}'
    if not until(lambda: not _values(place, series), IN_FORCE_SECONDS, every=1):
        raise LocalError(f"{name}: still in Prometheus after {IN_FORCE_SECONDS:g} s")


def _wait_evaluated(place: Place, limit: Limit, since: float) -> None:
    """Until the number in force was worked out anew, after the series of the object had ended."""
    query = f"timestamp({limit.selector(EFFECTIVE)})"
    done = until(
        lambda: all(value > since for value in _values(place, query)), IN_FORCE_SECONDS, every=1
    )
    if not done:
        raise LocalError(f"{limit.alert}: not evaluated within {IN_FORCE_SECONDS:g} s")


def _in_force(place: Place, limit: Limit) -> str:
    values = _values(place, limit.selector(EFFECTIVE))
    return ", ".join(f"{value:g}" for value in sorted(values)) or "the default"


def _values(place: Place, query: str) -> set[float]:
    """The values of an instant query."""
    address = url(place.recall().prometheus, "/api/v1/query")
    answer = get_json(address, query=query)
    return {float(series["value"][1]) for series in answer["data"]["result"]}
