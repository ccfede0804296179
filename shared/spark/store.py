"""The only module that touches paths: Delta tables with our commit metadata, staged Parquet, JSON rejects. It decides nothing.

Spark keeps the metadata of MERGE, RESTORE and ALTER in a setting of the session, so each of those commits has a session of its own.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from shared.core.errors import BadState
from shared.core.layout import table_path
from shared.core.messages import CommitMeta
from shared.core.ports import Guard
from shared.spark.frames import CHANGE
from shared.spark.jvm import java_class
from shared.spark.literal_rows import no_rows
from shared.spec.codec import to_json
from shared.spec.lake import Table

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_ROWS_PER_FILE = 2_000_000
_PROPERTIES = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    # Delta forgets commits after 30 days by itself, but a table that a halt held back for longer goes on from the one that was certified.
    "delta.logRetentionDuration": "interval 3650 days",
}


class Store:
    """Delta tables and files under one root: `s3://bucket`, or a folder."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark, self.root = spark, root.rstrip("/")

    def path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def table(self, table: Table) -> str:
        return self.path(table_path(table))

    # ---- Delta, reading

    def latest(self, table: Table) -> int | None:
        """Latest version; None when there is no table."""
        version = int(self._log(table).update(False, _none(self.spark), _none(self.spark)).version())
        return None if version < 0 else version

    def read(self, table: Table, version: int | None = None) -> DataFrame:
        """All rows and columns at a version, or at the latest."""
        reader = self.spark.read.format("delta")
        return (reader if version is None else reader.option("versionAsOf", version)).load(self.table(table))

    def feed(self, table: Table, first: int, last: int) -> DataFrame:
        """The change data feed of versions [first, last]: rows before and after."""
        reader = self.spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", first).option("endingVersion", last)
        return reader.load(self.table(table)).drop("_change_type", "_commit_version", "_commit_timestamp")

    # ---- Delta, writing. Every method calls the guard last, commits once, and answers the version it made.

    def create(self, table: Table, schema: StructType, partitions: Sequence[str], meta: CommitMeta, guard: Guard) -> int:
        """An empty table. Raises BadState when there is one."""
        if self.latest(table) is not None:
            raise BadState(f"{table.name} is to be created and there is a table at {table_path(table)} already")
        empty = no_rows(self.spark, schema)
        feed = "false" if table.layer == "bronze" else "true"
        options = _PROPERTIES | {"delta.enableChangeDataFeed": feed, "userMetadata": _text(meta)}
        guard()
        empty.write.format("delta").mode("errorifexists").options(**options).partitionBy(*partitions).save(self.table(table))
        return self._made(table, meta)

    def replace(self, table: Table, rows: DataFrame, count: int, condition: str, meta: CommitMeta, guard: Guard) -> int:
        """Put `rows` in the place of those that meet `condition`; repeating it leaves one copy. New columns are added, and types widened where
        that is allowed."""
        sized = rows.coalesce(_files(count))
        guard()
        writer = sized.write.format("delta").mode("overwrite").option("replaceWhere", condition).option("mergeSchema", "true")
        writer.option("userMetadata", _text(meta)).save(self.table(table))
        return self._made(table, meta)

    def allow_widening(self, table: Table, meta: CommitMeta, guard: Guard) -> None:
        """Let later writes widen the types of columns; files that are there stay. Delta's own feature, which other readers may not know."""
        session = self._session_with(meta)
        guard()
        session.sql(f"ALTER TABLE delta.`{self.table(table)}` SET TBLPROPERTIES ('delta.enableTypeWidening' = 'true')")
        self._made(table, meta)

    def add_columns(self, table: Table, schema: StructType, meta: CommitMeta, guard: Guard) -> int:
        """Give a table the columns of `schema` that it lacks, NULL in every row, and no row. Where it lacks none Delta commits nothing."""
        rows = no_rows(self.spark, schema)
        guard()
        rows.write.format("delta").mode("append").option("mergeSchema", "true").option("userMetadata", _text(meta)).save(self.table(table))
        return self._made(table, meta)

    def overwrite(self, table: Table, rows: DataFrame, count: int, partitions: Sequence[str], meta: CommitMeta, guard: Guard) -> int:
        """Replace content and schema. Repeating it commits again."""
        sized = rows.coalesce(_files(count))
        guard()
        writer = sized.write.format("delta").mode("overwrite").option("overwriteSchema", "true").partitionBy(*partitions)
        writer.option("userMetadata", _text(meta)).save(self.table(table))
        return self._made(table, meta)

    def merge(
        self, table: Table, changes: DataFrame, key: Sequence[str], columns: Sequence[str], meta: CommitMeta, guard: Guard, *, evolve: bool = False
    ) -> int:
        """Apply `_change` (insert, update, delete) rows by key in one MERGE. Repeating it gives the same content and another version.

        `changes` must hold a key once, and at least one row. `evolve` adds columns the table lacks.
        """
        target = DeltaTable.forPath(self._session_with(meta), self.table(table)).alias("t")
        same = " AND ".join(f"t.`{name}` <=> s.`{name}`" for name in key)
        values = {f"`{name}`": f"s.`{name}`" for name in columns}
        merge = target.merge(changes.alias("s"), same)
        if evolve:
            merge = merge.withSchemaEvolution()
        merge = merge.whenMatchedDelete(condition=f"s.{CHANGE} = 'delete'").whenMatchedUpdate(set=values)  # type: ignore[arg-type]
        merge = merge.whenNotMatchedInsert(condition=f"s.{CHANGE} <> 'delete'", values=values)  # type: ignore[arg-type]
        guard()
        merge.execute()
        return self._made(table, meta)

    def restore(self, table: Table, version: int, meta: CommitMeta, guard: Guard) -> int:
        """Make the content of `version` the latest. Repeating it at that very version commits nothing."""
        target = DeltaTable.forPath(self._session_with(meta), self.table(table))
        guard()
        target.restoreToVersion(version)
        return self._known(table)

    # ---- files

    def write_parquet(self, rows: DataFrame, count: int, key: str) -> None:
        """Files of a folder of their own; repeating it replaces them. Of no rows Spark is not asked, and the folder says only that it is whole."""
        if count:
            rows.coalesce(_files(count)).write.mode("overwrite").parquet(self.path(key))
            return
        files = self._files(self.path(key))
        files.delete(_hadoop_path(self.spark, self.path(key)), True)
        files.create(_hadoop_path(self.spark, f"{self.path(key)}/_SUCCESS"), True).close()

    def read_parquet(self, key: str, schema: StructType) -> DataFrame:
        return self.spark.read.schema(schema).parquet(self.path(key))

    def replace_lines(self, lines: DataFrame | None, count: int, prefix: str, stem: str) -> None:
        """Make the files `<prefix>/<stem>-*.json` hold exactly `lines` (one string column; None: be gone), beside other stems' files in the same
        folder.

        They are written to a folder of their own first and then moved, so that a reader finds whole files. A process killed between
        removing the old files and moving the new ones leaves fewer files than it should: repeating the call mends that.
        """
        folder, draft = self.path(prefix), self.path(f"{prefix}/_draft-{stem}")
        files = self._files(folder)
        if lines is not None:
            lines.coalesce(_files(count)).write.mode("overwrite").text(draft)
        for old in _glob(files, self.spark, f"{folder}/{stem}-*.json"):
            files.delete(old, False)
        for position, part in enumerate(_glob(files, self.spark, f"{draft}/part-*")):
            target = _hadoop_path(self.spark, f"{folder}/{stem}-part-{position:05d}.json")
            if not files.rename(part, target):
                raise BadState(f"{prefix}/{stem}-part-{position:05d}.json could not be written; run again")
        files.delete(_hadoop_path(self.spark, draft), True)

    # ---- private

    def _log(self, table: Table) -> Any:
        return java_class(self.spark, "org.apache.spark.sql.delta.DeltaLog").forTable(self.spark._jsparkSession, self.table(table))

    def _known(self, table: Table) -> int:
        version = self.latest(table)
        if version is None:
            raise BadState(f"there is no table at {table_path(table)}")
        return version

    def _made(self, table: Table, meta: CommitMeta) -> int:
        """The version that carries `meta`. Raises BadState when the latest commit is another's: two writers were at work."""
        version = self._known(table)
        found = _user_metadata(self._commit_lines(table, version))
        if found != _text(meta):
            raise BadState(f"{table.name}: version {version} is not the commit just made; another writer is at work on {table_path(table)}")
        return version

    def _commit_lines(self, table: Table, version: int) -> str:
        where = f"{self.table(table)}/_delta_log/{version:020d}.json"
        stream = self._files(where).open(_hadoop_path(self.spark, where))
        try:
            return str(java_class(self.spark, "org.apache.commons.io.IOUtils").toString(stream, "UTF-8"))
        finally:
            stream.close()

    def _files(self, path: str) -> Any:
        return _hadoop_path(self.spark, path).getFileSystem(self.spark._jsc.hadoopConfiguration())

    def _session_with(self, meta: CommitMeta) -> SparkSession:
        """A session like ours, whose every commit carries `meta`."""
        session = SparkSession(self.spark.sparkContext, self.spark._jsparkSession.cloneSession())
        session.conf.set(_USER_METADATA, _text(meta))
        return session


