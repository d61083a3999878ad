"""Operators that die at a request, and namespaces in which something happens before one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from tests.integration.operator.apiserver import ApiServer
from tests.integration.operator.conftest import Desk, Operator, operators
from tests.integration.operator.proxy import Proxy, Request, running_proxy
from tests.integration.operator.scenario import HEALED, Stage, play
from tests.waiting import eventually

#: Garbage collection, which would take the rules of what is deleted, doesn't run here.
BRIEF = {"THRESHOLDS_ORPHAN_SECONDS": "1"}


def writes(request: Request) -> bool:
    """Whether it is a write, and not a renewal of the Lease, which comes whatever happens."""
    return request.method in ("POST", "PATCH", "DELETE")


@dataclass
class Mortal:
    """Operators of one namespace: each dies of a request that is ``fatal``, and is replaced.

    Killed after the API server has carried the request out, and before the answer arrives.
    """

    stage: Stage
    proxy: Proxy
    begin: Callable[..., Operator]
    fatal: Callable[[Request], bool]
    lives: list[Operator] = field(default_factory=list)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self.lives.append(self.begin(through=self.proxy.url, ready=False, **BRIEF))

    def done(self, request: Request) -> None:
        with self._turn:
            if self.fatal(request):
                self.replace()

    def replace(self) -> None:
        self.lives[-1].process.kill()
        self.lives[-1].process.wait()
        self.stage.call("DELETE", "leases", "threshold-operator")  # else it has to run out first
        self.start()

    def remember_lists(self) -> None:
        """As they are now, for the proxy to give out later."""
        self.proxy.lists.clear()
        for kind in ("objects", "rules"):
            url = f"{self.proxy.url}/{self.stage.path(kind)}"
            httpx.get(url, headers={"Authorization": "Bearer admin"}).raise_for_status()

    def spare(self) -> Operator:
        """Kill no more; returns the operator that lives, once it has looked at each object."""
        with self._turn:
            self.fatal = lambda _: False
        last = self.lives[-1]
        last.wait_ready()
        objects = len(self.stage.items("objects"))
        looked = lambda: last.metric("thresholds_reconciles_total")  # noqa: E731
        eventually(looked, lambda n: n >= objects, within=HEALED, every=0.2)
        return last


def as_admin(desk: Desk, through: str) -> Path:
    return desk.server.kubeconfig(desk.namespace, name="proxied", url=through)


@contextmanager
def mortal(
    server: ApiServer,
    folder: Path,
    namespace: str,
    fatal: Callable[[Request], bool],
    fault: Callable[[Request], int | None] = lambda _: None,
) -> Iterator[Mortal]:
    stage = Stage.new(server, namespace)
    with (
        running_proxy(server.url) as proxy,
        operators(Desk(server, namespace), folder, as_admin) as begin,
    ):
        found = Mortal(stage, proxy, begin, fatal)
        proxy.done, proxy.fault = found.done, fault
        found.start()
        yield found
        found.fatal = lambda _: False


Act = Callable[[Stage, Request], int | None]


@dataclass
class Crowd:
    """Namespaces of one operator; in each something happens before one of the writes there."""

    server: ApiServer
    stages: dict[str, Stage] = field(default_factory=dict)
    _acts: dict[tuple[str, int], Act] = field(default_factory=dict)
    _writes: Counter[str] = field(default_factory=Counter)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, moment: int, act: Act) -> None:
        self.stages[name] = Stage.new(self.server, name)
        self._acts[name, moment] = act

    def fault(self, request: Request) -> int | None:
        name = request.namespace
        if name not in self.stages or not writes(request):
            return None
        with self._turn:
            self._writes[name] += 1
            act = self._acts.pop((name, self._writes[name]), None)
        return act(self.stages[name], request) if act else None

    @contextmanager
    def played(self, folder: Path) -> Iterator[None]:
        """The scenario is over in all of them, and the operator lives on."""
        home = Stage.new(self.server, f"home-of-{next(iter(self.stages))}").namespace
        with (
            running_proxy(self.server.url) as proxy,
            operators(Desk(self.server, home), folder, as_admin) as begin,
        ):
            proxy.fault = self.fault
            begin(through=proxy.url, served="*", **BRIEF)
            play(list(self.stages.values()))
            assert not self._acts, "these moments never came"
            yield
