"""Owns looking at objects through Hadoop's FileSystem: listings, ETags, first lines. S3A tells S3's ETags; elsewhere time and length stand in."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # pyspark's own bridge; it ships no types
from pyspark.sql import SparkSession

from shared.core.errors import SourceUnavailable, Terminal
from shared.core.files import FileObject
from shared.spark.jvm import java_class
from shared.spec.lake import Table

_AT_ONCE = 16  # requests
_NOT_THERE = "java.io.FileNotFoundException"
_NOT_ALLOWED = ("java.nio.file.AccessDeniedException", "org.apache.hadoop.fs.s3a.UnknownStoreException")


class Objects:
    """Objects under one location: `s3://bucket/prefix`, or a folder."""

    def __init__(self, spark: SparkSession, location: str) -> None:
        self._spark = spark
        root = self._raw_path(location if location.rstrip("/").count("/") > 2 or ":" not in location else f"{location.rstrip('/')}/")
        self._files = root.getFileSystem(spark._jsc.hadoopConfiguration())
        self._root = str(self._files.makeQualified(root).toString()).rstrip("/")

    def path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def uri(self, key: str) -> str:
        """The path as Spark's `_metadata.file_path` shows it."""
        return str(self._raw_path(self.path(key)).toUri().toString())

    def under(self, table: Table, folder: str) -> list[FileObject]:
        """Every object below a folder; none where there is no such folder."""
        where = self.path(folder).rstrip("/")
        found = []
        with asking(table, where):
            try:
                listing = self._files.listFiles(self._raw_path(where), True)
                while listing.hasNext():
                    found.append(self._object(listing.next()))
            except Py4JJavaError as failed:
                if class_of(failed) != _NOT_THERE:
                    raise
        return found

    def etags(self, table: Table, keys: Sequence[str]) -> dict[str, str]:
        """ETag by key, now, of those that are there."""
        with ThreadPoolExecutor(_AT_ONCE) as requests:
            found = requests.map(lambda key: self._status(table, key), keys)
            return {item.key: item.etag for item in found if item is not None}

    def first_lines(self, table: Table, keys: Sequence[str]) -> dict[str, str]:
        """First line by key, decompressed by the name's ending; an empty text of an empty object."""
        with ThreadPoolExecutor(_AT_ONCE) as requests:
            return dict(zip(keys, requests.map(lambda key: self._first_line(table, key), keys), strict=True))

    def _status(self, table: Table, key: str) -> FileObject | None:
        with asking(table, self.path(key)):
            try:
                return self._object(self._files.getFileStatus(self._raw_path(self.path(key))))
            except Py4JJavaError as failed:
                if class_of(failed) == _NOT_THERE:
                    return None
                raise

    def _first_line(self, table: Table, key: str) -> str:
        path = self._raw_path(self.path(key))
        codec = java_class(self._spark, "org.apache.hadoop.io.compress.CompressionCodecFactory")(self._spark._jsc.hadoopConfiguration()).getCodec(
            path
        )
        with asking(table, self.path(key)):
            stream = self._files.open(path)
            try:
                text = stream if codec is None else codec.createInputStream(stream)
                characters = java_class(self._spark, "java.io.InputStreamReader")(text, "UTF-8")
                reader = java_class(self._spark, "java.io.BufferedReader")(characters)
                return str(reader.readLine() or "")
            finally:
                stream.close()

    def _object(self, status: Any) -> FileObject:
        modified, size_bytes = int(status.getModificationTime()), int(status.getLen())
        etag = str(status.getEtag()).strip('"') if self._tells_etags(status) else f"{modified}-{size_bytes}"
        key = str(status.getPath().toString()).removeprefix(f"{self._root}/")
        return FileObject(key=key, etag=etag, size_bytes=size_bytes, modified=datetime.fromtimestamp(modified / 1000, UTC))

    def _tells_etags(self, status: Any) -> bool:
        source = java_class(self._spark, "java.lang.Class").forName("org.apache.hadoop.fs.EtagSource")
        return bool(source.isInstance(status)) and bool(status.getEtag())

    def _raw_path(self, text: str) -> Any:
        return java_class(self._spark, "org.apache.hadoop.fs.Path")(text)


@contextmanager
def asking(table: Table, where: str) -> Iterator[None]:
    """Errors of a file system in our words: refused access stops the run, anything else may pass."""
    try:
        yield
    except Py4JJavaError as failed:
        kind, said = class_of(failed), str(failed.java_exception.getMessage()).splitlines()[0]
        if kind in _NOT_ALLOWED:
            raise Terminal(
                f"{table.name}: {where} may not be read; it said: {said}. Let the ingest job's role read it, or mend {table.file}"
            ) from None
        if not _is_io(failed):
            raise
        raise SourceUnavailable(f"{table.name}: {where} did not answer; it said: {said}") from None


def class_of(failed: Py4JJavaError) -> str:
    return str(failed.java_exception.getClass().getName())


def _is_io(failed: Py4JJavaError) -> bool:
    kind = failed.java_exception.getClass()
    while kind is not None:
        if kind.getName() == "java.io.IOException":
            return True
        kind = kind.getSuperclass()
    return False
