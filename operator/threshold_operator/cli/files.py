"""AlertThresholds in YAML files, each with what is wrong with it: nobody has checked them yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from threshold_operator.cli import kubectl_yaml
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import KIND, AlertThreshold, InvalidThresholdError, Problem

#: What ``kubectl get -o yaml`` makes of several objects.
_LISTS = {"List", "AlertThresholdList"}


class FileProblemError(ValueError):
    """A file given on the command line can't be used."""


@dataclass(frozen=True)
class Checked:
    """One object of a file; ``threshold`` is None where it can't even be read.

    ``document`` counts the documents of the file from 1; 0 where it has only one.
    """

    file: Path
    name: str
    threshold: AlertThreshold | None
    problems: tuple[Problem, ...] = ()
    document: int = 0

    def __str__(self) -> str:
        """Where it is, for people."""
        number = f", document {self.document}" if self.document else ""
        return f"{self.file}{number}, {KIND}/{self.name}"


def load(files: Iterable[Path], namespace: str | None, catalogue: Catalogue) -> list[Checked]:
    """Every object of every file.

    :param namespace: of objects that name none; one that names another is a problem.
    :raises FileProblemError: a file can't be read, or holds no objects.
    """
    found = [
        replace(_check(file, body, namespace, catalogue), document=number)
        for file in files
        for number, body in documents(file)
    ]
    return _without_twins(found)


def documents(file: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of one file as kubectl reads them, each with the number of its document."""
    try:
        whole = list(kubectl_yaml.documents(file.read_text("utf-8-sig")))
    # ValueError: it isn't UTF-8.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise FileProblemError(f"{file}: {error}") from error
    found = [
        (number if len(whole) > 1 else 0, item)
        for number, body in enumerate(whole, start=1)
        if body is not None
        for item in _items(body)
    ]
    for number, body in found:
        if not isinstance(body, dict):
            where = f"{file}, document {number}" if number else f"{file}"
            raise FileProblemError(f"{where}: is no object; start with apiVersion:")
    return found


def _items(body: Any) -> Sequence[Any]:
    if isinstance(body, dict) and body.get("kind") in _LISTS:
        items = body.get("items")
        return items if isinstance(items, list) else []
    return [body]


def _check(
    file: Path, body: Mapping[str, Any], namespace: str | None, catalogue: Catalogue
) -> Checked:
    meta = body.get("metadata")
    if not isinstance(meta, Mapping):
        problem = Problem("metadata", "is missing; it names the object")
        return Checked(file, "?", None, (problem,))
    name = str(meta.get("name", "?"))
    problems = list(_namespace_problems(meta.get("namespace"), namespace))
    try:
        threshold = AlertThreshold.parse(_own_fields(body, meta), namespace or "default")
    except InvalidThresholdError as error:
        return Checked(file, name, None, (*problems, *error.problems))
    return Checked(file, name, threshold, (*problems, *catalogue.problems(threshold)))


def _own_fields(body: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Without what only the API server may set, such as a time of creation."""
    fields = {key: meta[key] for key in ("name", "namespace") if key in meta}
    kept = {key: body.get(key) for key in ("apiVersion", "kind", "spec")}
    return {**kept, "metadata": fields}


def _namespace_problems(found: Any, wanted: str | None) -> Iterator[Problem]:
    if found is not None and not isinstance(found, str):
        yield Problem("metadata.namespace", "must be a string; quote it")
    elif found and wanted and found != wanted:
        text = f"is {found}, but --namespace is {wanted}; its rules would read another's series"
        yield Problem("metadata.namespace", text)


def _without_twins(found: list[Checked]) -> list[Checked]:
    """Of two objects of one name, the cluster would keep the last only."""
    times = Counter((_namespace(each), each.name) for each in found if each.threshold)
    twin = Problem("metadata.name", "is given to two objects; the last would replace the first")
    return [
        replace(each, problems=(*each.problems, twin))
        if times[_namespace(each), each.name] > 1
        else each
        for each in found
    ]


def _namespace(each: Checked) -> str:
    return each.threshold.namespace if each.threshold else ""
