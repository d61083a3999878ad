"""A fixed sequence of edits in a namespace of its own, and what has come of it.

Without kubectl: dozens of namespaces play at once.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from tests.integration.operator.apiserver import ApiServer
from tests.integration.operator.conftest import ALERT, threshold
from tests.waiting import eventually

#: The wait after a failed write is 2 s, then 4 s; the machine may be busy with dozens of others.
HEALED = 60

PNL = "StocksPnlMoveUnusual"
KINDS = {
    "objects": "apis/stocks-fastapi.io/v1alpha1/{}alertthresholds",
    "rules": "apis/monitoring.coreos.com/v1/{}prometheusrules",
    "events": "api/v1/{}events",
    "namespaces": "api/v1/namespaces",
    "leases": "apis/coordination.k8s.io/v1/{}leases",
}

#: Far beyond what the catalogue allows.
TOO_HIGH = 7.0

ACCEPTED, CONFLICT, REFUSED, EXPIRED = "Accepted", "Conflict", "OutOfBounds", "Expired"

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")

EPOCH = re.compile(r"(vector\(time\(\)\) < )\d+")


def number(critical: float, expires_in: float | None = None, **more: Any) -> dict[str, Any]:
    """The spec of an object; ``expires_in`` in seconds, of which up to one is cut off."""
    spec = {"alert": ALERT, "critical": {"threshold": critical}, **more}
    if expires_in is not None:
        end = datetime.now(UTC) + timedelta(seconds=expires_in)
        spec["expiresAt"] = f"{end:%Y-%m-%dT%H:%M:%SZ}"
    return spec


TSLA: dict[str, Any] = {"alert": PNL, "match": {"symbol": "TSLA"}}


@dataclass(frozen=True)
class Step:
    """``name`` becomes ``spec``, or is deleted; at its end ``subject`` gives this ``reason``."""

    name: str
    spec: Callable[[], dict[str, Any]] | None
    reason: str
    subject: str = ""

    @property
    def about(self) -> str:
        """The object that the operator's writes are about."""
        return self.subject or self.name


#: "base" and "later" set the same, so only the older one may. "tsla" is of another alert: an object
#: that it takes a part of would be told so at the next look at Prometheus, not by a fixed write.
SCENARIO = (
    Step("base", lambda: number(0.15), ACCEPTED),
    Step("base", lambda: number(0.16), ACCEPTED),
    Step("tsla", lambda: number(0.03, **TSLA), ACCEPTED),
    Step("later", lambda: number(0.17), CONFLICT),
    Step("base", None, ACCEPTED, subject="later"),
    Step("tsla", lambda: number(TOO_HIGH, **TSLA), REFUSED),
    Step("later", lambda: number(0.18, expires_in=4), EXPIRED),
)


