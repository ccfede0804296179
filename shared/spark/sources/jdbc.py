"""Owns reading a source by JDBC: each window once, with typed literals, only the contract's columns. What differs by database is its dialect."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import TypeVar

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from shared.core.errors import ContractError, DataRejected, MissingColumn
from shared.core.ports import SourceClock
from shared.core.window import cuts
from shared.spark.sources.asking import Asking, asking
from shared.spark.sources.declared import declared, key_kind, position_of, refuse_wider
from shared.spark.sources.keys import key_conditions
from shared.spark.sources.patience import Patience
from shared.spark.sources.postgres import Postgres
from shared.spark.sources.reader import Connection, Dialect, SourceColumn, server_of, unknown
from shared.spark.sources.redshift import Redshift
from shared.spark.sources.snowflake import Snowflake
from shared.spec.codec import parse_instant
from shared.spec.lake import Position, Server, Source, Table

T = TypeVar("T")
_DIALECTS: Mapping[str, Dialect] = {"postgres": Postgres(), "postgresql": Postgres(), "redshift": Redshift(), "snowflake": Snowflake()}
_FETCH_ROWS = 10_000  # without it PostgreSQL's driver holds the whole result in memory


class JdbcSources:
    """Sources of one environment. `connect` gives the connection of a table's server; it is asked once per table."""

    def __init__(
        self, *, spark: SparkSession, environment: str, connect: Callable[[Table, Server], Connection], patience: Patience | None = None
    ) -> None:
        self._spark, self._environment, self._connect = spark, environment, connect
        self._patience = patience or Patience()
        self._connections: dict[str, Connection] = {}
        self._unknown: dict[str, tuple[str, ...]] = {}

    def clock(self, table: Table) -> SourceClock:
        return self._ask(table, lambda ask: self._clock(table, ask))

    def window(self, table: Table, lo: Position, hi: Position) -> DataFrame:
        return self.patiently(table, lambda: self._window(table, lo, hi))

    def unknown_columns(self, table: Table) -> tuple[str, ...]:
        return self._unknown[table.name]

    def snapshot(self, table: Table) -> DataFrame:
        return self.patiently(table, lambda: self._snapshot(table))

    def by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        return self.patiently(table, lambda: self._by_keys(table, keys))

    def null_positions(self, table: Table) -> int:
        source = _source(table)
        query = f"select count(*) as rows_without from {source.relation} where {source.windows.column} is null"
        return int(self._ask(table, lambda ask: ask.row(query))["rows_without"] or 0)

    def system(self, table: Table) -> str:
        return self._server(table).name

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        return self._patience.ask(table, action, secret=self._connection(table).password)

    def _ask(self, table: Table, question: Callable[[Asking], T]) -> T:
        def once() -> T:
            with asking(self._spark, self._dialect(table), self._connection(table)) as ask:
                return question(ask)

        return self.patiently(table, once)

    def _clock(self, table: Table, ask: Asking) -> SourceClock:
        told = ask.row(self._dialect(table).clock_query)
        now, oldest = told.get("now_utc"), told.get("oldest_utc")
        if now is None:
            raise ContractError(f"{table.name}: its source's clock gave no time")
        return SourceClock(
            now=parse_instant(now),
            oldest_open=None if oldest is None else parse_instant(oldest),
            tells_open=oldest is not None,
            highest=_highest(table, ask),
        )

    def _window(self, table: Table, lo: Position, hi: Position) -> DataFrame:
        found, dialect, position = self._columns(table), self._dialect(table), _source(table).windows.column
        zoned = dialect.zoned(found[position.lower()])
        where = f"{position} >= {dialect.literal(lo, zoned=zoned)} and {position} < {dialect.literal(hi, zoned=zoned)}"
        return self._rows(table, found, f" where {where}", self._ranges(table, found, where))

    def _snapshot(self, table: Table) -> DataFrame:
        return self._rows(table, self._columns(table), "", [])

    def _by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        found = self._columns(table)
        kinds = [key_kind(found[name.lower()]) if name.lower() in found else None for name in table.key]
        parts = (self._rows(table, found, f" where {condition}", []) for condition in key_conditions(table.key, kinds, keys))
        return reduce(DataFrame.unionByName, parts)

    def _rows(self, table: Table, found: Mapping[str, SourceColumn], where: str, ranges: list[str]) -> DataFrame:
        source, dialect = _source(table), self._dialect(table)
        columns = [item.name for item in table.columns if item.name not in source.made]
        wanted = [name for name in columns if name.lower() in found]
        # names stand unquoted: one contract serves databases that fold to lower and to upper case
        expressions = ", ".join(f"{dialect.readable(found[name.lower()])} as {name}" for name in wanted)
        rows = self._query(table, f"select {expressions} from {source.relation}{where}", ranges)
        return rows.select(*(_given(rows, name) if name.lower() in found else F.lit(None).cast("string").alias(name) for name in columns))

    def _columns(self, table: Table) -> dict[str, SourceColumn]:
        """The source's columns by name in lower case. Raises MissingColumn, WidenedColumn, each naming all there are."""
        source = _source(table)
        with asking(self._spark, self._dialect(table), self._connection(table)) as ask:
            found = {column.name: column for column in ask.columns(source.relation)}
        required = {item.name for item in table.columns if item.required and item.name not in source.made}
        required |= {source.watermark.column} if source.watermark else set()
        required |= {source.parallel.column} if source.parallel else set()
        missing = sorted(name for name in required if name.lower() not in found)
        if missing:
            raise MissingColumn(
                f"{table.name}: {source.relation} has no column {', '.join(missing)}, which {table.file} requires. "
                f"It has {', '.join(sorted(found))}. Mend the source, or make the column optional"
            )
        refuse_wider(table, {name: declared(column) for name, column in found.items()})
        self._unknown[table.name] = unknown(table, found)
        return found

    def _ranges(self, table: Table, found: Mapping[str, SourceColumn], where: str) -> list[str]:
        """Conditions, each for one connection, of which every row of the window fulfils exactly one; none when one connection reads all.

        The outer ranges are open: a row that came after its bounds were asked, or has none, is in one of them. Each connection sees its own
        moment; a row that moves between ranges meanwhile was updated, and is at its new position in a later window.
        """
        source, dialect = _source(table), self._dialect(table)
        if source.parallel is None:
            return []
        name = source.parallel.column
        column = found[name.lower()]
        lowest, highest = (dialect.as_text(column, f"{bound}({name})") for bound in ("min", "max"))
        with asking(self._spark, dialect, self._connection(table)) as ask:
            told = ask.row(f"select {lowest} as lowest, {highest} as highest from {source.relation} where {where}")
        if told["lowest"] is None or told["highest"] is None:
            return []
        first, last = position_of(column, told["lowest"]), position_of(column, told["highest"])
        if first is None or last is None:
            raise DataRejected(
                f"{table.name}: {name} is {column.type_name} at the source, and has no ranges to read at once. Name a number, date or time in "
                f"`parallel` of {table.file}, or leave it out"
            )
        zoned = dialect.zoned(column) and dialect.keeps_zones
        edges = [dialect.literal(edge, zoned=zoned) for edge in cuts(first, last, source.parallel.parts)]
        if not edges:
            return []
        inner = [f"{name} >= {lo} and {name} < {hi}" for lo, hi in zip(edges, edges[1:], strict=False)]
        return [f"{name} < {edges[0]} or {name} is null", *inner, f"{name} >= {edges[-1]}"]

    def _query(self, table: Table, query: str, ranges: list[str]) -> DataFrame:
        dialect, connection = self._dialect(table), self._connection(table)
        told = {"driver": dialect.driver, "user": connection.username, "password": connection.password, "fetchsize": str(_FETCH_ROWS)}
        told |= dialect.properties(connection)
        if ranges:
            return self._spark.read.jdbc(dialect.url(connection), f"({query}) q", predicates=ranges, properties=told)
        return self._spark.read.jdbc(dialect.url(connection), f"({query}) q", properties=told)

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
        return server_of(table, self._environment)


def _highest(table: Table, ask: Asking) -> int | None:
    source = _source(table)
    if source.watermark is None or source.watermark.kind != "integer":
        return None
    highest = ask.row(f"select max({source.watermark.column}) as highest from {source.relation}")["highest"]
    return None if highest is None else int(highest)


def _source(table: Table) -> Source:
    if table.source is None:
        raise ContractError(f"{table.file}: {table.name} has no source")
    return table.source


def _given(rows: DataFrame, name: str) -> Column:
    """A column of the result under the contract's spelling, whatever case the database answers in."""
    actual = next(column for column in rows.columns if column.lower() == name.lower())
    return F.col(f"`{actual}`").alias(name)
