"""How Prometheus is reached: token, headers, certificates and proxy, from files that may change.

A folder holds what is needed, each file optional: ``token`` (sent as ``Bearer``), ``headers/NAME``
(one header a file, for example ``X-Scope-OrgID``), ``ca.crt``, and ``tls.crt`` with ``tls.key``.
Kubernetes rotates mounted Secrets in place, so tokens and headers are read for each request, and
certificates when one of their files has changed.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

Params = list[tuple[str, str]]

#: Longer headers are refused by Prometheus and by every proxy in front of it.
LONGEST_HEADER = 16_384


class PrometheusError(Exception):
    """Prometheus gave no answer that can be used; the same request may work later."""


class AccessDeniedError(PrometheusError):
    """401 or 403: it answers, but not to us; a person has to change something."""


class Access:
    """Requests to any replica, with the same credentials."""

    def __init__(
        self, session: aiohttp.ClientSession, folder: Path | None = None, proxy: str = ""
    ) -> None:
        self._session, self._folder, self._proxy = session, folder, proxy
        self._tls: tuple[object, ssl.SSLContext | bool] = (None, True)

    async def get(self, url: str, params: Params, server_name: str = "") -> tuple[int, Any]:
        """Status and JSON of an answer.

        :param server_name: name in the server's certificate, where the URL has an IP address.
        :raises AccessDeniedError: the credentials are refused, or there are none.
        :raises PrometheusError: no answer, or no JSON.
        """
        try:
            async with self._session.get(
                url,
                params=params,
                headers=dict(self._headers()),
                ssl=self._certificates(),
                proxy=self._proxy or None,
                server_hostname=server_name or None,
            ) as response:
                if response.status in (401, 403):
                    raise AccessDeniedError(_denied(response.status, await response.text()))
                return response.status, await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PrometheusError(str(error) or type(error).__name__) from error

    def _headers(self) -> Iterator[tuple[str, str]]:
        if self._folder is None:
            return
        if (token := _content(self._folder / "token")) is not None:
            yield "Authorization", f"Bearer {token}"
        for path in sorted(self._folder.glob("headers/[!.]*")):
            if (value := _content(path)) is not None:
                yield path.name, value

    def _certificates(self) -> ssl.SSLContext | bool:
        """Made again when a file has changed; ``True`` means the system's authorities."""
        if self._folder is None:
            return True
        files = [self._folder / name for name in ("ca.crt", "tls.crt", "tls.key")]
        state = [path.stat().st_mtime_ns if path.exists() else None for path in files]
        if state != self._tls[0]:
            try:
                self._tls = state, _context(*files)
            except OSError as error:
                text = f"the certificates of operator.prometheusAccess can't be read: {error}"
                raise PrometheusError(text) from error
        return self._tls[1]


def _context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext | bool:
    if not authority.exists() and not certificate.exists():
        return True
    context = ssl.create_default_context(cafile=authority if authority.exists() else None)
    if certificate.exists():
        context.load_cert_chain(certificate, key)
    return context


def _content(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open() as file:
        return file.read(LONGEST_HEADER).strip()


def _denied(status: int, text: str) -> str:
    what = "wants credentials" if status == 401 else "refuses these credentials"
    return f"HTTP {status}: it {what} ({text.strip()[:200]}); set operator.prometheusAccess"
