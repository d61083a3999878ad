"""What the last look at Prometheus proves of each object, and what earlier looks proved."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from threshold_operator.cluster.objects import applied_at, rejection, rule_name
from threshold_operator.cluster.status import Findings
from threshold_operator.evidence.effect import alert_state, judge
from threshold_operator.model.body import Body
from threshold_operator.model.condition import (
    PASSING,
    PROPAGATING,
    UNKNOWN,
    Verdict,
    condition_of,
)
from threshold_operator.model.governors import Governors
from threshold_operator.model.precedence import Decision
from threshold_operator.model.threshold import AlertThreshold
from threshold_operator.model.times import parse_time
from threshold_operator.reconcile.context import Context
from threshold_operator.reconcile.probe import CALM_SECONDS, Probe

#: How long a proof outlives its last repetition: a restart of Prometheus is no news.
PROOF_SECONDS = 60.0
#: A rule that takes longer is held up by something that no hurry cures.
HURRY_WITHIN = timedelta(minutes=5)


class Judge:
    """Knows which objects are proven, which are on their way, and when to look again."""

    def __init__(self, context: Context, probe: Probe) -> None:
        self._context, self._probe = context, probe
        self._now, self._clock = context.clocks.now, context.clocks.seconds
        self._governors = Governors()
        self._judged_at = float("-inf")
        self._started = self._clock()
        #: By name: the object and generation last proven, and when.
        self._proven: dict[str, tuple[str, int, float]] = {}
        self._waiting: set[str] = set()
        #: Replicas of Prometheus that have yet to load a rule which was written lately.
        self._lagging: set[str] = set()

    def note(self, name: str, decision: Decision | None) -> None:
        """The object of this name was decided again, expired, or went."""
        self._governors.note(name, decision, self._now())

    def forget(self, name: str) -> None:
        """The object of this name is gone."""
        self._waiting.discard(name)
        self._proven.pop(name, None)

    def due(self) -> float:
        """When to look again."""
        return self._probe.due(eager=bool(self._waiting))

    async def look(self, names: Iterable[str]) -> set[str]:
        """Look at Prometheus if it is time; returns which of ``names`` to judge again.

        Those on their way at every look; all of them, however many, only now and then.
        """
        if self._clock() < self.due():
            return set()
        await self._probe.look(self._clock())
        if self._clock() < self._judged_at + CALM_SECONDS:
            return set(self._waiting)
        self._judged_at = self._clock()
        return set(names)

    async def hurry(self) -> None:
        """Bring the rules to the replicas that lag."""
        lagging, self._lagging = self._lagging, set()
        await self._probe.hurry(lagging)

    def findings(self, decision: Decision, before: Body, obstacle: Verdict | None) -> Findings:
        """What is known of an object; ``obstacle`` keeps its rule from being written."""
        threshold = decision.in_force
        effective = obstacle
        if threshold is None or not decision.accepted:
            effective = None
            self._waiting.discard(decision.name)
        elif obstacle is None:
            effective = self._verdict(decision, threshold, before)
        state = self._state(decision, before)
        if threshold is None or threshold.expired(self._now()):
            return Findings(effective, state)
        entry = self._context.catalogue[threshold.spec.alert]
        return Findings(
            effective,
            state,
            self._governors.out_of_order(threshold, entry),
            self._governors.scopes_within(threshold),
        )

    def _state(self, decision: Decision, before: Body) -> str:
        """The alert's; where nothing was heard for a moment only, what was known before."""
        threshold = decision.in_force
        if threshold is None:
            return UNKNOWN
        entry = self._context.catalogue[threshold.spec.alert]
        state = alert_state(threshold, entry, self._probe.seen, self._governors)
        if state == UNKNOWN and self._probe.lost_for(self._clock()) < PROOF_SECONDS:
            return str(before.get("state", UNKNOWN))
        return state

    def _verdict(self, decision: Decision, threshold: AlertThreshold, before: Body) -> Verdict:
        """Whether the accepted ``threshold`` is in force; ``before`` is the status as it is."""
        verdict = self._judge(threshold)
        self._waiting.discard(decision.name)
        if verdict.reason == PROPAGATING:
            self._waiting.add(decision.name)
            if self._now() - self._applied(decision.name) < HURRY_WITHIN:
                self._lagging.update(verdict.lagging)
        if verdict.status == "True":
            self._note_proof(decision, before)
        elif verdict.reason in PASSING and self._proof_holds(decision, before):
            old = condition_of(before, "Effective")
            return Verdict("True", old["reason"], old["message"])
        return verdict

    def _judge(self, threshold: AlertThreshold) -> Verdict:
        live = self._context.store.rules.get(rule_name(threshold.name))
        return judge(
            threshold,
            self._context.catalogue[threshold.spec.alert],
            self._probe.seen,
            self._governors,
            applied=self._applied(threshold.name),
            rejected=rejection(live) if live is not None else "",
            now=self._now(),
        )

    def _note_proof(self, decision: Decision, before: Body) -> None:
        if not _was_proven(decision, before):
            elapsed = self._now() - self._applied(decision.name)
            self._context.metrics.propagation.observe(max(elapsed.total_seconds(), 0.0))
        self._proven[decision.name] = decision.uid, decision.generation, self._clock()

    def _proof_holds(self, decision: Decision, before: Body) -> bool:
        """After a restart the status vouches for itself, until Prometheus was asked a few times."""
        unknown = decision.uid, decision.generation, self._started
        uid, generation, proven_at = self._proven.get(decision.name, unknown)
        same = (uid, generation) == (decision.uid, decision.generation)
        recent = self._clock() - proven_at < PROOF_SECONDS
        return same and recent and _was_proven(decision, before)

    def _applied(self, name: str) -> datetime:
        live = self._context.store.rules.get(rule_name(name))
        written = applied_at(live) if live is not None else None
        return parse_time(written) if written else self._now()


def _was_proven(decision: Decision, before: Body) -> bool:
    old = condition_of(before, "Effective")
    return old.get("status") == "True" and old.get("observedGeneration") == decision.generation
