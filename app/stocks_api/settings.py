"""Settings from the environment, read once. Each variable begins with STOCKS_."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SYMBOL = r"^[A-Z][A-Z0-9]{0,9}([ .][A-Z]{1,3})?$"
Symbol = Annotated[str, Field(pattern=SYMBOL)]
Port = Annotated[int, Field(ge=1, le=65535)]
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 not bound here, only recognised
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """What can be set; the defaults run the API beside a simulator on this machine."""

    model_config = SettingsConfigDict(env_prefix="STOCKS_", frozen=True, extra="forbid")

    gateway_mode: Literal["simulated", "paper", "live"] = Field(
        default="simulated", description="simulated, paper or live"
    )
    live_trading: bool = Field(default=False, description="must be true as well for live")
    gateway_host: str = Field(default="127.0.0.1", min_length=1, description="where the gateway is")
    gateway_port: Port = Field(default=4002, description="the gateway's port")
    gateway_client_id: int = Field(
        default=1, ge=0, le=2**31 - 1, description="the client id of this API, its own"
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite+aiosqlite:///./stocks.db"),
        description="sqlite+aiosqlite:///... or postgresql+asyncpg://...",
    )
    replicas: int = Field(
        default=1, ge=1, le=100, description="processes of this API on one database: PostgreSQL"
    )
    advertise_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/]+)?$",
        description="where other replicas reach this one; by default http://HOST:PORT",
    )
    lease_seconds: Seconds = Field(
        default=7.0,
        description="a replica that cannot prove for so long that it leads stops sending orders",
    )
    api_keys_file: Path = Field(default=Path("keys.yaml"), description="API keys, hashed")
    calendar: str = Field(
        default="XNYS",
        pattern=r"^[A-Za-z0-9_/]{0,20}$",
        description="the exchange's calendar (MIC) behind market_session_open; 24/7: always "
        "open; empty: none",
    )
    risk_file: Path | None = Field(
        default=None, description="pre-trade limits in YAML; without it only built-in maxima"
    )
    kill_switch_file: Path | None = Field(
        default=None,
        description="trading is stopped while it exists; by default kill-switch beside the "
        "SQLite file, or in the working directory",
    )
    auth_failures_per_minute: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="refused keys of one address; more are answered by 429",
    )
    symbols: Annotated[tuple[Symbol, ...], NoDecode] = Field(
        default=("AAPL", "MSFT", "TSLA"),
        max_length=100,  # the gateway's own default limit of market data lines
        description="watch list, comma-separated",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="where the API listens")
    port: Port = Field(default=8000, description="the API's port")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )

    probe_seconds: Seconds = Field(
        default=5.0, description="between two round trips to the gateway"
    )
    probe_timeout_seconds: Seconds = Field(
        default=4.0, description="for one request to the gateway"
    )
    stale_seconds: Seconds = Field(default=15.0, description="without an answer: the link is down")
    reconnect_min_seconds: Seconds = Field(
        default=0.5, description="first pause before a reconnect"
    )
    reconnect_max_seconds: Seconds = Field(
        default=15.0, description="longest pause before a reconnect"
    )
    acknowledge_seconds: Seconds = Field(
        default=5.0, description="POST waits so long for the gateway"
    )
    resolve_seconds: Seconds = Field(
        default=10.0, description="between questions for unresolved orders"
    )
    feed_silence_seconds: Seconds = Field(
        default=60.0, description="without a tick in open hours: market data is asked for anew"
    )
    database_probe_seconds: Seconds = Field(
        default=5.0, description="between two checks of the database"
    )

    @property
    def shared(self) -> bool:
        """Whether other replicas may use the database, too."""
        return self.database_url.get_secret_value().startswith("postgresql")

    @property
    def own_url(self) -> str:
        """Where other replicas reach this one."""
        return self.advertise_url or f"http://{self.host}:{self.port}"

    @property
    def kill_switch_path(self) -> Path:
        """Where the kill switch is."""
        if self.kill_switch_file is not None:
            return self.kill_switch_file
        _, found, database = self.database_url.get_secret_value().partition("sqlite+aiosqlite:///")
        return (Path(database).parent if found else Path()) / "kill-switch"

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            names = (name.strip().upper() for name in value.split(","))
            return tuple(dict.fromkeys(name for name in names if name))
        return value

    @field_validator("database_url")
    @classmethod
    def _supported(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("sqlite+aiosqlite:", "postgresql+asyncpg:")):
            raise ValueError("must begin with sqlite+aiosqlite: or postgresql+asyncpg:")
        if ":@" in url:
            raise ValueError("has an empty password: fill it in, or leave out the colon before @")
        return value

    @model_validator(mode="after")
    def _shareable(self) -> Self:
        if self.replicas == 1:
            return self
        if not self.shared:
            raise ValueError(
                f"replicas is {self.replicas}, but SQLite serves one process: set "
                "STOCKS_DATABASE_URL to postgresql+asyncpg://..., or STOCKS_REPLICAS=1"
            )
        if not self.advertise_url and self.host in _EVERYWHERE:
            raise ValueError(
                f"replicas is {self.replicas}, and host {self.host} is no address for others: "
                "set STOCKS_ADVERTISE_URL to http://<address of this replica>:<port>"
            )
        return self

    @model_validator(mode="after")
    def _two_opt_ins(self) -> Self:
        if self.gateway_mode == "live" and not self.live_trading:
            raise ValueError("gateway_mode live needs STOCKS_LIVE_TRADING=true as well")
        if self.gateway_mode != "live" and self.live_trading:
            raise ValueError(
                f"live_trading is true, but gateway_mode is {self.gateway_mode}: set "
                "STOCKS_GATEWAY_MODE=live, or take STOCKS_LIVE_TRADING away"
            )
        return self


def describe() -> str:
    """One line for each variable, with its default."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = default.get_secret_value() if isinstance(default, SecretStr) else default
        shown = ",".join(shown) if isinstance(shown, tuple) else str(shown)
        lines.append(f"  {'STOCKS_' + name.upper():32} {field.description} (default: {shown})")
    return "\n".join(lines)
