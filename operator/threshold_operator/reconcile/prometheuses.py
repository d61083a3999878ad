"""Which replicas of Prometheus there are: from its objects and pods, or as the settings name them.

A proof is a statement about every replica and shard that evaluates our rules. Behind a Service
each connection reaches one of them, so the pods themselves are asked. The objects belong to
prometheus-operator; they and their pods are read again every few seconds at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from threshold_operator.cluster.api import KubeError
from threshold_operator.evidence.prometheus import Address
from threshold_operator.evidence.selectors import Selection, looks_at_namespaces, selection
from threshold_operator.model.body import Body

log = logging.getLogger(__name__)


#: Objects and their pods change rarely; a restarted pod has another address.
READ_SECONDS = 5.0
#: prometheus-operator's label of the pods of a Prometheus object, all its shards and replicas.
POD_LABEL = "operator.prometheus.io/name"
CONTAINER = "prometheus"
#: What prometheus-operator names the port, and which one it is, where the object doesn't say.
PORT_NAME, PORT = "web", 9090


class Cluster(Protocol):
    """What is needed of the Kubernetes API."""

    async def list_prometheuses(self, namespace: str) -> Sequence[Body]:
        """The Prometheus objects of one namespace."""
        ...

    async def list_pods(self, namespace: str, selector: str) -> Sequence[Body]:
        """Pods by label selector."""
        ...

    async def get_namespace(self, name: str) -> Body | None:
        """One namespace."""
        ...


@dataclass(frozen=True)
class Found:
    """What there is to ask for one namespace's rules.

    ``missing`` names pods that should run and don't; ``caveat`` says why there may be more.
    """

    addresses: tuple[Address, ...]
    missing: tuple[str, ...] = ()
    selection: Selection | None = None
    caveat: str = ""


@dataclass(frozen=True)
class _Stack:
    """The Prometheus objects of a namespace by name, and the pods of all of them."""

    objects: Mapping[str, Body] = field(default_factory=dict)
    pods: tuple[Body, ...] = ()

    def pods_of(self, prometheus: Body) -> list[Body]:
        name = prometheus["metadata"]["name"]
        return [p for p in self.pods if (p["metadata"].get("labels") or {}).get(POD_LABEL) == name]


class Named:
    """Replicas that the settings name."""

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self._found = Found(addresses)

    async def find(self, namespace: str) -> Found:  # noqa: ARG002 - the same for each namespace
        """All of them."""
        return self._found


class Discovered:
    """The pods of the Prometheus object ``which`` (namespace/name) and of its neighbours.

    A neighbour counts if its selectors take our rules. ``fallback`` is asked where the pods can't
    be; ``labels`` are those of our rules.
    """

    def __init__(
        self,
        cluster: Cluster,
        which: str,
        fallback: Address,
        labels: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._fallback, self._labels = cluster, fallback, labels
        self._where, _, self._name = which.partition("/")
        self._clock = clock
        self._known = _Stack()
        self._read_at = float("-inf")

    async def find(self, namespace: str) -> Found:
        """What there is to ask about the rules of one namespace."""
        try:
            stack = await self._stack()
            own = stack.objects.get(self._name)
            if own is None:
                return self._only(f"there is no Prometheus {self._where}/{self._name}")
            labels = await self._labels_of(namespace, stack)
        except KubeError as error:
            log.warning("can't find the replicas of Prometheus: %s", error)
            return self._only(f"its pods can't be listed ({error})")
        chosen = selection(own, self._labels, namespace, labels)
        taking = [
            o for o in stack.objects.values() if o is own or self._takes(o, namespace, labels)
        ]
        return self._asked(taking, stack, chosen)

    async def _stack(self) -> _Stack:
        """The objects and pods as they were at most READ_SECONDS ago."""
        if self._clock() >= self._read_at + READ_SECONDS:
            objects = await self._cluster.list_prometheuses(self._where)
            pods = await self._cluster.list_pods(self._where, POD_LABEL)
            self._known = _Stack({o["metadata"]["name"]: o for o in objects}, tuple(pods))
            self._read_at = self._clock()
        return self._known

    def _only(self, why: str) -> Found:
        caveat = f"only the replica that {self._fallback.url} reached was asked: {why}"
        return Found((self._fallback,), caveat=caveat)

    def _takes(self, prometheus: Body, namespace: str, labels: Mapping[str, str] | None) -> bool:
        return not selection(prometheus, self._labels, namespace, labels).refusal

    async def _labels_of(self, namespace: str, stack: _Stack) -> Mapping[str, str] | None:
        if not any(map(looks_at_namespaces, stack.objects.values())):
            return None
        found = await self._cluster.get_namespace(namespace)
        return None if found is None else found["metadata"].get("labels") or {}

    def _asked(self, objects: list[Body], stack: _Stack, chosen: Selection) -> Found:
        addresses: list[Address] = []
        missing: list[str] = []
        for each in objects:
            if _spec(each).get("listenLocal"):
                only = self._only(f"{each['metadata']['name']} listens on its pod's loopback only")
                return replace(only, selection=chosen)
            addresses += self._addresses(each, stack.pods_of(each))
            missing += _missing(each, stack.pods_of(each))
        return Found(tuple(addresses), tuple(missing), chosen)

    def _addresses(self, prometheus: Body, pods: list[Body]) -> Iterator[Address]:
        scheme = "https" if (_spec(prometheus).get("web") or {}).get("tlsConfig") else "http"
        name = (urlsplit(self._fallback.url).hostname or "") if scheme == "https" else ""
        for pod in pods:
            if address := (pod.get("status") or {}).get("podIP"):
                host = f"[{address}]" if ":" in address else address
                url = f"{scheme}://{host}:{_port(prometheus, pod)}{_prefix(prometheus)}"
                yield Address(pod["metadata"]["name"], url, server_name=name)


def _spec(prometheus: Body) -> Body:
    return prometheus.get("spec") or {}


def _port(prometheus: Body, pod: Body) -> int:
    wanted = _spec(prometheus).get("portName") or PORT_NAME
    for container in pod["spec"].get("containers") or []:
        if container.get("name") == CONTAINER:
            for port in container.get("ports") or []:
                if port.get("name") == wanted:
                    return int(port["containerPort"])
    return PORT


def _prefix(prometheus: Body) -> str:
    spec = _spec(prometheus)
    prefix = spec.get("routePrefix") or urlsplit(spec.get("externalUrl") or "").path
    return str(prefix).rstrip("/")


def _missing(prometheus: Body, pods: list[Body]) -> Iterator[str]:
    """A pod without an address, and each one that the object wants and that isn't there."""
    for pod in pods:
        if not (pod.get("status") or {}).get("podIP"):
            yield pod["metadata"]["name"]
    spec = _spec(prometheus)
    replicas, shards = spec.get("replicas"), spec.get("shards")
    wanted = (1 if replicas is None else replicas) * (1 if shards is None else shards)
    for number in range(len(pods), wanted):
        yield f"replica {number + 1} of {wanted} of {prometheus['metadata']['name']}"
