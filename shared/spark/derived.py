"""Owns derived tables: run the contract's SQL, keep what the affected keys give, compare with the table, and say what changes."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shared.core.errors import ContractError, SchemaMismatch
from shared.core.ports import InputRead
from shared.spark.binding import bind, mentioned
from shared.spark.changes import Changes, weighed
from shared.spark.frames import change_set, computed_once, contract_schema, fields_of, laid_over, names, only_keys, to_contract, type_differences
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


class Derivation:
    """One run of one derived table's SQL."""

    def __init__(self, store: Store, table: Table, inputs: tuple[InputRead, ...]) -> None:
        if table.sql is None:
            raise ContractError(f"{table.file}: {table.name} has no SQL; put it beside the contract")
        self._store, self._table, self._inputs, self._sql = store, table, inputs, table.sql

    @contextmanager
    def changes(self, target: DataFrame | None, *, rebuild: bool) -> Iterator[Changes]:
        """The weighed change set against `target` (None: an empty table). With `rebuild`, or where no feed can tell, every key is compared."""
        table = self._table
        old = as_contract(target, table) if target is not None else no_rows(self._store.spark, contract_schema(table))
        new = to_contract(bind(self._store.spark, self._sql, self._plain(), file=table.file), table)
        with self._affected(rebuild=rebuild) as keys:
            if keys is not None:
                old, new = only_keys(old, keys, table.key), only_keys(new, keys, table.key)
            with weighed(table, change_set(old, new, table.key, names(table)), names(table), table.key) as worked:
                yield worked

    @contextmanager
    def _affected(self, *, rebuild: bool) -> Iterator[DataFrame | None]:
        """The keys to recompute, computed; None for all of them."""
        keys = None if rebuild or self._table.load != "derive" else self._affected_keys()
        with ExitStack() as kept:
            yield None if keys is None else _computed(keys, self._table, kept)

    def _affected_keys(self) -> DataFrame | None:
        names_by_feed = {f"changed.{read.table.name}": read for read in self._inputs}
        sql, key = self._table.affected_sql, self._table.key
        wanted = mentioned(sql, names_by_feed) if sql else set(names_by_feed)
        feeds: dict[str, DataFrame] = {}
        for name in sorted(wanted):
            feed = self._changed(names_by_feed[name])
            if feed is None:
                return None
            feeds[name] = feed
        file = f"{self._table.file} (affected)"
        keys = bind(self._store.spark, sql, self._plain() | feeds, file=file) if sql else _keys_of(feeds, self._table)
        if {name.lower() for name in keys.columns} != {name.lower() for name in key}:
            raise ContractError(f"{self._table.file}: its affected SQL gives {', '.join(keys.columns)}; it must give the key, {', '.join(key)}")
        return keys.select(*(column(name) for name in key)).distinct()

    def _plain(self) -> dict[str, DataFrame]:
        return {read.table.name: rows_of(self._store, read) for read in self._inputs}

    def _changed(self, read: InputRead) -> DataFrame | None:
        """Rows of an input before and after, from what this table consumed to what it reads now; None where that cannot be told."""
        visible = names(read.table)
        changed = no_rows(self._store.spark, contract_schema(read.table))
        if read.version is not None:
            if read.consumed is None or read.consumed > read.version:
                return None
            if read.consumed < read.version:
                feed = self._feed(read.table, read.consumed + 1, read.version)
                if feed is None or not set(visible) <= set(feed.columns):
                    return None
                changed = feed.select(*visible)
        elif read.consumed is not None and read.consumed >= 0:
            return None
        if read.overlay is not None:
            upserts, deletes = staged(self._store, read.table, read.overlay)
            changed = changed.unionByName(upserts)
            if read.version is not None:
                before = as_contract(live(read.table, self._store.read(read.table, read.version)), read.table)
                touched = upserts.select(*read.table.key).unionByName(deletes)
                changed = changed.unionByName(only_keys(before, touched, read.table.key))
        return changed

    def _feed(self, table: Table, first: int, last: int) -> DataFrame | None:
        try:
            return self._store.feed(table, first, last)
        except SPARK_FAILED as failed:
            if _feed_is_gone(failed):
                return None
            raise


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
    """A stored table's rows in its contract's columns; NULL where a column is newer than the table. Raises SchemaMismatch for another type."""
    schema = contract_schema(table)
    stored = {field.name: field.dataType for field in rows.schema.fields}
    other = [text for text in type_differences(rows.schema, schema) if ": missing instead of" not in text]
    if other:
        raise SchemaMismatch(f"{table.name} on disk does not fit {table.file}: {'; '.join(other)}. Columns can be added, not changed or dropped")
    return rows.select(*(column(f.name) if f.name in stored else F.lit(None).cast(f.dataType).alias(f.name) for f in schema.fields))


def _keys_of(feeds: Mapping[str, DataFrame], table: Table) -> DataFrame:
    found = None
    for name, feed in feeds.items():
        if not set(table.key) <= set(feed.columns):
            raise ContractError(f"{table.file}: {name} does not carry the key {', '.join(table.key)}; write the keys to recompute as .affected.sql")
        keys = feed.select(*(column(key) for key in table.key))
        found = keys if found is None else found.unionByName(keys)
    if found is None:
        raise ContractError(f"{table.file}: {table.name} reads no table")
    return found


def _computed(keys: DataFrame, table: Table, kept: ExitStack) -> DataFrame | None:
    """The keys, computed now: only reading tells that files the feed needs are vacuumed, then None. Raises DataRejected for what rows forbid."""
    with halting(table):
        try:
            once = kept.enter_context(computed_once(keys))
            once.count()
        except SPARK_FAILED as failed:
            if _feed_is_gone(failed):
                return None
            raise
    return once


def _feed_is_gone(failed: BaseException) -> bool:
    text = str(failed)  # begins with the error's condition, in brackets
    return any(sign in text for sign in _FEED_IS_GONE)