def _none(spark: SparkSession) -> Any:
    return java_class(spark, "scala.Option").empty()


def _hadoop_path(spark: SparkSession, path: str) -> Any:
    return java_class(spark, "org.apache.hadoop.fs.Path")(path)


def _glob(files: Any, spark: SparkSession, pattern: str) -> list[Any]:
    return sorted((status.getPath() for status in files.globStatus(_hadoop_path(spark, pattern)) or []), key=str)


def _text(meta: CommitMeta) -> str:
    return json.dumps(to_json(meta), sort_keys=True, ensure_ascii=False)


def _user_metadata(lines: str) -> str | None:
    actions: Iterator[Mapping[str, Any]] = (json.loads(line) for line in lines.splitlines() if line)
    return next((action["commitInfo"].get("userMetadata") for action in actions if "commitInfo" in action), None)


def _files(count: int) -> int:
    return 1 + count // _ROWS_PER_FILE


def lines_of(rows: DataFrame, originals: str, texts: Mapping[str, str], reasons: str) -> DataFrame:
    """One JSON text per row: reasons, the masked original as an object, and `texts` (name -> column)."""
    original = F.from_json(F.col(originals), "map<string,string>")
    fields = [F.col(reasons).alias("reasons"), original.alias("original"), *(F.col(column).alias(name) for name, column in texts.items())]
    return rows.select(F.to_json(F.struct(*fields), {"ignoreNullFields": "false"}).alias("value"))
