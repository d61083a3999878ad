"""Asks another replica of this API, over HTTP."""

from collections.abc import Mapping

import httpx

from stocks_api.domain.errors import AnswerLost, NotLeading
from stocks_api.services.leadership import Reply

_TIMEOUT = httpx.Timeout(60, connect=2)  # an order may wait its turn, then for the gateway


class Replicas:
    """Keeps its connections between requests; each request is sent once."""

    def __init__(self) -> None:
        # No proxy of the environment: it is a neighbour, and the API key goes along.
        self._http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)

    async def ask(self, url: str, method: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Its answer. Raises NotLeading if it can't be reached, AnswerLost if it fell silent."""
        try:
            answer = await self._http.request(method, url, headers=headers, content=body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotLeading(f"the replica that leads can't be reached: {error!r}") from error
        except httpx.HTTPError as error:
            raise AnswerLost(
                "the replica that leads fell silent, and may have done what was asked: ask again "
                f"with the same Idempotency-Key, or look at GET /v1/orders ({error!r})"
            ) from error
        return Reply(answer.status_code, answer.headers, answer.content)

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()
