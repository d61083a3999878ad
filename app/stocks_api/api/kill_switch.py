"""The kill switch under /v1/kill-switch: thrown and taken back with the scope `admin`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from stocks_api.api import schemas
from stocks_api.api.problems import Problem
from stocks_api.api.strict import KEY, REFUSALS, SwitchRoute
from stocks_api.services.kill_switch import KillSwitch

router = APIRouter(
    prefix="/v1/kill-switch",
    tags=["kill switch"],
    route_class=SwitchRoute,
    dependencies=[KEY],
    responses=REFUSALS,
)


async def _switch(request: Request) -> KillSwitch:
    switch: KillSwitch = request.app.state.services.kill_switch
    return switch


Switch = Annotated[KillSwitch, Depends(_switch)]


@router.get("")
async def get_kill_switch(switch: Switch) -> schemas.KillSwitchView:
    """Whether trading is stopped, by whom and why."""
    return schemas.KillSwitchView.of(switch.state)


@router.post("")
async def engage(
    request: Request, switch: Switch, stop: schemas.KillSwitchRequest | None = None
) -> schemas.KillSwitchView:
    """Stop trading: nothing new is sent, and the gateway is told to cancel every open order.

    It lasts, through restarts, until it is taken back. `stored` is false if that is not certain.
    """
    reason = stop.reason if stop else "no reason given"
    return schemas.KillSwitchView.of(await switch.engage(request.state.client, reason))


@router.delete("", responses={503: {"model": Problem, "description": "It cannot be taken back"}})
async def release(request: Request, switch: Switch) -> schemas.KillSwitchView:
    """Trade again. What was cancelled stays cancelled."""
    await switch.release(request.state.client)
    return schemas.KillSwitchView.of(switch.state)
