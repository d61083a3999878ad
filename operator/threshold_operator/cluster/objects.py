"""The PrometheusRule of an object: what we write, and whether what is there is what we wrote.

It also remembers, in an annotation of its own, the generation that it was made from: where the
newest edit of the object is refused, the numbers in force are read back from there, so a restart
of the operator forgets nothing and nothing is ever noted on the user's object.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.threshold import (
    API_VERSION,
    KIND,
    AlertThreshold,
    InvalidThresholdError,
)
from threshold_operator.promql.rules import Group, silent_group, threshold_group

Manifest = dict[str, Any]

RULE_GROUP, RULE_VERSION, RULE_KIND = "monitoring.coreos.com", "v1", "PrometheusRule"
RULE_API = f"{RULE_GROUP}/{RULE_VERSION}"
MANAGER = "threshold-operator"
MANAGED_BY = "app.kubernetes.io/managed-by"
ACCEPTED = "stocks-fastapi.io/accepted"
PREFIX = "threshold-"


def rule_name(name: str) -> str:
    """The PrometheusRule of the object called ``name``."""
    return PREFIX + name


def rule_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """All labels of a rule that we write; ``labels`` are those that Prometheus selects by."""
    return {**labels, MANAGED_BY: MANAGER}


def rule_groups(live: Body) -> Iterator[str]:
    """Names of its groups that have rules: those that Prometheus is to load."""
    for group in (live.get("spec") or {}).get("groups") or []:
        if group.get("rules"):
            yield group["name"]


def manifest(
    owner: Body,
    threshold: AlertThreshold | None,
    catalogue: Catalogue,
    labels: Mapping[str, str],
    *,
    in_force: bool,
) -> Manifest:
    """Everything that we own of a rule object, and nothing else.

    Where the object lost its claim, or is a Preview now, its group stays, without rules: it is
    patched in place, never deleted, and remembers what to put back. Without the group the API
    server would drop the whole spec, which it requires.
    """
    meta = owner["metadata"]
    group = silent_group(meta["name"])
    if threshold and in_force:
        group = threshold_group(threshold, catalogue[threshold.spec.alert])
    notes = {ACCEPTED: _memo(threshold)} if threshold else {}
    return rule_object(
        rule_name(meta["name"]), meta["namespace"], labels, notes, _owner(owner), [group]
    )


def rule_object(
    name: str,
    namespace: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    owner: Mapping[str, Any],
    groups: list[Group],
) -> Manifest:
    """A rule of ours; by its owner it is collected when that is gone."""
    return {
        "apiVersion": RULE_API,
        "kind": RULE_KIND,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": rule_labels(labels),
            "annotations": dict(annotations),
            "ownerReferences": [dict(owner)],
        },
        "spec": {"groups": groups},
    }


def in_sync(live: Body, wanted: Manifest) -> bool:
    """Whether the fields that we own are as we want them; what others added is theirs."""
    meta, want = live["metadata"], wanted["metadata"]
    return (
        _contains(meta.get("labels"), want["labels"])
        and _contains(meta.get("annotations"), want["annotations"])
        and any(_contains(ref, want["ownerReferences"][0]) for ref in _owners(live))
        and _same_groups(live, wanted["spec"]["groups"])
    )


def remembered(live: Body, owner: Body, catalogue: Catalogue) -> AlertThreshold | None:
    """The generation that a rule was made from, if it belongs to this very object."""
    memo = _memo_for(live, owner)
    return _accepted_before(owner, *memo, catalogue) if memo else None


def out_of_step(owner: Body, live: Body) -> bool:
    """Whether an object or its rule is seen as it was before the other was written."""
    accepted = (owner.get("status") or {}).get("acceptedGeneration") or 0
    memo = _memo_for(live, owner)
    return memo is not None and not accepted <= memo[0] <= owner["metadata"].get("generation", 1)


def _memo_for(live: Body, owner: Body) -> tuple[int, Any] | None:
    """Generation and spec; None if it isn't a rule of this very object, or was edited by hand."""
    memo = (live["metadata"].get("annotations") or {}).get(ACCEPTED)
    if memo is None or not any(r.get("uid") == owner["metadata"]["uid"] for r in _owners(live)):
        return None
    try:
        content = json.loads(memo)
        return int(content["generation"]), content["spec"]
    except (ValueError, KeyError, TypeError):
        return None  # worth nothing, and written again with the next good edit


def remembered_in_status(owner: Body, catalogue: Catalogue) -> AlertThreshold | None:
    """The same where there is no rule: the accepted generation was a Preview."""
    status = owner.get("status") or {}
    generation, spec = status.get("acceptedGeneration"), status.get("acceptedSpec")
    if generation is None or spec is None:
        return None
    return _accepted_before(owner, generation, spec, catalogue)


def _accepted_before(
    owner: Body, generation: Any, spec: Any, catalogue: Catalogue
) -> AlertThreshold | None:
    meta = {**owner["metadata"], "generation": int(generation)}
    try:
        threshold = AlertThreshold.parse({**owner, "metadata": meta, "spec": spec})
    except InvalidThresholdError:
        return None
    return None if catalogue.problems(threshold) else threshold


def accepted_spec(threshold: AlertThreshold) -> dict[str, Any]:
    """What is noted of an accepted spec: all but the reason, a text for people of any length."""
    return threshold.spec.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"reason"}
    )


def belongs_to(live: Body, owner_uid: str) -> bool:
    """Whether a rule object found in the cluster is ours to write for this owner."""
    labels = live["metadata"].get("labels") or {}
    owned = any(ref.get("uid") == owner_uid for ref in _owners(live))
    return owned or labels.get(MANAGED_BY) == MANAGER


def is_ours(live: Body) -> bool:
    """Whether a rule object is one that we made for an AlertThreshold, which may be gone."""
    meta = live["metadata"]
    return (meta.get("labels") or {}).get(MANAGED_BY) == MANAGER and meta["name"].startswith(PREFIX)


def applied_at(live: Body) -> str | None:
    """When we last changed the rule (RFC 3339), as the API server noted it."""
    fields = live["metadata"].get("managedFields") or []
    times = [entry.get("time") for entry in fields if entry.get("manager") == MANAGER]
    return max(filter(None, times), default=None)


def rejection(live: Body) -> str:
    """Why prometheus-operator keeps the rule from a Prometheus; empty where it doesn't.

    It says so only with its feature gate StatusForConfigurationResources.
    """
    for binding in (live.get("status") or {}).get("bindings") or []:
        for condition in binding.get("conditions") or []:
            refused = (condition.get("type"), condition.get("status")) == ("Accepted", "False")
            current = condition.get("observedGeneration") == live["metadata"].get("generation")
            if refused and current:
                who = f"{binding.get('namespace')}/{binding.get('name')}"
                return f"prometheus-operator rejects the rule for {who}: {condition.get('message')}"
    return ""


def _memo(threshold: AlertThreshold) -> str:
    memo = {"generation": threshold.generation, "spec": accepted_spec(threshold)}
    return json.dumps(memo, sort_keys=True, separators=(",", ":"))


def _owner(owner: Body) -> dict[str, Any]:
    """No blockOwnerDeletion: it would need a right on the user's object."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
    }


def _owners(live: Body) -> list[Mapping[str, Any]]:
    return live["metadata"].get("ownerReferences") or []


def _same_groups(live: Body, wanted: list[Group]) -> bool:
    own = {group["name"] for group in wanted}
    groups = (live.get("spec") or {}).get("groups") or []
    return [group for group in groups if group.get("name") in own] == wanted


def _contains(live: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> bool:
    return all((live or {}).get(key) == value for key, value in wanted.items())
