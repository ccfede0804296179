"""Owns the relay that lets Redshift's own JDBC driver talk to a PostgreSQL: on loopback, dropping the start-up parameters that only Redshift takes.

The driver and the SQL are then the real ones; the engine is PostgreSQL's (decisions/0015). Everything after the start-up message is passed on as
it is. The driver logs in by trust or md5 alone: it does not know SCRAM. The laptop has one beside its PostgreSQL.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Mapping
from types import TracebackType

import psycopg

from local.errors import LaptopError

# PostgreSQL ends the connection over a parameter it does not know.
_REDSHIFTS_OWN = (b"driver_version", b"os_version", b"driver_discovery_version", b"client_protocol_version")
# What a query of Redshift's calls and PostgreSQL has not; to be run once in its database, by its owner.
FUNCTIONS = """
set allow_system_table_mods = on;
create or replace function pg_catalog.getdate() returns timestamp language sql stable as 'select statement_timestamp()::timestamp';
reset allow_system_table_mods"""
_VERSION_3 = 196608
_START_UP_LIMIT = 10_000  # PostgreSQL's own
_ASKS_FOR_MD5 = b"R" + struct.pack("!II", 12, 5)
_PATIENCE_S = 10
_CHUNK = 65536


class RedshiftRelay:
    """One listening socket in front of one PostgreSQL; used as a context, after which no connection through it is left."""

    def __init__(self, *, port: int) -> None:
        """`port` is PostgreSQL's, on 127.0.0.1."""
        self._target = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="redshift-relay").start()

    def __enter__(self) -> "RedshiftRelay":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and end every connection; doing it again changes nothing."""
        with self._lock:
            self._closed = True
            ends, self._open = self._open, set()
        for end in (self._listening, *ends):
            _end(end)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(client,), daemon=True, name="redshift-connection").start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, socket.create_connection(self._target) as server:
                if self._keep(client, server):
                    server.sendall(_start_up(client))
                    back = threading.Thread(target=_pump, args=(server, client), daemon=True, name="redshift-answers")
                    back.start()
                    _pump(client, server)
                    back.join()
                self._forget(client, server)
        except (OSError, ValueError):
            return  # one side is gone, and with it the other; or the client speaks another protocol

    def _keep(self, *ends: socket.socket) -> bool:
        with self._lock:
            if not self._closed:
                self._open.update(ends)
            return not self._closed

    def _forget(self, *ends: socket.socket) -> None:
        with self._lock:
            self._open.difference_update(ends)


def without_redshifts_own(message: bytes) -> bytes:
    """A start-up message (length, version, then name and value, each ended by a zero byte) without what PostgreSQL does not know.

    What is no start-up message of version 3 (a request for TLS, or to cancel a query) stays as it is.
    """
    if struct.unpack("!I", message[4:8])[0] != _VERSION_3:
        return message
    words = message[8:-1].split(b"\0")[:-1]
    kept = [(name, value) for name, value in zip(words[::2], words[1::2], strict=True) if name not in _REDSHIFTS_OWN]
    body = message[4:8] + b"".join(name + b"\0" + value + b"\0" for name, value in kept) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def start_up(words: Mapping[str, str]) -> bytes:
    """A start-up message of version 3."""
    body = struct.pack("!I", _VERSION_3) + b"".join(name.encode() + b"\0" + value.encode() + b"\0" for name, value in words.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def check(port: int, *, user: str, password: str, database: str) -> None:
    """Try what Redshift's driver will need behind the relay on `port`. Raises LaptopError saying what is not so.

    Its own parameters are passed by, the user is asked for an md5 password and gets in with it, and `getdate()` is there.
    """
    words = {"user": user, "database": database, **{name.decode(): "1" for name in _REDSHIFTS_OWN}}
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S) as client:
            client.sendall(start_up(words))
            answer = _exactly(client, len(_ASKS_FOR_MD5))
    except OSError as failed:
        raise LaptopError(f"the relay for Redshift's driver on port {port} does not pass on: {failed}") from failed
    if answer != _ASKS_FOR_MD5:
        raise LaptopError(
            f"PostgreSQL behind the relay for Redshift's driver does not ask {user} for an md5 password (it answered {answer!r}); "
            "pg_hba.conf must say md5 for it, and its password must be stored so"
        )
    try:
        with psycopg.connect(host="127.0.0.1", port=port, dbname=database, user=user, password=password, connect_timeout=_PATIENCE_S) as there:
            there.execute("select getdate()")
    except psycopg.Error as refused:
        raise LaptopError(f"PostgreSQL behind the relay for Redshift's driver refuses {user}: {refused}") from refused


def _start_up(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    length = struct.unpack("!I", head)[0]
    if not 8 <= length <= _START_UP_LIMIT:
        raise ConnectionError("this is no PostgreSQL client")
    return without_redshifts_own(head + _exactly(client, length - 4))


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = client.recv(size - len(found))
        if not part:
            raise ConnectionError("the client left before it had begun")
        found += part
    return found


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on until the source ends; then the target is told so."""
    try:
        while part := source.recv(_CHUNK):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        _end(target)


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # not connected, or already ended
        end.shutdown(socket.SHUT_RDWR)
    end.close()
