"""Owns the one interface by which bronze reads any source, and what a kind of database must know to serve it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from pyspark.sql import DataFrame

from shared.core.errors import ContractError
from shared.core.files import FileObject
from shared.core.ports import SourceClock
from shared.spec.lake import Server, Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a database is and who asks. The password is in no text made of it."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)


class SourceReader(Protocol):
    """What landing asks of a source, and `shared.core.ports.Sources`."""

    def clock(self, table: Table) -> SourceClock: ...

    def window(self, table: Table, lo: datetime, hi: datetime) -> DataFrame:
        """The rows whose watermark is in [lo, hi): the contract's columns by name, with the source's types; optional ones it lacks are NULL.

        Raises MissingColumn, SourceUnavailable.
        """

    def snapshot(self, table: Table) -> DataFrame:
        """All rows, in the contract's columns but those the engine fills. Raises MissingColumn, SourceUnavailable."""

    def by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        """The rows that have one of these keys (at least one; texts of the key's columns, in its order), wherever they stand; as `window` gives them.

        Raises MissingColumn, SourceUnavailable.
        """

    def null_positions(self, table: Table) -> int:
        """Rows of the source whose watermark is NULL."""

    def objects(self, table: Table) -> tuple[FileObject, ...]: ...

    def standing(self, table: Table, objects: Sequence[FileObject]) -> tuple[FileObject, ...]:
        """Those of a batch's frozen objects that have not changed. Raises ObjectGone."""

    def rows(self, table: Table, objects: Sequence[FileObject]) -> DataFrame:
        """The rows of objects: the contract's columns by name, and `_unread` (see lines.py). Raises MissingColumn, DataRejected."""

    def system(self, table: Table) -> str:
        """The name under which the contract lists the source."""

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        """What `action` gives, which reads the source and may be done again. Raises SourceUnavailable when waiting did not help."""


def server_of(table: Table, environment: str) -> Server:
    """Where a source table lies in an environment. Raises ContractError naming the environments that have a server."""
    servers = () if table.source is None else table.source.servers
    for server in servers:
        if server.environment == environment:
            return server
    listed = ", ".join(server.environment for server in servers) or "none"
    raise ContractError(f"{table.file}: no server for environment '{environment}'; it lists {listed}")


class Dialect(Protocol):
    """How to talk to one kind of database."""

    driver: str
    clock_query: str  # one row: now_utc, oldest_utc (ISO 8601 texts, UTC), tells_open (boolean)

    def url(self, connection: Connection) -> str: ...

    def instant(self, value: datetime) -> str:
        """A literal that compares with a watermark column."""

    def readable(self, column: str, type_name: str) -> str:
        """An expression that gives a source column in a type that Spark reads."""
