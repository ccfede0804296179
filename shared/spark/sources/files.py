"""Owns reading tables of files: which objects there are, whether the frozen ones still stand, and their rows."""

import re
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeVar

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from shared.core.errors import ContractError, DataRejected, MissingColumn, ObjectGone, SchemaMismatch
from shared.core.files import FileObject, matching, standing, static_folder
from shared.spark.frames import names
from shared.spark.literal_rows import no_rows
from shared.spark.refusals import SPARK_FAILED
from shared.spark.sources.declared import Declared, refuse_wider
from shared.spark.sources.lines import (
    LARGEST_BYTES,
    LARGEST_COMPRESSED_BYTES,
    UNREAD,
    csv_columns,
    csv_header,
    json_columns,
    lines_of,
    literal_path,
    with_places,
)
from shared.spark.sources.objects import Objects
from shared.spark.sources.reader import server_of, unknown
from shared.spec.lake import Files, Server, Source, Table

T = TypeVar("T")
_COMPRESSED = (".gz", ".bz2", ".zst", ".lz4", ".snappy", ".deflate")
_UNREADABLE = re.compile(r"\[FAILED_READ_FILE\S*\] Encountered error while reading file (\S+?)\.(?:\s|$)")


class FileSources:
    """Files of one environment. Nothing of a listing is kept: every call looks. JSON lines declare no columns: what they hold beside the
    contract's is not told, for a key may be a value."""

    def __init__(self, *, spark: SparkSession, environment: str) -> None:
        self._spark, self._environment = spark, environment
        self._unknown: dict[str, tuple[str, ...]] = {}

    def objects(self, table: Table) -> tuple[FileObject, ...]:
        pattern = _files(table).pattern
        listed = self._objects(table).under(table, static_folder(pattern))
        wanted = matching(pattern, (item.key for item in listed))
        return tuple(item for item in listed if item.key in wanted)

    def standing(self, table: Table, objects: Sequence[FileObject]) -> tuple[FileObject, ...]:
        """Those of the frozen objects that have not changed. Raises ObjectGone naming what is no longer there."""
        same, _, gone = standing(objects, self._objects(table).etags(table, [item.key for item in objects]))
        if gone:
            raise ObjectGone(
                f"{table.name}: {', '.join(gone[:5])}{f' and {len(gone) - 5} more' if len(gone) > 5 else ''} vanished from "
                f"{self._server(table).location} after the batch was frozen. Put it back, as it was or corrected: the batch waits for it, and "
                "nothing else is lost"
            )
        return same

    def rows(self, table: Table, objects: Sequence[FileObject]) -> DataFrame:
        """The contract's columns by name (texts; of Parquet its own types) and `_unread`. One row per line that is not blank.

        Raises MissingColumn naming the object whose header lacks a required column, DataRejected for one that is too large to number its lines.
        """
        filled, self._unknown[table.name] = [item for item in objects if item.size_bytes], ()
        if not filled:
            return no_rows(self._spark, StructType([StructField(name, StringType()) for name in (*names(table), UNREAD)]))
        if self._server(table).format == "parquet":
            return self._parquet(table, filled)
        _refuse_large(table, filled)
        at = self._objects(table)
        rows = self._csv(table, filled, at) if self._server(table).format == "csv" else self._json(table, filled, at)
        return with_places(rows, {at.uri(item.key): (item.key, item.etag) for item in filled}, table)

    def unknown_columns(self, table: Table) -> tuple[str, ...]:
        return self._unknown[table.name]

    def system(self, table: Table) -> str:
        return self._server(table).name

    def patiently(self, table: Table, action: Callable[[], T]) -> T:
        """What `action` gives. Raises DataRejected for an object that is not what its name says. S3A itself waits and asks again."""
        try:
            return action()
        except SPARK_FAILED as failed:
            unreadable = _UNREADABLE.search(str(failed))
            if unreadable is None:
                raise
            raise DataRejected(
                f"{table.name}: {unreadable[1]} cannot be read as {self._server(table).format}; put a whole one in its place under the same name"
            ) from None

    def _csv(self, table: Table, objects: Sequence[FileObject], at: Objects) -> DataFrame:
        """By header: files may order their columns differently."""
        heads = at.first_lines(table, [item.key for item in objects])
        groups: dict[tuple[str, ...], list[str]] = {}
        for key, line in heads.items():
            header = csv_header(line)
            _refuse_header(table, key, header)
            groups.setdefault(header, []).append(at.path(key))
        self._unknown[table.name] = unknown(table, (name for header in groups for name in header))
        read = [csv_columns(self._lines(table, paths), header, table) for header, paths in sorted(groups.items())]
        return reduce(DataFrame.unionByName, read)

    def _json(self, table: Table, objects: Sequence[FileObject], at: Objects) -> DataFrame:
        return json_columns(self._lines(table, [at.path(item.key) for item in objects]), table)

    def _parquet(self, table: Table, objects: Sequence[FileObject]) -> DataFrame:
        at = self._objects(table)
        paths = [at.path(item.key) for item in objects]
        try:
            given = self.patiently(table, lambda: self._spark.read.option("mergeSchema", "true").parquet(*map(literal_path, paths)))
        except PySparkException as refused:
            raise SchemaMismatch(
                f"{table.name}: the objects of one batch do not have one schema ({refused.getCondition()}); write them anew, with the types of "
                f"{table.file}"
            ) from None
        _refuse_unseen(table, given, paths)
        found = {name.lower(): name for name in given.columns}
        _refuse_missing(table, f"{_files(table).pattern} under {self._server(table).location}", found)
        types = {field.name.lower(): field.dataType.simpleString() for field in given.schema.fields}
        refuse_wider(table, {name: Declared(told=kind, type=kind) for name, kind in types.items()})
        self._unknown[table.name] = unknown(table, found)
        absent = F.lit(None).cast("string")
        columns = [(F.col(f"`{found[name.lower()]}`") if name.lower() in found else absent).alias(name) for name in names(table)]
        return given.select(*columns, absent.alias(UNREAD))

    def _lines(self, table: Table, paths: Sequence[str]) -> DataFrame:
        lines = lines_of(self._spark, paths)
        _refuse_unseen(table, lines, paths)
        return lines

    def _objects(self, table: Table) -> Objects:
        location = self._server(table).location
        if location is None:
            raise ContractError(f"{table.file}: server {self._server(table).name} has no location")
        return Objects(self._spark, location)

    def _server(self, table: Table) -> Server:
        return server_of(table, self._environment)


