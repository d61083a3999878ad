"""The gateway goes and comes back: the metric, the alert, and an API that was never restarted."""

from __future__ import annotations

from tests.e2e.stack import NAMESPACE, Stack
from tests.waiting import eventually

ALERT = "StocksGatewayConnectionLost"


def api_pod(stack: Stack) -> tuple[str, int]:
    (pod,) = stack.items("pods", "app.kubernetes.io/component=api")
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def wait_status(stack: Stack, status: float, within: float) -> None:
    query = f'ib_connection_status{{namespace="{NAMESPACE}"}}'
    eventually(lambda: stack.value(query), lambda now: now == status, within=within)


def test_a_lost_gateway_is_seen_within_30_s_and_pages_until_it_is_back(stack: Stack) -> None:
    wait_status(stack, 1, within=60)
    before = api_pod(stack)
    stack.kubectl("scale", "deployment/stocks-gateway", "--replicas=0")
    try:
        wait_status(stack, 0, within=30)
        stack.wait_state(ALERT, "pending", within=60)
        stack.wait_state(ALERT, "firing", within=60)
        eventually(lambda: stack.paged(ALERT), bool, within=60)
    finally:
        stack.scale("stocks-gateway", 1)
    wait_status(stack, 1, within=60)
    stack.wait_state(ALERT, "inactive", within=60)
    assert api_pod(stack) == before
