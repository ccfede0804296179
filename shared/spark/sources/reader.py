"""Owns the one interface by which bronze reads any source, and what a kind of database must know to serve it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from pyspark.sql import DataFrame

from shared.core.ports import SourceClock
from shared.spec.lake import Table

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

    def by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        """The rows that have one of these keys (at least one; texts of the key's columns, in its order), wherever they stand; as `window` gives them.

        Raises MissingColumn, SourceUnavailable.
        """

    def null_positions(self, table: Table) -> int:
        """Rows of the source whose watermark is NULL."""

    def system(self, table: Table) -> str:
        """The name under which the contract lists the source."""

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        """What `action` gives, which reads the source and may be done again. Raises SourceUnavailable when waiting did not help."""


class Dialect(Protocol):
    """How to talk to one kind of database."""

    driver: str
    clock_query: str  # one row: now_utc, oldest_utc (ISO 8601 texts, UTC), tells_open (boolean)

    def url(self, connection: Connection) -> str: ...

    def instant(self, value: datetime) -> str:
        """A literal that compares with a watermark column."""

    def readable(self, column: str, type_name: str) -> str:
        """An expression that gives a source column in a type that Spark reads."""
