"""Real servers for integration tests. What is missing fails: a skipped test proves nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from tests.ports import free_ports

#: Debian keeps these off the PATH, one folder for each major version.
POSTGRESQL_FOLDERS = "/usr/lib/postgresql/*/bin"

PASSWORD = "only-on-loopback"


@dataclass(frozen=True)
class Postgresql:
    """A private PostgreSQL server on loopback; stopped and started at will."""

    folder: Path
    programs: Path
    port: int
    user: str | None

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def create_database(self, name: str) -> str:
        """A fresh database; returns its URL without the scheme: ``user:password@host/name``."""
        where = f"postgres:{PASSWORD}@127.0.0.1:{self.port}"
        with psycopg.connect(f"postgresql://{where}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"{where}/{name}"

    def initialise(self) -> None:
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run(
            "initdb",
            *("-D", str(self._data), "-U", "postgres", "-A", "scram-sha-256"),
            *("--pwfile", str(secret), "--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        """As an unprivileged user, since initdb and postgres refuse root."""
        with (self.folder / f"{program}.out").open("w+") as output:
            command = [str(self.programs / program), *arguments]
            done = subprocess.run(
                command, user=self.user, stdout=output, stderr=output, cwd=self.folder
            )
            output.seek(0)
            assert done.returncode == 0, f"{command}:\n{output.read()}"


def _programs() -> Path:
    found = shutil.which("pg_ctl")
    if found and shutil.which("initdb"):
        return Path(found).parent
    versions = sorted(Path("/").glob(POSTGRESQL_FOLDERS.lstrip("/")))
    assert versions, "PostgreSQL is missing: `apt-get install postgresql`, or `make integration`"
    return versions[-1]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """A PostgreSQL server that belongs to this test run alone."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="stocks-postgresql-"))
    server = Postgresql(folder, _programs(), free_ports(1)[0], "postgres" if root else None)
    if root:
        shutil.chown(folder, "postgres")
    try:
        server.initialise()
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql: Postgresql, request: pytest.FixtureRequest) -> str:
    """``user:password@host:port/name`` of an empty database; put the driver's scheme before it."""
    name = f"t{abs(hash(request.node.nodeid)):x}"
    return postgresql.create_database(name)
