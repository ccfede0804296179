"""Owns what is made from a `log` table: histories and latest states, recomputed from all events of each key that the log's feed names."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shared.core.errors import ContractError
from shared.core.ports import InputRead
from shared.spark.frames import DELETED, latest_per_key, names, only_keys
from shared.spark.history import deletes_of, history_of, unknown_member, versions
from shared.spark.inputs import changed_rows, rows_of
from shared.spark.rules import column
from shared.spark.store import Store
from shared.spec.lake import Table


class _FromLog:
    """A table and the one log it is made from."""

    def __init__(self, store: Store, table: Table, inputs: tuple[InputRead, ...]) -> None:
        if len(inputs) != 1 or inputs[0].table.load != "log":
            raise ContractError(f"{table.file}: load '{table.load}' from {table.origin}, which is not a log")
        (self._read,) = inputs
        self._store, self._table, self._log = store, table, self._read.table

    def _changed(self, key: tuple[str, ...]) -> DataFrame | None:
        changed = changed_rows(self._store, self._read)
        return None if changed is None else changed.select(*(column(name) for name in key))

    def _events(self, keys: DataFrame | None, key: tuple[str, ...]) -> DataFrame:
        """The log's rows and `_deleted`: whether they say that the thing was deleted."""
        events = marked(rows_of(self._store, self._read), self._table)
        return events if keys is None else only_keys(events, keys, key)


class HistoryOf(_FromLog):
    """`scd2`: all versions of a natural key are cut anew when one of its events came, went or changed."""

    @property
    def together(self) -> tuple[str, ...]:
        return history_of(self._table).natural_key

    def affected(self) -> DataFrame | None:
        """The unknown member's key among them: it is compared every time, and a thing that has its very key keeps apart from it."""
        changed = self._changed(self.together)
        return None if changed is None else changed.unionByName(unknown_member(self._store.spark, self._table).select(*self.together)).distinct()

    def rows(self, keys: DataFrame | None) -> DataFrame:
        known = versions(self._events(keys, self.together), self._table, self._log)
        return known.unionByName(unknown_member(self._store.spark, self._table))


class LatestOf(_FromLog):
    """`merge` from a log: the greatest event of a key by (sequence, operation, content of the event); a delete stays as a tombstone."""

    @property
    def together(self) -> tuple[str, ...]:
        return self._table.key

    def affected(self) -> DataFrame | None:
        changed = self._changed(self.together)
        return None if changed is None else changed.distinct()

    def rows(self, keys: DataFrame | None) -> DataFrame:
        if self._table.sequence is None:
            raise ContractError(f"{self._table.file}: a merge needs a sequence")
        events, kept = self._events(keys, self.together), (DELETED, *names(self._table))
        return latest_per_key(events, self._table, self._table.sequence, DELETED, content=names(self._log)).select(*kept)


def marked(events: DataFrame, table: Table) -> DataFrame:
    """Events of a log with `_deleted`, as `table`, which is made from it, understands them."""
    deleted = F.coalesce(F.expr(table.delete_when), F.lit(False)) if table.delete_when else F.lit(False)
    return events.withColumn(DELETED, deleted)


def recorded_deletes(store: Store, table: Table, log: Table, version: int) -> DataFrame:
    """When the log has a history's things deleted (`history.deletes_of`)."""
    read = InputRead(table=log, version=version, consumed=None, overlay=None)
    return deletes_of(marked(rows_of(store, read), table), table)
