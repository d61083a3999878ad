"""The API keys file: what is accepted, what is refused, what a change does."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stocks_api.adapters.keys import KeyRing, KeysError, generate_key, load_keys

A, B = (hashlib.sha256(key.encode()).hexdigest() for key in ("key-a", "key-b"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys.yaml"
    path.write_text(f"keys: [{{name: desk, sha256: {A}, scopes: [read, trade]}}]\n")
    return path


def test_a_key_is_found_by_its_hash(path: Path) -> None:
    ring = KeyRing(path)
    key = ring.find("key-a")
    assert key is not None
    assert key.name == "desk"
    assert set(key.scopes) == {"read", "trade"}
    assert ring.find("key-b") is None
    assert ring.find(A) is None  # the hash is no key


def test_a_key_expires(path: Path) -> None:
    path.write_text(
        f"keys: [{{name: x, sha256: {A}, scopes: [read], expires: 2026-12-31T00:00:00Z}}]"
    )
    (key,) = load_keys(path)
    assert not key.expired(datetime(2026, 12, 30, tzinfo=UTC))
    assert key.expired(datetime(2026, 12, 31, tzinfo=UTC))


def test_a_generated_key_fits_its_hash() -> None:
    key, digest = generate_key()
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    assert len(key) >= 32
    assert key != generate_key()[0]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("keys: []", id="no keys"),
        pytest.param("keys: [", id="no YAML"),
        pytest.param("keys: [{name: x, sha256: secret, scopes: [read]}]", id="no hash"),
        pytest.param(f"keys: [{{name: x, sha256: {A}, scopes: []}}]", id="no scope"),
        pytest.param(
            f"keys: [{{name: x, sha256: {hashlib.sha256().hexdigest()}, scopes: [read]}}]",
            id="the hash of nothing",
        ),
        pytest.param(f"keys: [{{name: x, sha256: {A}, scopes: [root]}}]", id="an unknown scope"),
        pytest.param(f"keys: [{{name: x, sha256: {A}, scopes: [read], a: b}}]", id="more fields"),
        pytest.param(
            f"keys: [{{name: x, sha256: {A}, scopes: [read]}}, "
            f"{{name: y, sha256: {A}, scopes: [trade]}}]",
            id="a key twice",
        ),
        pytest.param(
            f"keys: [{{name: x, sha256: {A}, scopes: [read]}}, "
            f"{{name: x, sha256: {B}, scopes: [read]}}]",
            id="a name twice",
        ),
    ],
)
def test_a_wrong_file_is_refused_naming_the_variable(path: Path, content: str) -> None:
    path.write_text(content)
    with pytest.raises(KeysError, match="STOCKS_API_KEYS_FILE"):
        KeyRing(path)


def test_a_change_is_read_and_a_bad_one_leaves_the_old_keys(path: Path) -> None:
    ring = KeyRing(path)
    path.write_text(path.read_text().replace(A, B))
    ring.refresh()
    assert ring.find("key-a") is None
    assert ring.find("key-b") is not None
    path.write_text("nonsense")
    ring.refresh()
    assert ring.find("key-b") is not None


def test_a_swapped_link_is_a_change(path: Path, tmp_path: Path) -> None:
    """Kubernetes renews a mounted Secret by turning a symbolic link."""
    link, other = tmp_path / "mounted.yaml", tmp_path / "new.yaml"
    link.symlink_to(path)
    ring = KeyRing(link)
    other.write_text(path.read_text().replace(A, B))
    link.unlink()
    link.symlink_to(other)
    ring.refresh()
    assert ring.find("key-b") is not None


def test_a_file_that_vanishes_leaves_the_old_keys(path: Path) -> None:
    ring = KeyRing(path)
    path.unlink()
    ring.refresh()
    assert ring.find("key-a") is not None
