"""The schema of ``spec`` in the CRD: the model's, with the words and CEL of ``spec.yaml``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from generator.section import filled
from threshold_operator.model import times
from threshold_operator.model.threshold import Spec

CRD = Path("charts/stocks-fastapi/templates/operator/crd.yaml")
WORDS = Path(__file__).with_name("spec.yaml")
BEGIN = (
    "            # spec: written by `make generate` from the model and hack/generator/spec.yaml\n"
)
END = "            # end of spec\n"

_LIMITS = ("LONGEST_TIMING", "SHORTEST_WINDOW", "LONGEST_WINDOW")
_PATTERNS = ("DURATION", "TIME")
#: What the API server fills in; other defaults of the model are only the operator's.
_DEFAULTS = {"mode", "window"}


def with_spec(file: Path = CRD) -> str:
    """The text of the CRD's template with the schema of today between its two markers.

    :raises CatalogueError: where the file can't be read, or has no markers.
    """
    text = yaml.dump({"spec": spec()}, Dumper=_Plain, sort_keys=False, width=10_000)
    lines = "".join(f"            {line}\n" for line in text.splitlines())
    return filled(file, BEGIN, END, lines)


def spec() -> dict[str, Any]:
    """The schema as Kubernetes wants it: structural, without null and without references."""
    said = {name: getattr(times, name) for name in _PATTERNS}
    said |= {name: f"{getattr(times, name).total_seconds():.0f}" for name in _LIMITS}
    words = re.sub("@([A-Z_]+)@", lambda found: said[found[1]], WORDS.read_text())
    model = Spec.model_json_schema(by_alias=True)
    schema: dict[str, Any]
    schema = _laid_over(_structural(model, model["$defs"]), yaml.safe_load(words)["spec"])
    return schema


def _structural(schema: Mapping[str, Any], parts: Mapping[str, Any], name: str = "") -> Any:
    given = next((each for each in schema.get("anyOf", ()) if each.get("type") != "null"), schema)
    if "$ref" in given:
        given = parts[given["$ref"].rpartition("/")[2]]
    found = {key: given[key] for key in ("type", "enum", "minLength", "required") if key in given}
    if "maxLength" in given:
        found["maxProperties" if found["type"] == "object" else "maxLength"] = given["maxLength"]
    if name in _DEFAULTS:
        found["default"] = schema["default"]
    if given.get("additionalProperties") is False:
        # Kept, so that an unknown field can be refused: pruned, it would be lost without a word.
        found["x-kubernetes-preserve-unknown-fields"] = True
    elif "additionalProperties" in given:
        found["additionalProperties"] = _structural(given["additionalProperties"], parts)
    if "properties" in given:
        fields = given["properties"].items()
        found["properties"] = {key: _structural(each, parts, key) for key, each in fields}
    return found


def _laid_over(schema: Any, words: Any) -> Any:
    if not (isinstance(schema, dict) and isinstance(words, dict)):
        return words
    return {
        key: _laid_over(schema.get(key, words.get(key)), words.get(key, schema.get(key)))
        for key in {**schema, **words}
    }


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True
