"""The status of an object: conditions, the numbers beside the defaults, the state of the alert."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from threshold_operator.cluster.events import Change
from threshold_operator.cluster.objects import MANAGER, accepted_spec, rule_name
from threshold_operator.model.body import Body
from threshold_operator.model.catalogue import Catalogue
from threshold_operator.model.condition import (
    EXPIRED,
    NOT_CONFIGURED,
    PREVIEW,
    PROPAGATING,
    Verdict,
    condition_of,
)
from threshold_operator.model.precedence import ACCEPTED, Decision
from threshold_operator.model.threshold import AlertThreshold, Mode
from threshold_operator.model.times import rfc3339

Status = dict[str, Any]

NOT_ACCEPTED = "NotAccepted"
#: Only there where it is True, as kstatus has it: Flux and Argo CD end their wait with an error.
STALLED = "Stalled"
#: Likewise only where it is True: accepted, and most likely not meant.
OUT_OF_ORDER = "OutOfOrder"
_SOMETIMES = (STALLED, OUT_OF_ORDER)
#: A wide object names so many of the scopes that others take from it.
_MOST_SCOPES = 20

#: What an object is Ready with that is to put nothing in force.
_NOTHING_TO_DO = {PREVIEW, EXPIRED}

#: Either said by another condition, or of no interest in itself.
_NO_NEWS = {NOT_ACCEPTED, ACCEPTED, PROPAGATING, NOT_CONFIGURED, PREVIEW}

#: All the fields that we ever write: one of them that is there and not wanted must go.
_FIELDS = (
    "observedGeneration",
    "acceptedGeneration",
    "acceptedSpec",
    "scope",
    "rule",
    "state",
    "tiers",
    "lastChange",
    "exceptFor",
    "governedBy",
    "preview",
)


@dataclass(frozen=True)
class Findings:
    """What was found out about an object, besides whether it is accepted.

    ``effective`` is None where the newest generation isn't in force. ``out_of_order`` says what is
    wrong with the tiers that hold together; ``except_for`` are the scopes that others take from it.
    """

    effective: Verdict | None
    state: str
    out_of_order: str = ""
    except_for: Sequence[str] = ()
    preview: Mapping[str, Any] | None = None


def desired_status(
    decision: Decision, found: Findings, catalogue: Catalogue, body: Body, now: datetime
) -> Status:
    """The whole status.

    :param body: the object as it is, with the status that it has.
    """
    previous = body.get("status") or {}
    status: Status = {"observedGeneration": decision.generation}
    if decision.in_force is not None:
        status |= {"state": found.state, **_in_force(decision.in_force, catalogue)}
        if last := _numbers_changed(previous, status, body) or previous.get("lastChange"):
            status["lastChange"] = last
    if found.except_for:
        status["exceptFor"] = _some(found.except_for)
    if decision.refusal is not None and decision.refusal.by:
        status["governedBy"] = decision.refusal.by
    if found.preview is not None:
        status["preview"] = dict(found.preview)
    status["conditions"] = [
        _condition(kind, verdict, decision.generation, previous, now)
        for kind, verdict in _verdicts(decision, found).items()
    ]
    return status


def _verdicts(decision: Decision, found: Findings) -> dict[str, Verdict]:
    effective = found.effective or Verdict("False", NOT_ACCEPTED, _not_accepted(decision))
    verdicts = {"Accepted": _accepted(decision), "Effective": effective}
    verdicts["Ready"] = _ready(verdicts)
    if decision.refusal is not None:
        text = f"waiting doesn't help; {decision.refusal.message}"
        verdicts[STALLED] = Verdict("True", decision.refusal.reason, text)
    if found.out_of_order:
        verdicts[OUT_OF_ORDER] = Verdict("True", "CriticalBeforeWarning", found.out_of_order)
    return verdicts


def _some(scopes: Sequence[str]) -> list[str]:
    more = len(scopes) - _MOST_SCOPES
    return [*scopes[:_MOST_SCOPES], *([f"and {more} more"] if more > 0 else [])]


def same_status(live: Mapping[str, Any], wanted: Status) -> bool:
    """Whether nothing of ours is to be written; other people's conditions are theirs."""
    conditions = {c.get("type"): c for c in live.get("conditions") or []}
    if any(kind in conditions and not condition_of(wanted, kind) for kind in _SOMETIMES):
        return False
    return all(live.get(name) == wanted.get(name) for name in _FIELDS) and all(
        conditions.get(condition["type"]) == condition for condition in wanted["conditions"]
    )


