"""Owns silver as it is loaded from bronze: the latest state per key (`merge`), or every distinct state once (`log`), deletes among them."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shared.core.errors import ContractError, SchemaMismatch
from shared.core.layout import batch_id, table_path
from shared.core.ports import Guard, Writer, Written
from shared.spark.changes import weighed, write_changes
from shared.spark.frames import DELETED, change_set, contract_schema, latest_per_key, names, only_keys, type_differences
from shared.spark.landing import ACCEPTED
from shared.spark.rules import column
from shared.spark.store import Store
from shared.spec.lake import Table


def stored_schema(table: Table) -> StructType:
    """The columns of a table above bronze on disk. `merge` tables hold tombstones; readers filter them."""
    return contract_schema(table, front=f"{DELETED} boolean" if table.load == "merge" else "")


def live(table: Table, rows: DataFrame) -> DataFrame:
    """The rows a reader sees, in the columns it sees."""
    return rows.where(~F.col(DELETED)).drop(DELETED) if DELETED in rows.columns and table.load == "merge" else rows


class Loader:
    """One bronze table's batches into one silver table."""

    def __init__(self, store: Store, table: Table, origin: Table) -> None:
        if origin.layer != "bronze" or table.load not in ("merge", "log"):
            raise ContractError(f"{table.file}: load '{table.load}' from {origin.name} is not a load from bronze")
        if table.sequence is None or table.sequence not in names(table):
            raise ContractError(f"{table.file}: its sequence '{table.sequence}' must be one of its columns; later batches are ordered by it")
        self._store, self._table, self._origin, self._sequence = store, table, origin, table.sequence
        self._columns = ((DELETED,) if table.load == "merge" else ()) + names(table)

    def load(self, *, after_seq: int, up_to_seq: int, rebuild: bool, writer: Writer, guard: Guard) -> Written:
        """Everything of batches (after_seq, up_to_seq], or (`rebuild`) of all up to `up_to_seq` and nothing else; in one commit, or none."""
        current = self._store.read(self._table)
        differs = type_differences(current.schema, stored_schema(self._table))
        if differs and not rebuild:
            raise SchemaMismatch(f"{table_path(self._table)} does not fit {self._table.file}: {'; '.join(differs)}")
        given = self._given(0 if rebuild else after_seq, up_to_seq)
        if differs:
            wanted = self._merged(given)
            changes = change_set(wanted.limit(0), wanted, self._identity, self._columns)
        else:
            changes = self._changes(current, given, rebuild=rebuild)
        with weighed(self._table, changes, self._columns, self._identity, grouped=True) as worked:
            return write_changes(self._store, self._table, worked, writer, guard, whole=bool(differs))

    def _given(self, after_seq: int, up_to_seq: int) -> DataFrame:
        """Accepted rows of the batches, in the table's columns and types."""
        first, last = batch_id(self._origin, after_seq), batch_id(self._origin, up_to_seq)
        rows = self._store.read(self._origin).where((F.col("_batch_id") > first) & (F.col("_batch_id") <= last) & (F.col("_lane") == ACCEPTED))
        for item in self._origin.columns:  # a column the contract gained after the last batch landed
            if item.name not in rows.columns:
                rows = rows.withColumn(item.name, F.lit(None).cast(item.type))
        unknown = [name for name in names(self._table) if name not in rows.columns]
        if unknown:
            raise ContractError(f"{self._table.file}: {', '.join(unknown)} is not a column of {self._origin.name}, which it is loaded from")
        deleted = F.coalesce(F.expr(self._table.delete_when), F.lit(False)) if self._table.delete_when else F.lit(False)
        own = [column(item.name).cast(item.type).alias(item.name) for item in self._table.columns]
        return rows.select(deleted.alias(DELETED), *own).select(*self._columns)

    def _merged(self, rows: DataFrame) -> DataFrame:
        if self._table.load == "log":
            return rows.distinct()
        return latest_per_key(rows, self._table, self._sequence, DELETED, content=names(self._table)).select(*self._columns)

    def _changes(self, current: DataFrame, given: DataFrame, *, rebuild: bool) -> DataFrame:
        if rebuild:
            return change_set(current.select(*self._columns), self._merged(given), self._identity, self._columns)
        touched = only_keys(current.select(*self._columns), given, self._identity)
        return change_set(touched, self._merged(given.unionByName(touched)), self._identity, self._columns)

    @property
    def _identity(self) -> tuple[str, ...]:
        """What makes a stored row this row: its key, or in a `log` all of it."""
        return self._table.key if self._table.load == "merge" else names(self._table)
