"""Risk limits from a YAML file, re-read when it changes; a bad edit leaves the old limits in force.

`python -m stocks_api risk-schema` prints the JSON schema of the file.
"""

import asyncio
import logging
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Protocol

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from stocks_api.domain.risk import MOST_NOTIONAL, MOST_SHARES, OrderRate, RiskLimits

log = logging.getLogger(__name__)

_CHECK_SECONDS = 1.0
SYMBOL = r"^[A-Z][A-Z0-9]{0,9}([ .][A-Z]{1,3})?$"


class RiskFileError(Exception):
    """The risk file is missing or wrong; the message says what to change."""


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # YAML reads `on` and `yes` as true
    return value


Symbol = Annotated[str, Field(pattern=SYMBOL)]
_Number = Annotated[Decimal, BeforeValidator(_no_boolean)]
Shares = Annotated[_Number, Field(gt=0, le=MOST_SHARES, allow_inf_nan=False)]
Money = Annotated[_Number, Field(gt=0, le=Decimal("1e12"), allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, title="Risk limits of the stocks API")


class _Rate(_Strict):
    orders: int = Field(ge=1, le=100_000)
    seconds: float = Field(gt=0, le=3600)


class RiskFile(_Strict):
    """What can be limited; what is left out keeps its default."""

    max_quantity: Shares = Field(MOST_SHARES, description="shares in one order")
    max_notional: Money = Field(
        MOST_NOTIONAL, le=MOST_NOTIONAL, description="worth of one order, account currency"
    )
    position_limit: Shares = Field(MOST_SHARES, description="shares held of a symbol, either way")
    position_limits: dict[Symbol, Shares] = Field({}, description="the same for single symbols")
    max_gross_exposure: Money | None = Field(
        None, description="worth of all positions and open orders, account currency"
    )
    price_collar: Annotated[_Number, Field(gt=0, lt=1, allow_inf_nan=False)] | None = Field(
        None, description="how far limit and stop prices may be from the last trade: 0.1 is 10 %"
    )
    require_price: bool = Field(
        False, description="refuse orders of symbols whose last trade is not known"
    )
    order_rate: _Rate | None = Field(None, description="orders and changes of all clients")
    duplicate_seconds: Annotated[float, BeforeValidator(_no_boolean)] = Field(
        0, ge=0, le=3600, description="a client's equal order within this time is refused"
    )
    restricted: frozenset[Symbol] = Field(
        frozenset(), description="symbols that must not be traded"
    )

    def limits(self) -> RiskLimits:
        """The same, for the domain."""
        rate = self.order_rate
        values = {name: getattr(self, name) for name in type(self).model_fields}
        values["order_rate"] = rate and OrderRate(rate.orders, rate.seconds)
        return RiskLimits(**values)


class RiskMetrics(Protocol):
    """Where the limits are shown."""

    def position_limits(self, limits: Mapping[str, float], default: float) -> None:
        """Shares by symbol, and for all others."""

    def risk_file_valid(self, valid: bool) -> None:
        """Whether the newest file is in force."""


class RiskBook:
    """The limits in force."""

    def __init__(self, path: Path | None, metrics: RiskMetrics) -> None:
        """Raises RiskFileError: nobody trades with limits other than those he wrote."""
        self._path = path
        self._metrics = metrics
        self._content: bytes | None = _read(path) if path else None
        self._use(load(path, self._content or b"") if path else RiskLimits())

    async def watch(self) -> None:
        """Re-read the file when it changes, for ever."""
        while self._path is not None:
            await asyncio.sleep(_CHECK_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Re-read the file if its content changed."""
        if self._path is None:
            return
        try:
            content = _read(self._path)
        except RiskFileError as error:
            if self._content is not None:  # said once, not every second
                self._refuse(error)
            self._content = None
            return
        if content != self._content:
            self._content = content
            self._try(self._path, content)

    def _try(self, path: Path, content: bytes) -> None:
        try:
            self._use(load(path, content))
            log.info("risk limits re-read")
        except RiskFileError as error:
            self._refuse(error)

    def _refuse(self, error: RiskFileError) -> None:
        log.error("risk limits not re-read, the old ones stay in force: %s", error)
        self._metrics.risk_file_valid(False)

    def _use(self, limits: RiskLimits) -> None:
        self.limits = limits
        shown = {symbol: float(limit) for symbol, limit in limits.position_limits.items()}
        self._metrics.position_limits(shown, float(limits.position_limit))
        self._metrics.risk_file_valid(True)


def load(path: Path, content: bytes) -> RiskLimits:
    """The limits of a file. Raises RiskFileError."""
    try:
        return RiskFile.model_validate(yaml.safe_load(content) or {}).limits()
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RiskFileError(f"STOCKS_RISK_FILE: {path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()
        )
        raise RiskFileError(f"STOCKS_RISK_FILE: {path}: {problems}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RiskFileError(f"STOCKS_RISK_FILE: {path} cannot be read: {error}") from error