def transitions(previous: Mapping[str, Any], wanted: Status, body: Body) -> Iterator[Change]:
    """The Events that report what changes, of Accepted and Effective and of tiers out of order.

    Propagating is not reported, arriving is: with the old numbers, and who changed them.
    """
    for condition in wanted["conditions"]:
        kind, reason, status = condition["type"], condition["reason"], condition["status"]
        before = condition_of(previous, kind)
        moved = (before.get("status"), before.get("reason")) != (status, reason)
        if moved and kind in ("Accepted", "Effective", OUT_OF_ORDER) and reason not in _NO_NEWS:
            level = "Normal" if status == "True" and kind != OUT_OF_ORDER else "Warning"
            since = before.get("lastTransitionTime", "")
            key = f"{body['metadata'].get('generation')}/{kind}/{status}/{since}"
            arrived = before.get("reason") == PROPAGATING and "lastChange" in wanted
            told = f" ({wanted['lastChange']})" if arrived else ""
            yield Change(level, reason, condition["message"] + told, key)


def _numbers_changed(previous: Mapping[str, Any], wanted: Status, body: Body) -> str:
    """Old and new numbers, and who changed them; empty where they are the same, or the first."""
    old, new = previous.get("tiers") or {}, wanted["tiers"]
    if not old:
        return ""
    changes = [
        f"{tier} {_number(old.get(tier), new.get(tier))} -> {_number(new.get(tier), old.get(tier))}"
        for tier in sorted({*old, *new})
        if old.get(tier) != new.get(tier)
    ]
    who = edited_by(body)
    return ", ".join([*changes, f"changed by {who}"] if changes and who else changes)


def _number(tier: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """Of a tier that the object doesn't set, the chart's default."""
    if tier is None:
        default = (other or {}).get("default")
        return "silent" if default is None else f"default {default:g}"
    return "silenced" if tier.get("silenced") else f"{tier['threshold']:g}"


def edited_by(body: Body) -> str:
    """The field manager that changed the object last, such as kubectl or argocd-controller."""
    fields = body["metadata"].get("managedFields") or []
    edits = [e for e in fields if e.get("manager") != MANAGER and not e.get("subresource")]
    newest: Mapping[str, Any]
    newest = max(edits, key=lambda entry: entry.get("time") or "", default={})
    return str(newest.get("manager", ""))


def _in_force(threshold: AlertThreshold, catalogue: Catalogue) -> Status:
    entry = catalogue[threshold.spec.alert]
    tiers = {}
    for severity, tier in threshold.spec.tiers.items():
        fields = {
            "threshold": tier.threshold,
            "recover": tier.recover,
            "silenced": None if tier.enabled else True,
            "default": entry.default(severity),
        }
        tiers[str(severity)] = {name: value for name, value in fields.items() if value is not None}
    is_preview = threshold.spec.mode is Mode.PREVIEW
    # A Preview has no rule, so its accepted generation is noted here instead of on the rule.
    where = {"acceptedSpec": accepted_spec(threshold)} if is_preview else {}
    rule = {} if is_preview else {"rule": rule_name(threshold.name)}
    return {
        "acceptedGeneration": threshold.generation,
        "scope": threshold.scope,
        **rule,
        **where,
        "tiers": tiers,
    }


def _accepted(decision: Decision) -> Verdict:
    if decision.refusal is None:
        return Verdict("True", ACCEPTED, "valid, and no older object sets the same")
    return Verdict("False", decision.refusal.reason, decision.refusal.message)


def _not_accepted(decision: Decision) -> str:
    if decision.in_force is None:
        return "not accepted, so Prometheus never sees it"
    return f"not accepted; generation {decision.in_force.generation} stays in force"


def _ready(verdicts: Mapping[str, Verdict]) -> Verdict:
    """Whether the object does what it was asked to; else as the first that doesn't hold.

    False comes before Unknown. A Preview and an expired object are to put nothing in force.
    """
    effective = verdicts["Effective"]
    if verdicts["Accepted"].status == "True" and effective.reason in _NOTHING_TO_DO:
        return Verdict("True", effective.reason, f"as asked: {effective.message}")
    for status in ("False", "Unknown"):
        for kind, verdict in verdicts.items():
            if verdict.status == status:
                return Verdict(status, verdict.reason, f"not {kind}: {verdict.message}")
    return Verdict("True", "Ready", "accepted, and in force in Prometheus")


def _condition(
    kind: str, verdict: Verdict, generation: int, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    before = condition_of(previous, kind)
    # The schema's default for a new object has no generation, and a time long ago.
    ours = before.get("observedGeneration") is not None
    unmoved = ours and before.get("status") == verdict.status and before.get("lastTransitionTime")
    return {
        "type": kind,
        "status": verdict.status,
        "observedGeneration": generation,
        "lastTransitionTime": unmoved or rfc3339(now),
        "reason": verdict.reason,
        "message": verdict.message,
    }
