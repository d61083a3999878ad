"""Row f: files mean to the CLI what they mean to the real kubectl."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.operator.apiserver import ApiServer
from tests.unit.operator.test_kubectl_yaml import VALUES

from threshold_operator.cli.kubectl_yaml import documents

#: kubectl can't print these, since JSON has no such numbers; it refuses the file.
NO_JSON = {".inf", "-.INF"}


def test_row_f_every_value_is_what_kubectl_makes_of_it(server: ApiServer) -> None:
    texts = [text for text in VALUES if text not in NO_JSON]
    file = "---\n".join(
        "apiVersion: stocks-fastapi.io/v1alpha1\nkind: AlertThreshold\n"
        f"metadata: {{name: c{number}}}\nspec: {{alert: X, odd: {text}}}\n"
        for number, text in enumerate(texts)
    )
    options = ("create", "--dry-run=client", "--validate=false", "-o", "json", "-f", "-")
    printed = _objects(server.kubectl("default", *options, stdin=file))
    for text, kubectl, ours in zip(texts, printed, documents(file), strict=True):
        wanted, found = _value(kubectl), _value(ours)
        assert (float(wanted) if isinstance(found, float) else wanted) == found, text


def _objects(text: str) -> list[Any]:
    """JSON objects, one after the other."""
    found, rest = [], text.strip()
    while rest:
        body, end = json.JSONDecoder().raw_decode(rest)
        found.append(body)
        rest = rest[end:].strip()
    return found


def _value(body: Any) -> Any:
    return body["spec"]["odd"]
