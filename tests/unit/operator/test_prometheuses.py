"""Every replica is found and asked: by its pods if they may be listed, else by the settings."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from tests.unit.operator.fakes import Clock
from tests.unit.operator.objects import NAMESPACE

from threshold_operator.cluster.api import KubeError
from threshold_operator.evidence.access import Access
from threshold_operator.evidence.observation import Blind
from threshold_operator.evidence.prometheus import Address
from threshold_operator.evidence.selectors import Selection
from threshold_operator.reconcile.probe import EveryReplica
from threshold_operator.reconcile.prometheuses import Discovered, Found, Named

Body = dict[str, Any]
FALLBACK = Address("Prometheus", "http://main.monitoring:9090")
OWN = {"ruleSelector": {"matchLabels": {"release": "stack"}}, "ruleNamespaceSelector": {}}


def pod(name: str, ip: str | None, of: str = "main", port: tuple[str, int] = ("web", 9090)) -> Body:
    ports = [{"name": port[0], "containerPort": port[1]}]
    container = {"name": "prometheus", "ports": ports}
    return {
        "metadata": {"name": name, "labels": {"operator.prometheus.io/name": of}},
        "spec": {"containers": [{"name": "reloader", "ports": [{"name": "x"}]}, container]},
        "status": {"podIP": ip} if ip else {},
    }


class Stack:
    """Prometheus objects and pods; each request is noted, and refused where ``may`` is False."""

    def __init__(self) -> None:
        self.specs: dict[str, Body] = {"main": {**OWN, "replicas": 2}}
        self.pods = [pod("main-0", "10.0.0.1"), pod("main-1", "10.0.0.2")]
        self.labels: dict[str, str] | None = {}
        self.may = True
        self.asked: list[str] = []

    async def list_prometheuses(self, namespace: str) -> list[Body]:
        self._note(f"prometheuses of {namespace}")
        return [
            {"metadata": {"namespace": namespace, "name": name}, "spec": spec}
            for name, spec in self.specs.items()
        ]

    async def list_pods(self, namespace: str, selector: str) -> list[Body]:
        self._note(f"pods of {namespace} {selector}")
        return self.pods

    async def get_namespace(self, name: str) -> Body | None:
        self._note(name)
        return None if self.labels is None else {"metadata": {"name": name, "labels": self.labels}}

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if not self.may:
            raise KubeError("forbidden", 403)


class World:
    def __init__(self) -> None:
        self.stack, self.clock = Stack(), Clock()
        labels = {"release": "stack"}
        self.discovered = Discovered(
            self.stack, "monitoring/main", FALLBACK, labels, clock=self.clock
        )

    async def find(self) -> Found:
        self.clock.seconds += 5
        return await self.discovered.find(NAMESPACE)

    async def urls(self) -> dict[str, str]:
        return {address.name: address.url for address in (await self.find()).addresses}


@pytest.fixture
def world() -> World:
    return World()


async def test_each_pod_of_the_object_is_asked(world: World) -> None:
    found = await world.find()
    assert {a.name: a.url for a in found.addresses} == {
        "main-0": "http://10.0.0.1:9090",
        "main-1": "http://10.0.0.2:9090",
    }
    assert (found.missing, found.caveat) == ((), "")
    assert found.selection == Selection("monitoring/main")


async def test_shards_count_as_replicas_do(world: World) -> None:
    world.stack.specs["main"] |= {"shards": 2}
    world.stack.pods += [pod("main-shard-1-0", "10.0.0.3"), pod("main-shard-1-1", "10.0.0.4")]
    found = await world.find()
    assert (len(found.addresses), found.missing) == (4, ())


async def test_a_pod_that_should_run_is_missing(world: World) -> None:
    world.stack.pods = [pod("main-0", "10.0.0.1")]
    assert (await world.find()).missing == ("replica 2 of 2 of main",)
    world.stack.pods.append(pod("main-1", None))
    assert (await world.find()).missing == ("main-1",)


async def test_a_neighbour_that_takes_our_rules_is_asked_too(world: World) -> None:
    world.stack.specs["other"] = {"ruleSelector": {}, "ruleNamespaceSelector": {}}
    world.stack.specs["stranger"] = {"ruleSelector": {"matchLabels": {"team": "x"}}}
    world.stack.pods += [pod("other-0", "10.0.0.9", "other"), pod("stranger-0", "10.0.0.8", "s")]
    assert list(await world.urls()) == ["main-0", "main-1", "other-0"]


ADDRESSES: dict[str, tuple[Body, Body, str]] = {
    "a port by another name": (
        {"portName": "http-web"},
        pod("main-0", "10.0.0.1", port=("http-web", 9095)),
        "http://10.0.0.1:9095",
    ),
    "a path prefix": (
        {"routePrefix": "/prometheus/"},
        pod("main-0", "10.0.0.1"),
        "http://10.0.0.1:9090/prometheus",
    ),
    "a prefix by the external URL": (
        {"externalUrl": "https://example.org/prom"},
        pod("main-0", "10.0.0.1"),
        "http://10.0.0.1:9090/prom",
    ),
    "an external URL whose prefix a proxy strips": (
        {"externalUrl": "https://example.org/prom", "routePrefix": "/"},
        pod("main-0", "10.0.0.1"),
        "http://10.0.0.1:9090",
    ),
    "TLS": ({"web": {"tlsConfig": {}}}, pod("main-0", "10.0.0.1"), "http://10.0.0.1:9090"),
    "TLS with a certificate": (
        {"web": {"tlsConfig": {"cert": {"secret": {}}}}},
        pod("main-0", "10.0.0.1"),
        "https://10.0.0.1:9090",
    ),
    "an IPv6 address": ({}, pod("main-0", "fd00::1"), "http://[fd00::1]:9090"),
    "a container without ports": (
        {},
        {**pod("main-0", "10.0.0.1"), "spec": {"containers": [{"name": "prometheus"}]}},
        "http://10.0.0.1:9090",
    ),
}


@pytest.mark.parametrize(("spec", "running", "url"), ADDRESSES.values(), ids=ADDRESSES)
async def test_a_pod_answers_where_its_object_says(
    world: World, spec: Body, running: Body, url: str
) -> None:
    world.stack.specs["main"] = {**OWN, **spec}
    world.stack.pods = [running]
    assert await world.urls() == {"main-0": url}


async def test_the_certificate_of_a_pod_has_the_name_of_the_service(world: World) -> None:
    world.stack.specs["main"] |= {"web": {"tlsConfig": {"cert": {"secret": {}}}}}
    (first, _) = (await world.find()).addresses
    assert first.server_name == "main.monitoring"


async def test_what_the_selectors_refuse_is_known(world: World) -> None:
    world.stack.specs["main"] |= {"ruleSelector": {"matchLabels": {"release": "other"}}}
    found = await world.find()
    assert found.selection is not None
    assert found.selection.refusal.startswith("its ruleSelector wants release=other")


async def test_the_namespace_is_read_where_its_labels_decide(world: World) -> None:
    await world.find()
    assert NAMESPACE not in world.stack.asked
    world.stack.specs["main"] |= {"ruleNamespaceSelector": {"matchLabels": {"team": "desk"}}}
    found = await world.find()
    assert found.selection is not None
    assert "wants team=desk" in found.selection.refusal


async def test_objects_and_pods_are_read_once_for_all_namespaces_and_not_at_each_look(
    world: World,
) -> None:
    await world.find()
    await world.discovered.find("another")
    world.clock.seconds += 4
    await world.discovered.find(NAMESPACE)
    assert len(world.stack.asked) == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(lambda s: setattr(s, "may", False), "can't be listed", id="no right"),
        pytest.param(
            lambda s: s.specs.clear(), "there is no Prometheus monitoring/main", id="none"
        ),
        pytest.param(
            lambda s: s.specs["main"].update(listenLocal=True), "loopback only", id="listenLocal"
        ),
    ],
)
async def test_where_the_pods_can_t_be_asked_the_service_is_and_the_proof_says_so(
    world: World, change: Any, why: str
) -> None:
    change(world.stack)
    found = await world.find()
    assert found.addresses == (FALLBACK,)
    assert "only the replica that http://main.monitoring:9090 reached was asked" in found.caveat
    assert why in found.caveat


async def test_one_look_asks_all_and_says_of_each_what_went_wrong() -> None:
    addresses = (Address("a", "http://127.0.0.1:1"), Address("b", "http://127.0.0.1:1"))
    async with aiohttp.ClientSession() as session:
        look = await EveryReplica(Named(addresses), Access(session), NAMESPACE, ["A"]).look()
    assert list(look.replicas) == ["a", "b"]
    for seen in look.replicas.values():
        assert isinstance(seen, Blind)
        assert seen.reason == "PrometheusUnreachable"
        assert "Cannot connect" in seen.message
    assert not look.answered