@dataclass
class Stage:
    """A namespace in which the scenario is played; ``words`` are all specs of each live object."""

    server: ApiServer
    namespace: str
    words: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    about: str = ""
    over: bool = False
    _turn: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def new(cls, server: ApiServer, namespace: str) -> Self:
        """In a namespace that doesn't exist yet."""
        stage = cls(server, namespace)
        stage.call("POST", "namespaces", json={"metadata": {"name": namespace}})
        return stage

    def path(self, kind: str) -> str:
        """Of all objects of a kind."""
        return KINDS[kind].format(f"namespaces/{self.namespace}/")

    def call(self, method: str, kind: str, name: str = "", **more: Any) -> Any:
        """A request of the administrator's."""
        url = f"{self.server.url}/{self.path(kind)}{'/' if name else ''}{name}"
        headers = {"Authorization": "Bearer admin", **more.pop("headers", {})}
        ask = lambda: self.server.client.request(method, url, headers=headers, **more)  # noqa: E731
        # A kind that was installed a moment ago isn't quite there.
        answer = eventually(ask, lambda a: a.status_code != 429, within=HEALED, every=0.2)
        assert answer.status_code < 300 or (method, answer.status_code) == ("DELETE", 404), answer
        return answer.json()

    def items(self, kind: str) -> list[Any]:
        found: list[Any] = self.call("GET", kind)["items"]
        return found

    def perform(self, step: Step) -> None:
        """Say what the step says, unless the last word of this namespace has been said."""
        with self._turn:
            if not self.over:
                self.about = step.about
                self._say(step.name, step.spec() if step.spec else None)

    def interrupt(self, spec: dict[str, Any] | None) -> None:
        """The last word: about the object that the operator is busy with."""
        with self._turn:
            self.over = True
            kept = self.words[self.about][-1]
            scope = {key: value for key, value in kept.items() if key in ("alert", "match")}
            self._say(self.about, None if spec is None else {**spec, **scope})

    def _say(self, name: str, spec: dict[str, Any] | None) -> None:
        if spec is None:
            self.words.pop(name)
            self.call("DELETE", "objects", name)
            return
        self.words.setdefault(name, []).append(spec)
        self.call(
            "PATCH",
            "objects",
            name,
            params={"fieldManager": "kubectl", "force": "true"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(threshold(name, **spec)),
        )

    def settled(self, step: Step) -> bool:
        """Whether the operator has reported what the step comes to."""
        if self.over:
            return True
        said = self.reasons().get(step.about, [])
        return step.reason in said and (step.spec is not None or not self.orphans())

    def reasons(self) -> dict[str, list[str]]:
        """By object, what its conditions give, if they speak of its newest generation."""
        return {body["metadata"]["name"]: list(_reasons(body)) for body in self.items("objects")}

    def orphans(self) -> list[str]:
        """Rules whose owner doesn't live."""
        alive = {body["metadata"]["uid"] for body in self.items("objects")}
        return [r["metadata"]["name"] for r in self.items("rules") if not alive & set(_owners(r))]

    def evaluated(self) -> dict[str, list[str]]:
        """By object, what its rule evaluates."""
        return {
            rule["metadata"]["name"].removeprefix("threshold-"): [
                each["expr"] for group in rule["spec"]["groups"] for each in group["rules"]
            ]
            for rule in self.items("rules")
        }

    def asked(self) -> dict[str, tuple[str, list[str]]]:
        """By object, what follows from the words alone: the reason it gives, and what is in force.

        Oldest first: an accepted one rules out a later one of the same scope.
        """
        taken: list[str] = []
        found = {}
        for name, specs in self.words.items():
            good = [spec for spec in specs if spec["critical"]["threshold"] < TOO_HIGH]
            reason = REFUSED if specs[-1] is not good[-1] else ACCEPTED
            if "expiresAt" in good[-1]:
                reason = EXPIRED
            elif _place(good[-1]) in taken:
                reason = CONFLICT
            else:
                taken.append(_place(good[-1]))
            found[name] = reason, [] if reason == CONFLICT else [_expr(good[-1])]
        return found

    def as_asked(self) -> str:
        """Empty once everything is as the words ask; else what isn't."""
        reasons, evaluated = self.reasons(), self.evaluated()
        wrong = [
            f"{name}: {reasons.get(name)} {evaluated.get(name)}, not {reason} {exprs}"
            for name, (reason, exprs) in self.asked().items()
            if reason not in reasons.get(name, []) or evaluated.get(name, []) != exprs
        ]
        return "; ".join([*wrong, *(f"orphan {name}" for name in self.orphans())])

    def events(self) -> list[tuple[str, ...]]:
        """Each Event: of which object, why, what it says, and how often."""
        return sorted(_told(event) for event in self.items("events"))

    def doubled(self) -> list[str]:
        """Messages of Events that say the same of the same object, or that were counted up."""
        told = Counter((e["involvedObject"]["uid"], e["message"]) for e in self.items("events"))
        counted_up = [e["message"] for e in self.items("events") if e["count"] != 1]
        return [*counted_up, *(message for (_, message), times in told.items() if times > 1)]

    def unsaid(self) -> list[str]:
        """Objects that give a reason which no Event reports."""
        told = {(name, reason) for _, name, reason, *_ in self.events()}
        asked = {name: reason for name, (reason, _) in self.asked().items()}
        return [n for n, reason in asked.items() if reason != ACCEPTED and (n, reason) not in told]

    def outcome(self) -> Any:
        """Everything that is left, but for times, versions and the namespace's name."""
        objects = self.items("objects")
        names = {body["metadata"]["uid"]: body["metadata"]["name"] for body in objects}
        found = {
            "objects": {names[body["metadata"]["uid"]]: _outcome(body) for body in objects},
            "rules": {r["metadata"]["name"]: _rule(r, names) for r in self.items("rules")},
            "events": self.events(),
        }
        text = json.dumps(found, sort_keys=True).replace(self.namespace, "NAMESPACE")
        return json.loads(EPOCH.sub(r"\1TIME", TIME.sub("TIME", text)))


def _place(spec: dict[str, Any]) -> str:
    return f"{spec['alert']}{spec.get('match')}"


def _expr(spec: dict[str, Any]) -> str:
    """What a rule says of the number; that of an expired one is there, and without effect."""
    text = f"vector({spec['critical']['threshold']:g})"
    if end := spec.get("expiresAt"):
        text += f" and on () (vector(time()) < {datetime.fromisoformat(end).timestamp():.0f})"
    return text


def _outcome(body: Any) -> Any:
    return {"spec": body["spec"], "status": body["status"]}


def _rule(rule: Any, names: dict[str, str]) -> Any:
    meta = rule["metadata"]
    owners = [names.get(uid, "of the dead") for uid in _owners(rule)]
    kept = {key: meta.get(key) for key in ("labels", "annotations")}
    return {**kept, "owners": owners, "spec": rule["spec"]}


def _owners(rule: Any) -> list[str]:
    return [owner["uid"] for owner in rule["metadata"]["ownerReferences"]]


def _reasons(body: Any) -> Iterator[str]:
    for condition in body.get("status", {}).get("conditions", []):
        if condition.get("observedGeneration") == body["metadata"]["generation"]:
            yield condition["reason"]


def _told(event: Any) -> tuple[str, ...]:
    about = event["involvedObject"]
    message = TIME.sub("TIME", event["message"])
    return about["kind"], about["name"], event["reason"], message, str(event["count"])


def play(stages: Sequence[Stage], steps: Sequence[Step] = SCENARIO) -> None:
    """Step after step, each once the one before has settled in all namespaces."""
    for step in steps:
        for stage in stages:
            stage.perform(step)
        for stage in stages:
            _await(stage, step)


def _await(stage: Stage, step: Step) -> None:
    def left() -> str:
        if stage.settled(step):
            return ""
        return f"{stage.namespace}, {step}: {stage.reasons()}, {stage.orphans()}"

    eventually(left, lambda text: not text, within=HEALED, every=0.1)
