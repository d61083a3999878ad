"""Requests as the API server gets them, and its answers as our errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from threshold_operator.cluster.api import GoneError, Kube, KubeError

RULES = "/apis/monitoring.coreos.com/v1/namespaces/desk/prometheusrules"
THRESHOLDS = "/apis/stocks-fastapi.io/v1alpha1/namespaces/desk/alertthresholds"


@dataclass
class Api:
    """Notes what it is asked, and answers what it is told."""

    status: int = 200
    answer: Any = field(default_factory=dict)
    answers: list[Any] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    async def serve(self, request: web.Request) -> web.Response:
        content = await request.text()
        sent = json.loads(content) if content else None
        self.asked.append((request.method, request.path, dict(request.query), sent))
        self.headers = dict(request.headers)
        if self.answers:
            self.answer = self.answers.pop(0)
        text = self.answer if isinstance(self.answer, str) else json.dumps(self.answer)
        return web.Response(status=self.status, text=text, content_type="application/json")


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def kube(api: Api) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.serve)
    async with TestServer(app) as server:
        address = f"http://{server.host}:{server.port}"
        settings = Configuration(host=address, api_key={"BearerToken": "Bearer secret"})
        async with aiohttp.ClientSession() as session:
            yield Kube(session, settings, "desk")


async def listed(pages: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in pages]


async def test_a_rule_is_applied_by_us_and_with_force(kube: Kube, api: Api) -> None:
    manifest = {"metadata": {"name": "threshold-a"}, "spec": {"groups": []}}
    await kube.apply_rule(manifest)
    query = {"fieldManager": "threshold-operator", "force": "true"}
    assert api.asked == [("PATCH", f"{RULES}/threshold-a", query, manifest)]
    assert api.headers["Content-Type"] == "application/apply-patch+yaml"
    assert api.headers["Authorization"] == "Bearer secret"


async def test_a_status_goes_to_this_very_object(kube: Kube, api: Api) -> None:
    body = {"metadata": {"name": "a", "uid": "u", "labels": {"x": "y"}}, "spec": {}}
    await kube.apply_status(body, {"state": "firing"})
    ((method, path, _, sent),) = api.asked
    assert (method, path) == ("PATCH", f"{THRESHOLDS}/a/status")
    assert sent["metadata"] == {"name": "a", "uid": "u"}
    assert sent["status"] == {"state": "firing"}
    assert "spec" not in sent


async def test_each_rule_that_is_listed_says_what_it_is(kube: Kube, api: Api) -> None:
    api.answer = {"items": [{"metadata": {"name": "threshold-a"}}]}
    (rule,) = await listed(kube.list_rules())
    assert (rule["apiVersion"], rule["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")


async def test_an_empty_list_may_be_null(kube: Kube, api: Api) -> None:
    api.answer = {"items": None}
    assert await listed(kube.list_thresholds()) == []


async def test_a_long_list_comes_page_after_page(kube: Kube, api: Api) -> None:
    api.answers = [
        {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "page two"}},
        {"items": [{"metadata": {"name": "b"}}], "metadata": {}},
    ]
    names = [each["metadata"]["name"] for each in await listed(kube.list_thresholds())]
    assert names == ["a", "b"]
    queries = [query for _, _, query, _ in api.asked]
    assert queries == [{"limit": "500"}, {"limit": "500", "continue": "page two"}]


async def test_what_isn_t_there_is_none(kube: Kube, api: Api) -> None:
    api.status = 404
    assert await kube.get_rule("threshold-a") is None
    with pytest.raises(GoneError):
        await listed(kube.list_thresholds())


async def test_what_selects_rules_lives_in_a_namespace_of_its_own(kube: Kube, api: Api) -> None:
    await kube.list_prometheuses("monitoring")
    path = "/apis/monitoring.coreos.com/v1/namespaces/monitoring/prometheuses"
    assert api.asked[-1][:2] == ("GET", path)
    await kube.get_namespace("desk")
    assert api.asked[-1][:2] == ("GET", "/api/v1/namespaces/desk")


ANSWERS: dict[str, tuple[int, Any, str]] = {
    "a conflict": (409, {"message": "uid changed"}, "HTTP 409, uid changed"),
    "too many requests": (429, {"message": "slow down"}, "HTTP 429, slow down"),
    "an error without a body": (500, "", "HTTP 500, "),
    "a page of a proxy": (502, "<html>", "HTTP 502, <html>"),
    "no JSON": (200, "<html>", "an answer that isn't JSON: b'<html>'"),
    "no object": (200, "[]", "an answer that is no object"),
}


@pytest.mark.parametrize(("status", "answer", "message"), ANSWERS.values(), ids=ANSWERS)
async def test_an_error_says_what_was_asked_and_answered(
    kube: Kube, api: Api, status: int, answer: Any, message: str
) -> None:
    api.status, api.answer = status, answer
    with pytest.raises(KubeError) as failed:
        await listed(kube.list_thresholds())
    assert message in str(failed.value)


async def test_nobody_there_is_an_error_of_ours() -> None:
    async with aiohttp.ClientSession() as session:
        kube = Kube(session, Configuration(host="http://127.0.0.1:1"), "desk")
        with pytest.raises(KubeError, match="Cannot connect"):
            await listed(kube.list_thresholds())


async def test_in_all_namespaces_lists_are_of_all_and_writes_of_one(kube: Kube, api: Api) -> None:
    everywhere = kube.within("")
    await listed(everywhere.list_thresholds())
    assert api.asked[-1][1] == "/apis/stocks-fastapi.io/v1alpha1/alertthresholds"
    await everywhere.within("other").apply_rule({"metadata": {"name": "threshold-a"}})
    assert api.asked[-1][1] == f"{RULES}/threshold-a".replace("desk", "other")


async def test_who_may_not_write_sends_nothing(kube: Kube, api: Api) -> None:
    def never() -> None:
        raise KubeError("somebody else leads")

    follower = kube.within("desk", never)
    for write in (
        follower.apply_rule({"metadata": {"name": "a"}}),
        follower.apply_status({"metadata": {"name": "a", "uid": "u"}}, {}),
        follower.create_event({}),
    ):
        with pytest.raises(KubeError, match="somebody else leads"):
            await write
    assert api.asked == []
