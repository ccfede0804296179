"""Owns computed tables: take what their recipe gives for the keys that may have changed, compare with the table, and say what changes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from pyspark.sql import DataFrame

from shared.core.errors import ContractError
from shared.core.ports import InputRead
from shared.spark.binding import bind, mentioned
from shared.spark.changes import Changes, weighed
from shared.spark.frames import change_set, only_keys, to_contract
from shared.spark.from_log import HistoryOf, LatestOf
from shared.spark.inputs import as_stored, changed_rows, computed_keys, rows_of
from shared.spark.literal_rows import no_rows
from shared.spark.rules import column
from shared.spark.silver import stored_schema
from shared.spark.store import Store
from shared.spec.lake import Table


class Recipe(Protocol):
    """How a table's rows come out of its inputs. Rows that agree in the columns `together` are computed together, or not at all."""

    @property
    def together(self) -> tuple[str, ...]: ...

    def affected(self) -> DataFrame | None:
        """The values of `together` whose rows may have changed, each once; None where that cannot be told."""

    def rows(self, keys: DataFrame | None) -> DataFrame:
        """The table's rows, as they are stored, for these values of `together` (None: all)."""


@contextmanager
def changes_of(store: Store, table: Table, inputs: tuple[InputRead, ...], target: DataFrame | None, *, rebuild: bool) -> Iterator[Changes]:
    """The weighed change set against `target` (None: an empty table). With `rebuild`, or where no feed can tell, every key is compared."""
    recipe, schema = _recipe(store, table, inputs), stored_schema(table)
    old = as_stored(target, table, schema) if target is not None else no_rows(store.spark, schema)
    with computed_keys(None if rebuild else recipe.affected(), table) as keys:
        if keys is not None:
            old = only_keys(old, keys, recipe.together)
        columns = tuple(schema.names)
        with weighed(table, change_set(old, recipe.rows(keys), table.key, columns), columns, table.key) as worked:
            yield worked


def _recipe(store: Store, table: Table, inputs: tuple[InputRead, ...]) -> Recipe:
    if table.load == "scd2":
        return HistoryOf(store, table, inputs)
    return LatestOf(store, table, inputs) if table.load == "merge" else Derivation(store, table, inputs)


class Derivation:
    """A table made by its SQL."""

    def __init__(self, store: Store, table: Table, inputs: tuple[InputRead, ...]) -> None:
        if table.sql is None:
            raise ContractError(f"{table.file}: {table.name} has no SQL; put it beside the contract")
        self._store, self._table, self._inputs, self._sql = store, table, inputs, table.sql

    @property
    def together(self) -> tuple[str, ...]:
        return self._table.key

    def affected(self) -> DataFrame | None:
        """By `.affected.sql`, or the keys of all changed rows; a `replace` table is always compared whole."""
        if self._table.load != "derive":
            return None
        names_by_feed = {f"changed.{read.table.name}": read for read in self._inputs}
        sql, key = self._table.affected_sql, self._table.key
        wanted = mentioned(sql, names_by_feed) if sql else set(names_by_feed)
        feeds: dict[str, DataFrame] = {}
        for name in sorted(wanted):
            feed = changed_rows(self._store, names_by_feed[name])
            if feed is None:
                return None
            feeds[name] = feed
        file = f"{self._table.file} (affected)"
        keys = bind(self._store.spark, sql, self._plain() | feeds, file=file) if sql else _keys_of(feeds, self._table)
        if {name.lower() for name in keys.columns} != {name.lower() for name in key}:
            raise ContractError(f"{self._table.file}: its affected SQL gives {', '.join(keys.columns)}; it must give the key, {', '.join(key)}")
        return keys.select(*(column(name) for name in key)).distinct()

    def rows(self, keys: DataFrame | None) -> DataFrame:
        new = to_contract(bind(self._store.spark, self._sql, self._plain(), file=self._table.file), self._table)
        return new if keys is None else only_keys(new, keys, self._table.key)

    def _plain(self) -> dict[str, DataFrame]:
        return {read.table.name: rows_of(self._store, read) for read in self._inputs}


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
