"""An operator for the same objects as kopf's documentation would have it written.

Handlers for create, update and resume, the status by ``patch``, an owned PrometheusRule, no
finalizer. It parses, checks and renders with our own functions; nobody proves anything, settles
conflicts, or repairs what others change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kopf
from kubernetes.aio import client, config
from kubernetes.aio.client import ApiException

from threshold_operator.cluster.objects import RULE_GROUP, RULE_VERSION, manifest
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.precedence import check
from threshold_operator.model.threshold import GROUP, PLURAL, VERSION, AlertThreshold

RULES = (RULE_GROUP, RULE_VERSION)


@kopf.on.startup()
async def connect(memo: kopf.Memo, settings: kopf.OperatorSettings, **_: Any) -> None:
    await config.load_kube_config()  # type: ignore[no-untyped-call]
    memo.api = client.CustomObjectsApi()
    memo.catalogue = Catalogue.load(Path(os.environ["THRESHOLDS_CATALOGUE"]))
    settings.scanning.disabled = True


@kopf.on.resume(GROUP, VERSION, PLURAL)
@kopf.on.create(GROUP, VERSION, PLURAL)
@kopf.on.update(GROUP, VERSION, PLURAL)
async def reconcile(
    body: kopf.Body, memo: Any, patch: kopf.Patch, namespace: str | None, **_: Any
) -> None:
    threshold = check(dict(body), memo.catalogue)
    if not isinstance(threshold, AlertThreshold):
        patch.status["conditions"] = [_condition("False", threshold.reason, threshold.message)]
        return
    rule = manifest(dict(body), threshold, memo.catalogue, {"release": "peer"}, in_force=True)
    try:
        await memo.api.create_namespaced_custom_object(*RULES, namespace, "prometheusrules", rule)
    except ApiException as error:
        if error.status != 409:
            raise
        await memo.api.patch_namespaced_custom_object(
            *RULES, namespace, "prometheusrules", rule["metadata"]["name"], rule
        )
    patch.status["scope"] = threshold.scope
    patch.status["conditions"] = [_condition("True", "Accepted", "valid")]


def _condition(status: str, reason: str, message: str) -> dict[str, Any]:
    now = "2026-01-01T00:00:00Z"
    return {"type": "Accepted", "status": status, "reason": reason, "message": message} | {
        "lastTransitionTime": now
    }
