"""What the environment says, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class SettingsError(ValueError):
    """The environment is incomplete or wrong; names each variable."""


def _pairs(text: object) -> object:
    """``release=monitoring,team=desk`` -> a mapping."""
    if not isinstance(text, str):
        return text
    pairs = [pair.strip().partition("=") for pair in text.split(",") if pair.strip()]
    if not all(key and mark for key, mark, _ in pairs):
        raise ValueError("must be comma-separated pairs such as release=kube-prometheus-stack")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _star_is_all(text: object) -> object:
    return "" if text == "*" else text


def _items(text: object) -> object:
    """``http://a:9090,http://b:9090`` -> a tuple."""
    if not isinstance(text, str):
        return text
    return tuple(item.strip() for item in text.split(",") if item.strip())


Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Urls = Annotated[tuple[Url, ...], NoDecode, BeforeValidator(_items)]
Namespace = Annotated[str, Field(pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")]
Labels = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]


#: namespace/name, or nothing.
_OBJECT = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?/[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?)?$"


class Settings(BaseSettings):
    """``THRESHOLDS_*``; docs/architecture.md lists them."""

    model_config = SettingsConfigDict(env_prefix="THRESHOLDS_", frozen=True)

    #: Empty or ``*``: all namespaces.
    namespace: Annotated[Namespace, BeforeValidator(_star_is_all)]
    #: Of Helm: two of them never serve the same namespace.
    release: str = ""
    #: Where the Lease is, by which several operators agree on one.
    lease_namespace: Annotated[Namespace, Field(validate_default=True)] = ""
    catalogue: Path = Path("charts/stocks-fastapi/files/catalogue.yaml")
    #: Entries that users add, and the ConfigMap that they come in.
    own_alerts: Path | None = None
    own_alerts_config_map: str = ""
    prometheus_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    #: Each replica by its own URL, where its pods can't be found by the object below.
    prometheus_urls: Urls = ()
    #: The API that knows the rules, where another program answers queries (Thanos Ruler).
    ruler_urls: Urls = ()
    #: Folder with token, headers/, ca.crt, tls.crt and tls.key, each optional.
    prometheus_access: Path | None = None
    prometheus_proxy: Annotated[str, Field(pattern=r"^(https?://\S+)?$")] = ""
    #: Of prometheus-operator, namespace/name: its selectors explain why a rule isn't loaded.
    prometheus_object: Annotated[str, Field(pattern=_OBJECT)] = ""
    #: Whether Prometheus' pods may be annotated, so that rules reach them within seconds.
    touch_pods: bool = False
    #: A rule whose AlertThreshold is gone is removed after so long.
    orphan_seconds: Annotated[float, Field(gt=0)] = 300.0
    #: Rules of others that the same Prometheus loads: they share a ConfigMap with ours.
    other_rule_bytes: Annotated[int, Field(ge=0)] = 0
    rule_labels: Labels = {"release": "kube-prometheus-stack"}
    host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from other machines
    port: Annotated[int, Field(ge=0, le=65535)] = 8080

    @field_validator("lease_namespace")
    @classmethod
    def _is_that_of_the_thresholds(cls, namespace: str, info: ValidationInfo) -> str:
        """Unless it is said, and where there is but one."""
        own: str = namespace or info.data.get("namespace", "unknown")
        if not own:
            raise ValueError("must be set where THRESHOLDS_NAMESPACE means all namespaces")
        return own

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the environment.

        :raises SettingsError: with a line for each variable that is wrong.
        """
        try:
            return cls()  # type: ignore[call-arg]  # the environment gives the rest
        except ValidationError as error:
            lines = [_line(detail["loc"], detail["msg"]) for detail in error.errors()]
            raise SettingsError("\n".join(["the environment is wrong", *lines])) from error


def _line(where: tuple[int | str, ...], message: str) -> str:
    return f"  THRESHOLDS_{str(where[0]).upper()}: {message.removeprefix('Value error, ')}"
