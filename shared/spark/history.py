"""Owns history (SCD2) as frames: all events of some things in, all their versions out. No table on disk is known here.

A version is a stretch of time, [valid_from, valid_to) in UTC, in which the tracked columns of a thing stood still. Versions are a function of
the set of events: neither the order in which these came nor how often shows.
"""

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from shared.core.errors import ContractError
from shared.spark.digests import row_digest
from shared.spark.frames import DELETED, names
from shared.spark.rules import column
from shared.spec.history import BEGINNING, IS_CURRENT, OWN_COLUMNS, UNKNOWN_KEY, VALID_FROM, VALID_TO, stand_in
from shared.spec.lake import History, Table

AT = "_at"  # when an event was


def history_of(table: Table) -> History:
    """Raises ContractError when the table is none."""
    if table.history is None:
        raise ContractError(f"{table.file}: {table.name} has no natural and surrogate key: it is no history")
    return table.history


def versions(events: DataFrame, table: Table, log: Table) -> DataFrame:
    """Every version of every thing, in the contract's columns. `events` are the log's rows, with `_deleted`; all of a thing's, or none.

    Of events with equal time the greatest by (operation, content) counts. A state opens a version when it is the first, follows a delete, or
    differs from the state before in a tracked column (NULL being a value); a delete closes. Columns that are not tracked hold in every version
    what the thing's last event says, a delete's too. An event without a time has no place; the log's own rule halts it.
    """
    history = history_of(table)
    cut, deleted = _cut(_heard(events, table, log), table), F.col(DELETED)
    values = {
        history.surrogate_key: _surrogate_key(history),
        VALID_FROM: F.when(F.col("_first"), _first_time(history)).otherwise(F.col(AT)),
        VALID_TO: F.col("_until"),
        IS_CURRENT: F.col("_until").isNull(),
    }
    latest = _latest(table)
    for name in set(names(table)) - {history.surrogate_key, *OWN_COLUMNS}:
        values[name] = F.col("_last").getField(name) if name in latest else column(name)
    return cut.where(~deleted).select(*(values[item.name].cast(item.type).alias(item.name) for item in table.columns))


def unknown_member(spark: SparkSession, table: Table) -> DataFrame:
    """The row with surrogate key 0, that facts point at whose thing is not known then: valid always; what is not required is NULL."""
    values = {history_of(table).surrogate_key: F.lit(UNKNOWN_KEY), VALID_FROM: F.lit(BEGINNING), VALID_TO: F.lit(None), IS_CURRENT: F.lit(True)}
    for item in table.columns:
        values.setdefault(item.name, F.lit(stand_in(item.type) if item.required else None))
    return spark.range(1).select(*(values[item.name].cast(item.type).alias(item.name) for item in table.columns))


def deletes_of(events: DataFrame, table: Table) -> DataFrame:
    """Natural key and `_at` of every delete, each once."""
    return events.where(F.col(DELETED)).select(*_natural(table), _time(table).alias(AT)).distinct()


def _heard(events: DataFrame, table: Table, log: Table) -> DataFrame:
    """The events that count, with `_at`: of those of a thing with equal time the greatest by (operation, content)."""
    by_rank = Window.partitionBy(*_natural(table)).orderBy(AT, DELETED, "_content")
    said = events.withColumns({AT: _time(table), "_content": row_digest(events, names(log))}).where(F.col(AT).isNotNull())
    return said.withColumn("_next", F.lead(AT).over(by_rank)).where(~F.col("_next").eqNullSafe(F.col(AT)))


def _cut(heard: DataFrame, table: Table) -> DataFrame:
    """The events at which a version begins or a thing is deleted, with `_until` (the next such), `_first`, and `_last`: what is true in the end."""
    by_time = Window.partitionBy(*_natural(table)).orderBy(AT)
    whole = by_time.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    state = F.struct(*(column(name) for name in history_of(table).tracked))
    last = F.struct(F.lit(0).alias("_"), *(column(name) for name in _latest(table)))  # a struct without fields is none
    steps = heard.withColumns({"_before": F.lag(F.struct(F.col(DELETED), state.alias("state"))).over(by_time), "_last": F.last(last).over(whole)})
    before, deleted = F.col("_before"), F.col(DELETED)
    opens = ~deleted & (before.isNull() | before.getField(DELETED) | ~before.getField("state").eqNullSafe(state))
    closes = deleted & ~before.getField(DELETED)
    return steps.where(opens | closes).withColumns({"_until": F.lead(AT).over(by_time), "_first": F.row_number().over(by_time) == 1})


def _latest(table: Table) -> tuple[str, ...]:
    """The columns that are not tracked."""
    history = history_of(table)
    stand = {history.surrogate_key, *OWN_COLUMNS, *history.natural_key, *history.tracked}
    return tuple(name for name in names(table) if name not in stand)


def _natural(table: Table) -> list[Column]:
    return [column(name) for name in history_of(table).natural_key]


def _time(table: Table) -> Column:
    if table.sequence is None:
        raise ContractError(f"{table.file}: {table.name} does not know by what its log is ordered")
    return column(table.sequence).cast("timestamp")


def _first_time(history: History) -> Column:
    """When a thing's first version begins: never after the event that opened it."""
    since = F.lit(BEGINNING) if history.first_valid_from is None else column(history.first_valid_from).cast("timestamp")
    return F.least(since, F.col(AT))


def _surrogate_key(history: History) -> Column:
    """A signed 64-bit hash of the natural key and of when the version's event was. Of parts that are NULL it knows which."""
    parts = [part for name in history.natural_key for part in (column(name), column(name).isNull())]
    return F.xxhash64(*parts, F.col(AT))
