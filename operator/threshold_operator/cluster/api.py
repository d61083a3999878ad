"""The few requests that we make of the Kubernetes API, on plain mappings.

Written with the official client's configuration and credentials, but without its generated classes
(they know nothing of custom resources, and server-side apply wants exactly the fields that we mean)
and without its session, which looks into ~/.netrc, in a thread, at each request.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from threshold_operator.cluster.objects import MANAGER, RULE_API, RULE_KIND, Manifest
from threshold_operator.model.threshold import API_VERSION, KIND, PLURAL

#: What the API server says: an object, ours to change.
Answer = dict[str, Any]

TIMEOUT = aiohttp.ClientTimeout(total=15)
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
JSON = "application/json"
RULES = "prometheusrules"
#: Objects for which one answer has room.
PAGE = "500"
PROMETHEUSES = "prometheuses"
LEASE_API = "coordination.k8s.io/v1"
#: Status of an answer: somebody else was faster, or it exists already.
CONFLICT = 409


class KubeError(Exception):
    """The API server refused or didn't answer; the same request may work later."""

    def __init__(self, message: str, status: int = 0) -> None:
        self.status = status
        super().__init__(message)


class GoneError(KubeError):
    """404: what the request speaks of isn't there."""


def _always() -> None:
    """Whoever doesn't compete for the Lease may write whenever they like."""