def _files(table: Table) -> Files:
    source: Source | None = table.source
    if source is None or source.files is None:
        raise ContractError(f"{table.file}: {table.name} is not read from files")
    return source.files


def _refuse_large(table: Table, objects: Sequence[FileObject]) -> None:
    for item in objects:
        most = LARGEST_COMPRESSED_BYTES if item.key.endswith(_COMPRESSED) else LARGEST_BYTES
        if item.size_bytes > most:
            raise DataRejected(
                f"{table.name}: {item.key} has {item.size_bytes:,} bytes; text is read whole, up to {most:,}. Put smaller ones or Parquet in its "
                "place, and an object with the header alone under this name"
            )


def _refuse_header(table: Table, key: str, header: Sequence[str]) -> None:
    _refuse_missing(table, key, header)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise SchemaMismatch(f"{table.name}: {key} has column {', '.join(twice)} twice in its header; put a corrected object under the same name")


def _refuse_missing(table: Table, where: str, found: Sequence[str] | dict[str, str]) -> None:
    missing = sorted(item.name for item in table.columns if item.required and item.name.lower() not in found)
    if missing:
        # where there is no header its first row stands in its place
        there = "" if any(item.classification for item in table.columns) else f"It has {', '.join(found)}. "
        raise MissingColumn(
            f"{table.name}: {where} has no column {', '.join(missing)}, which {table.file} requires. {there}"
            "Put a corrected object under the same name, or make the column optional"
        )


def _refuse_unseen(table: Table, frame: DataFrame, paths: Sequence[str]) -> None:
    """Spark leaves out what it takes for hidden: no object may go unread in silence."""
    seen = len(frame.inputFiles())
    if seen != len(paths):
        raise DataRejected(f"{table.name}: of {len(paths)} frozen objects Spark sees {seen}; rename those whose names it takes for something else")
