"""Owns what a computed table reads: the rows of an input as a run sees them, and what changed in it since the table consumed it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shared.core.errors import SchemaMismatch
from shared.core.ports import InputRead
from shared.spark.frames import computed_once, contract_schema, fields_of, laid_over, misfits, names, only_keys
from shared.spark.literal_rows import no_rows
from shared.spark.refusals import SPARK_FAILED, halting
from shared.spark.rules import column
from shared.spark.silver import live
from shared.spark.store import Store
from shared.spec.lake import Table

# What Delta and Spark say when a change feed is gone: its files vacuumed, its log cleaned, its schema another.
_FEED_IS_GONE = (
    "FILE_NOT_EXIST",
    "FileNotFoundException",
    "DELTA_CHANGE_DATA_FEED",
    "DELTA_CHANGE_TABLE_FEED",
    "DELTA_MISSING_CHANGE_DATA",
    "DELTA_CDC_",
    "DELTA_VERSION",
    "DELTA_LOG_FILE",
    "DELTA_TRUNCATED_TRANSACTION_LOG",
    "DELTA_FILE_NOT_FOUND",
)

_FEW_KEYS = 200_000  # so many are sent to where the rows are: then neither a table nor its log is shuffled for what they have of these keys


def rows_of(store: Store, read: InputRead) -> DataFrame:
    """What a derived table sees of an input: its live rows at a version, with the staged change set laid over."""
    rows = no_rows(store.spark, contract_schema(read.table)) if read.version is None else live(read.table, store.read(read.table, read.version))
    if read.overlay is None:
        return rows
    upserts, deletes = staged(store, read.table, read.overlay)
    return laid_over(rows, upserts, deletes, read.table.key)


def staged(store: Store, table: Table, path: str) -> tuple[DataFrame, DataFrame]:
    """A staged change set: rows to upsert, keys to delete."""
    schema = contract_schema(table)
    return store.read_parquet(f"{path}/upserts", schema), store.read_parquet(f"{path}/deletes", fields_of(schema, table.key))


def as_contract(rows: DataFrame, table: Table) -> DataFrame:
    """A stored table's rows in its contract's columns and types; NULL where a column is newer than the table. Raises SchemaMismatch for misfits."""
    return as_stored(rows, table, contract_schema(table))


def as_stored(rows: DataFrame, table: Table, schema: StructType) -> DataFrame:
    """`as_contract`, for the columns a table has on disk."""
    other = misfits(rows.schema, schema)
    if other:
        raise SchemaMismatch(
            f"{table.name} on disk does not fit {table.file}: {'; '.join(other)}. Columns can be added and widened, not changed or dropped"
        )
    stored = rows.schema.fieldNames()
    return rows.select(*((column(f.name) if f.name in stored else F.lit(None)).cast(f.dataType).alias(f.name) for f in schema.fields))


def changed_rows(store: Store, read: InputRead) -> DataFrame | None:
    """Rows of an input before and after, from what its reader consumed to what it reads now; None where that cannot be told."""
    visible = names(read.table)
    changed = no_rows(store.spark, contract_schema(read.table))
    if read.version is not None:
        if read.consumed is None or read.consumed > read.version:
            return None
        if read.consumed < read.version:
            feed = _feed(store, read.table, read.consumed + 1, read.version)
            if feed is None or not set(visible) <= set(feed.columns):
                return None
            changed = feed.select(*visible)
    elif read.consumed is not None and read.consumed >= 0:
        return None
    if read.overlay is not None:
        upserts, deletes = staged(store, read.table, read.overlay)
        changed = changed.unionByName(upserts)
        if read.version is not None:
            before = as_contract(live(read.table, store.read(read.table, read.version)), read.table)
            touched = upserts.select(*read.table.key).unionByName(deletes)
            changed = changed.unionByName(only_keys(before, touched, read.table.key))
    return changed


@contextmanager
def computed_keys(keys: DataFrame | None, table: Table) -> Iterator[DataFrame | None]:
    """The keys of `table` to recompute, computed; None for all of them, and where the feed they come from can no longer be read."""
    with ExitStack() as kept:
        yield None if keys is None else _computed(keys, table, kept)


def _feed(store: Store, table: Table, first: int, last: int) -> DataFrame | None:
    try:
        return store.feed(table, first, last)
    except SPARK_FAILED as failed:
        if _feed_is_gone(failed):
            return None
        raise


def _computed(keys: DataFrame, table: Table, kept: ExitStack) -> DataFrame | None:
    """The keys, computed now: only reading tells that files the feed needs are vacuumed, then None. Raises DataRejected for what rows forbid."""
    with halting(table):
        try:
            once = kept.enter_context(computed_once(keys))
            few = once.count() <= _FEW_KEYS
        except SPARK_FAILED as failed:
            if _feed_is_gone(failed):
                return None
            raise
    return F.broadcast(once) if few else once


def _feed_is_gone(failed: BaseException) -> bool:
    text = str(failed)  # begins with the error's condition, in brackets
    return any(sign in text for sign in _FEED_IS_GONE)