class Kube:
    """AlertThresholds, PrometheusRules and Leases of one namespace, or lists of all (``""``).

    ``permit`` is asked before each write of theirs, and raises where we may not.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        settings: Configuration,
        namespace: str,
        permit: Callable[[], None] = _always,
    ) -> None:
        self._session, self._settings, self._permit = session, settings, permit
        within = f"/namespaces/{namespace}" if namespace else ""
        self._thresholds = f"/apis/{API_VERSION}{within}/{PLURAL}"
        self._rules = f"/apis/{RULE_API}{within}/{RULES}"
        self._events = f"/api/v1{within}/events"
        self._leases = f"/apis/{LEASE_API}{within}/leases"
        self._config_maps = f"/api/v1{within}/configmaps"

    @classmethod
    async def connect(cls, namespace: str) -> Self:
        """With the pod's service account, else with the current context of the kubeconfig."""
        settings = await configuration()
        tls = RESTClientObject(settings).ssl_context
        connector = aiohttp.TCPConnector(ssl=tls)
        return cls(aiohttp.ClientSession(connector=connector, timeout=TIMEOUT), settings, namespace)

    def within(self, namespace: str, permit: Callable[[], None] = _always) -> Self:
        """The same connections, for another namespace."""
        return type(self)(self._session, self._settings, namespace, permit)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    def list_thresholds(self) -> AsyncIterator[Answer]:
        """All AlertThresholds."""
        return self._list(self._thresholds, API_VERSION, KIND)

    def list_rules(self) -> AsyncIterator[Answer]:
        """All PrometheusRules, whoever made them."""
        return self._list(self._rules, RULE_API, RULE_KIND)

    async def get_rule(self, name: str) -> Answer | None:
        """One PrometheusRule, whoever made it."""
        return await self._get(f"{self._rules}/{name}")

    async def apply_rule(self, manifest: Manifest) -> Answer:
        """Create the rule, or make the fields that we own what we want them to be."""
        return await self._apply(f"{self._rules}/{manifest['metadata']['name']}", manifest)

    async def delete_rule(self, rule: Mapping[str, Any]) -> None:
        """Delete this very version of a rule; one that was changed or made since stays."""
        self._permit()
        meta = rule["metadata"]
        same = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": same}
        await self._call("DELETE", f"{self._rules}/{meta['name']}", body=options)

    async def apply_status(self, body: Mapping[str, Any], status: Mapping[str, Any]) -> Answer:
        """Write the status of this very object: one of the same name, made since, is left alone."""
        meta = body["metadata"]
        wanted = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": meta["name"], "uid": meta["uid"]},
            "status": status,
        }
        return await self._apply(f"{self._thresholds}/{meta['name']}/status", wanted)

    async def create_event(self, event: Mapping[str, Any]) -> None:
        """Tell people, in ``kubectl describe``."""
        self._permit()
        await self._call("POST", self._events, body=event)

    async def get_config_map(self, name: str) -> Answer | None:
        """The ConfigMap, if it exists."""
        return await self._get(f"{self._config_maps}/{name}")

    async def list_prometheuses(self, namespace: str) -> list[Answer]:
        """The Prometheus objects of prometheus-operator in any one namespace."""
        path = f"/apis/{RULE_API}/namespaces/{namespace}/{PROMETHEUSES}"
        return [each async for each in self._list(path, RULE_API, "Prometheus")]

    async def list_pods(self, namespace: str, selector: str) -> list[Answer]:
        """Pods of any one namespace by label selector."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        return [each async for each in self._list(path, "v1", "Pod", selector)]

    async def touch_pod(self, namespace: str, name: str, annotation: str, value: str) -> None:
        """Set an annotation of a pod: its kubelet then syncs the pod's ConfigMaps at once.

        By the status subresource, which can't change a container, an image or a label.
        """
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        patch = {"metadata": {"annotations": {annotation: value}}}
        await self._call("PATCH", path, body=patch, content_type=MERGE)

    async def get_namespace(self, name: str) -> Answer | None:
        """The namespace itself, if it exists."""
        return await self._get(f"/api/v1/namespaces/{name}")

    async def list_leases(self, selector: str) -> list[Answer]:
        """Leases by label selector."""
        return [each async for each in self._list(self._leases, LEASE_API, "Lease", selector)]

    async def get_lease(self, name: str) -> Answer | None:
        """The Lease, if it exists."""
        return await self._get(f"{self._leases}/{name}")

    async def create_lease(self, lease: Mapping[str, Any]) -> None:
        """Fails where it exists by now."""
        await self._call("POST", self._leases, body=lease)

    async def replace_lease(self, lease: Mapping[str, Any]) -> None:
        """Fails where somebody else was faster: ``lease`` holds the version that it replaces."""
        await self._call("PUT", f"{self._leases}/{lease['metadata']['name']}", body=lease)

    async def _list(
        self, path: str, api: str, kind: str, selector: str = ""
    ) -> AsyncIterator[Answer]:
        """Page after page: thousands at once would hold up everything else, and fill the memory."""
        first = [("limit", PAGE), *([("labelSelector", selector)] if selector else [])]
        query = first
        while True:
            answer = await self._call("GET", path, query)
            for item in answer.get("items") or []:
                # The API server leaves out in lists what is the same for all.
                yield {"apiVersion": api, "kind": kind, **item}
            token = (answer.get("metadata") or {}).get("continue")
            if not token:
                return
            query = [*first, ("continue", token)]

    async def _get(self, path: str) -> Answer | None:
        try:
            return await self._call("GET", path)
        except GoneError:
            return None

    async def _apply(self, path: str, wanted: Mapping[str, Any]) -> Answer:
        self._permit()
        query = [("fieldManager", MANAGER), ("force", "true")]
        return await self._call("PATCH", path, query, wanted, APPLY)

    async def _call(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Accept": JSON, "Content-Type": content_type}
        # Asked for each time: a pod's token is renewed within the hour.
        if token := await self._settings.get_api_key_with_prefix("BearerToken"):
            headers["Authorization"] = token
        try:
            async with self._session.request(
                method, self._settings.host + path, params=query, data=data, headers=headers
            ) as response:
                content = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(f"{method} {path}: {str(error) or type(error).__name__}") from error
        if not 200 <= response.status < 300:
            raise _error(method, path, response.status, content.decode(errors="replace"))
        return _parsed(content)


async def configuration() -> Configuration:
    """That of the pod's service account, else of the current context of the kubeconfig.

    :raises KubeError: there is neither.
    """
    wanted = Configuration()
    try:
        config.load_incluster_config(wanted)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            await config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=wanted
            )
        except config.ConfigException as error:
            raise KubeError(f"neither in a cluster nor with a kubeconfig: {error}") from error
    return wanted


def _parsed(content: bytes) -> Answer:
    try:
        answer = json.loads(content)
    except ValueError as error:
        raise KubeError(f"an answer that isn't JSON: {content[:80]!r}") from error
    if not isinstance(answer, dict):
        raise KubeError(f"an answer that is no object: {content[:80]!r}")
    return answer


def _error(method: str, path: str, status: int, content: str) -> KubeError:
    try:
        reason = json.loads(content)["message"]
    except (ValueError, KeyError, TypeError):
        reason = content[:200]
    kind = GoneError if status == 404 else KubeError
    return kind(f"{method} {path}: HTTP {status}, {reason}", status)
