"""Health, readiness, metrics: open to everybody, cheap, and honest."""

from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Request, Response

from stocks_api import __version__
from stocks_api.api import schemas

router = APIRouter(tags=["system"])


class Readiness(Protocol):
    """What readiness depends on."""

    @property
    def gateway_mode(self) -> str:
        """SIMULATED, PAPER or LIVE."""

    def problems(self) -> dict[str, str]:
        """For each check its problem, empty if there is none."""


class Exposition(Protocol):
    """The metrics page."""

    content_type: str

    def __call__(self) -> bytes:
        """The page."""


async def _readiness(request: Request) -> Readiness:
    readiness: Readiness = request.app.state.services.readiness
    return readiness


async def _exposition(request: Request) -> Exposition:
    exposition: Exposition = request.app.state.services.exposition
    return exposition


@router.get("/healthz")
async def healthz(readiness: Annotated[Readiness, Depends(_readiness)]) -> schemas.Health:
    """200 while the process lives, whatever the gateway and the database do."""
    return schemas.Health(status="ok", gateway=readiness.gateway_mode, version=__version__)


@router.get("/readyz", responses={503: {"model": schemas.Readiness}})
async def readyz(
    response: Response, readiness: Annotated[Readiness, Depends(_readiness)]
) -> schemas.Readiness:
    """200 when orders can be placed; 503 says what is missing."""
    checks = {
        name: schemas.Check(ok=not problem, detail=problem or "ok")
        for name, problem in readiness.problems().items()
    }
    ready = all(check.ok for check in checks.values())
    response.status_code = 200 if ready else 503
    return schemas.Readiness(ready=ready, gateway=readiness.gateway_mode, checks=checks)


@router.get("/metrics", response_class=Response)
async def metrics(exposition: Annotated[Exposition, Depends(_exposition)]) -> Response:
    """Prometheus text format 0.0.4; async, so that it never waits for a thread."""
    return Response(exposition(), headers={"Content-Type": exposition.content_type})
