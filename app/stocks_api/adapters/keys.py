"""API keys from a mounted file: hashed at rest, compared in constant time, re-read when it changes.

File: `keys: [{name: desk, sha256: <hex>, scopes: [read, trade], expires: 2026-12-31}]`
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from datetime import datetime
from pathlib import Path
from typing import Literal

import yaml
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

log = logging.getLogger(__name__)

Scope = Literal["read", "trade", "admin"]

_CHECK_SECONDS = 5.0


# Somebody hashed an empty file, or what a template left behind.
_NO_SECRETS = {
    hashlib.sha256(word).hexdigest(): word.decode() or "an empty text"
    for word in (b"", b"\n", b"changeme", b"secret", b"password")
}


class KeysError(Exception):
    """The keys file is missing or wrong; the message says what to do."""


class ApiKey(BaseModel):
    """One client: `sha256` is the hex digest of its key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    scopes: frozenset[Scope] = Field(min_length=1)
    expires: AwareDatetime | None = None

    @field_validator("sha256")
    @classmethod
    def _secret(cls, value: str) -> str:
        if value in _NO_SECRETS:
            what = _NO_SECRETS[value].strip() or "a line break"
            raise ValueError(f"is the hash of {what}: make a key with `hash-key`")
        return value

    def expired(self, now: datetime) -> bool:
        """Whether the key is past its time."""
        return self.expires is not None and now >= self.expires


class _KeysFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: tuple[ApiKey, ...] = Field(min_length=1)


class KeyRing:
    """The keys in force."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._keys = load_keys(path)

    def find(self, presented: str) -> ApiKey | None:
        """The key whose hash matches; compares with all of them, always."""
        digest = hashlib.sha256(presented.encode()).hexdigest()
        found: ApiKey | None = None
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found

    async def watch(self) -> None:
        """Re-read the file when it changes, for ever; a bad edit leaves the old keys in force."""
        while True:
            await asyncio.sleep(_CHECK_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Re-read the file if it changed."""
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = load_keys(self._path)
            log.info("API keys re-read")
        except KeysError as error:
            log.error("API keys not re-read, the old ones stay in force: %s", error)


def load_keys(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file. Raises KeysError."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        keys = _KeysFile.model_validate(document).keys
    except FileNotFoundError:
        raise KeysError(
            f"STOCKS_API_KEYS_FILE: there is no file {path}. Make a key with "
            "`python -m stocks_api hash-key` and put the entry it prints into that file."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise KeysError(f"STOCKS_API_KEYS_FILE: {path} cannot be used: {error}") from error
    _refuse_duplicates(path, keys)
    return keys


def generate_key() -> tuple[str, str]:
    """A random key and its SHA-256 in hex."""
    key = secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


def _refuse_duplicates(path: Path, keys: tuple[ApiKey, ...]) -> None:
    for values in ([key.name for key in keys], [key.sha256 for key in keys]):
        if len(set(values)) < len(values):
            raise KeysError(f"STOCKS_API_KEYS_FILE: {path} has a name or a hash twice")


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Changes whenever the file does, also when a mounted Secret is swapped by its symlink."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
