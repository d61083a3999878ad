"""A real PostgreSQL server that belongs to one test run alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.ports import free_ports

#: Debian keeps these off the PATH, one folder for each major version.
POSTGRESQL_FOLDERS = "/usr/lib/postgresql/*/bin"

PASSWORD = "only-on-loopback"


@dataclass(frozen=True)
class Postgresql:
    """Stopped and started at will."""

    folder: Path
    programs: Path
    host: str
    port: int
    user: str | None

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses={self.host} -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def create_database(self, name: str) -> str:
        """A fresh database; returns its URL without the scheme: ``user:password@host/name``."""
        where = f"postgres:{PASSWORD}@{self.host}:{self.port}"
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
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")

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


@contextmanager
def running(host: str = "127.0.0.1") -> Iterator[Postgresql]:
    """Listens on one address of this machine, for those of that network."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="stocks-postgresql-"))
    user = "postgres" if root else None
    server = Postgresql(folder, _programs(), host, free_ports(1)[0], user)
    if root:
        shutil.chown(folder, "postgres")
    try:
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
