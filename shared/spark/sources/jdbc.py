"""Owns reading a source by JDBC: each window once, with typed literals, only the contract's columns. What differs by database is its dialect."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from typing import TypeVar

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shared.core.errors import ContractError, MissingColumn
from shared.core.ports import SourceClock
from shared.spark.sources.keys import key_conditions
from shared.spark.sources.patience import Patience
from shared.spark.sources.postgres import Postgres
from shared.spark.sources.reader import Connection, Dialect
from shared.spec.codec import parse_instant
from shared.spec.lake import Server, Source, Table

T = TypeVar("T")
_DIALECTS: Mapping[str, Dialect] = {"postgres": Postgres(), "postgresql": Postgres()}
_FETCH_ROWS = 10_000  # without it PostgreSQL's driver holds the whole result in memory


class JdbcSources:
    """Sources of one environment. `connect` gives the connection of a table's server; it is asked once per table."""

    def __init__(
        self, *, spark: SparkSession, environment: str, connect: Callable[[Table, Server], Connection], patience: Patience | None = None
    ) -> None:
        self._spark, self._environment, self._connect = spark, environment, connect
        self._patience = patience or Patience()
        self._connections: dict[str, Connection] = {}

    def clock(self, table: Table) -> SourceClock:
        query = self._dialect(table).clock_query
        row = self.patiently(table, lambda: self._query(table, query).first())
        if row is None:
            raise ContractError(f"{table.name}: its source's clock gave no row")
        oldest = parse_instant(row["oldest_utc"]) if row["tells_open"] else None
        return SourceClock(now=parse_instant(row["now_utc"]), oldest_open=oldest, tells_open=bool(row["tells_open"]))

    def window(self, table: Table, lo: datetime, hi: datetime) -> DataFrame:
        return self.patiently(table, lambda: self._window(table, lo, hi))

    def snapshot(self, table: Table) -> DataFrame:
        return self.patiently(table, lambda: self._rows(table, self._columns(table), where=""))

    def by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        def ask() -> DataFrame:
            found = self._columns(table)
            kinds = [found.get(name.lower(), "") for name in table.key]
            conditions = key_conditions(table.key, kinds, keys)
            return reduce(DataFrame.unionByName, (self._rows(table, found, where=f" where {condition}") for condition in conditions))

        return self.patiently(table, ask)

    def null_positions(self, table: Table) -> int:
        source = _source(table)
        query = f"select count(*) as rows_without from {source.relation} where {source.windows.column} is null"
        row = self.patiently(table, lambda: self._query(table, query).first())
        return int(row["rows_without"]) if row else 0

    def system(self, table: Table) -> str:
        return self._server(table).name

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        return self._patience.ask(table, action, secret=self._connection(table).password)

    def _window(self, table: Table, lo: datetime, hi: datetime) -> DataFrame:
        dialect, position = self._dialect(table), _source(table).windows.column
        where = f" where {position} >= {dialect.instant(lo)} and {position} < {dialect.instant(hi)}"
        return self._rows(table, self._columns(table), where=where)

    def _rows(self, table: Table, found: Mapping[str, str], *, where: str) -> DataFrame:
        """The contract's columns of the rows that meet a condition; `found` are the source's columns."""
        source, dialect = _source(table), self._dialect(table)
        columns = [item.name for item in table.columns if item.name not in source.made]
        wanted = [name for name in columns if name.lower() in found]
        # names stand unquoted: one contract serves databases that fold to lower and to upper case
        expressions = ", ".join(f"{dialect.readable(name, found[name.lower()])} as {name}" for name in wanted)
        rows = self._query(table, f"select {expressions} from {source.relation}{where}")
        return rows.select(*(_given(rows, name) if name.lower() in found else F.lit(None).cast("string").alias(name) for name in columns))

    def _columns(self, table: Table) -> dict[str, str]:
        """The source's columns, lower-cased, and their Spark types. Raises MissingColumn naming what the contract requires and is not there."""
        source = _source(table)
        schema = self._query(table, f"select * from {source.relation}").schema
        found = {field.name.lower(): field.dataType.simpleString() for field in schema.fields}
        required = {item.name for item in table.columns if item.required and item.name not in source.made}
        required |= {source.watermark.column} if source.watermark else set()
        missing = sorted(name for name in required if name.lower() not in found)
        if missing:
            raise MissingColumn(
                f"{table.name}: {source.relation} has no column {', '.join(missing)}, which {table.file} requires. "
                f"It has {', '.join(sorted(found))}. Mend the source, or make the column optional"
            )
        return found

    def _query(self, table: Table, query: str) -> DataFrame:
        dialect, connection = self._dialect(table), self._connection(table)
        reader = self._spark.read.format("jdbc").option("driver", dialect.driver).option("url", dialect.url(connection))
        reader = reader.option("user", connection.username).option("password", connection.password)
        return reader.option("fetchsize", str(_FETCH_ROWS)).option("dbtable", f"({query}) q").load()

    def _connection(self, table: Table) -> Connection:
        if table.name not in self._connections:
            self._connections[table.name] = self._connect(table, self._server(table))
        return self._connections[table.name]

    def _dialect(self, table: Table) -> Dialect:
        server = self._server(table)
        if server.type not in _DIALECTS:
            raise ContractError(f"{table.file}: server {server.name} is of type '{server.type}'; this release reads {', '.join(sorted(_DIALECTS))}")
        return _DIALECTS[server.type]

    def _server(self, table: Table) -> Server:
        servers = _source(table).servers
        for server in servers:
            if server.environment == self._environment:
                return server
        listed = ", ".join(server.environment for server in servers) or "none"
        raise ContractError(f"{table.file}: no server for environment '{self._environment}'; it lists {listed}")


def _source(table: Table) -> Source:
    if table.source is None:
        raise ContractError(f"{table.file}: {table.name} has no source")
    return table.source


def _given(rows: DataFrame, name: str) -> Column:
    """A column of the result under the contract's spelling, whatever case the database answers in."""
    actual = next(column for column in rows.columns if column.lower() == name.lower())
    return F.col(f"`{actual}`").alias(name)
