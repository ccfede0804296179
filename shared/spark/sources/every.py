"""Owns choosing by kind: a table of files is read by `FileSources`, any other by its database."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from pyspark.sql import DataFrame

from shared.core.files import FileObject
from shared.core.ports import SourceClock
from shared.spark.sources.files import FileSources
from shared.spark.sources.jdbc import JdbcSources
from shared.spec.lake import Position, Table

T = TypeVar("T")


class EverySource:
    """`SourceReader` over both."""

    def __init__(self, *, databases: JdbcSources, files: FileSources) -> None:
        self._databases, self._files = databases, files

    def clock(self, table: Table) -> SourceClock:
        return self._databases.clock(table)

    def window(self, table: Table, lo: Position, hi: Position) -> DataFrame:
        return self._databases.window(table, lo, hi)

    def snapshot(self, table: Table) -> DataFrame:
        return self._databases.snapshot(table)

    def unknown_columns(self, table: Table) -> tuple[str, ...]:
        return self._of(table).unknown_columns(table)

    def by_keys(self, table: Table, keys: Sequence[tuple[str, ...]]) -> DataFrame:
        return self._databases.by_keys(table, keys)

    def null_positions(self, table: Table) -> int:
        return self._databases.null_positions(table)

    def objects(self, table: Table) -> tuple[FileObject, ...]:
        return self._files.objects(table)

    def standing(self, table: Table, objects: Sequence[FileObject]) -> tuple[FileObject, ...]:
        return self._files.standing(table, objects)

    def rows(self, table: Table, objects: Sequence[FileObject]) -> DataFrame:
        return self._files.rows(table, objects)

    def system(self, table: Table) -> str:
        return self._of(table).system(table)

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        return self._of(table).patiently(table, action)

    def _of(self, table: Table) -> FileSources | JdbcSources:
        return self._files if table.source is not None and table.source.files is not None else self._databases
