"""Owns the one interface by which bronze reads any source, and what a kind of database must know to serve it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pyspark.sql import DataFrame

from shared.core.errors import ContractError
from shared.core.files import FileObject
from shared.core.ports import SourceClock
from shared.spec.lake import Position, Server, Table

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where a database is and who asks. The password is in no text made of it."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    schema: str | None = None
    account: str | None = None
    warehouse: str | None = None
    role: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether the database is on this machine: only there is a connection without TLS in order."""
        return self.host in ("127.0.0.1", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceColumn:
    """A column as the source's driver describes it: its name in lower case, the database's name of its type, java.sql.Types' number of it."""

    name: str
    type_name: str
    jdbc_type: int
    precision: int
    scale: int


class SourceReader(Protocol):
    """What landing asks of a source, and `shared.core.ports.Sources`."""

    def clock(self, table: Table) -> SourceClock: ...

    def window(self, table: Table, lo: Position, hi: Position) -> DataFrame:
        """The rows whose watermark is in [lo, hi): the contract's columns by name, with the source's types; optional ones it lacks are NULL.

        Raises MissingColumn, WidenedColumn, SourceUnavailable.
        """

    def unknown_columns(self, table: Table) -> tuple[str, ...]:
        """The source's declared columns that the contract does not name, sorted, as of the last rows read; they are in no frame."""

    def snapshot(self, table: Table) -> DataFrame:
        """All rows, in the contract's columns but those the engine fills. Raises MissingColumn, WidenedColumn, SourceUnavailable."""

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


def unknown(table: Table, found: Iterable[str]) -> tuple[str, ...]:
    """Those of a source's columns, by name in lower case, that the contract does not name; sorted."""
    return tuple(sorted(set(found) - {item.name.lower() for item in table.columns}))


class Dialect(Protocol):
    """How to talk to one kind of database."""

    driver: str
    clock_query: str  # one row of texts: now_utc, oldest_utc (ISO 8601, UTC; NULL: it cannot tell)
    keeps_zones: bool  # whether a readable time still has its zone

    def url(self, connection: Connection) -> str: ...

    def properties(self, connection: Connection) -> Mapping[str, str]:
        """What the driver is told beside user and password."""

    def zoned(self, column: SourceColumn) -> bool:
        """Whether a time of this column names an instant by itself; others are taken for UTC."""

    def literal(self, position: Position, *, zoned: bool) -> str:
        """A literal that compares with a column of times with or without zone, of dates, or of numbers."""

    def readable(self, column: SourceColumn) -> str:
        """An expression that gives a source column in a type that Spark reads; times are then in UTC."""

    def as_text(self, column: SourceColumn, value: str) -> str:
        """An expression that gives `value`, of the type of a watermark `column`, as the ISO 8601 text of its instant, or date, or digits."""
