"""Owns small questions to a database: asked on the driver over one connection, without a Spark job, and answered in texts."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession

from shared.spark.sources.reader import Connection, Dialect, SourceColumn


class Asking:
    """An open connection. What the database refuses arrives as py4j's error with its java.sql.SQLException."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def row(self, query: str) -> Mapping[str, str | None]:
        """The first row of an answer, as texts by lower-case name; empty when there is none."""
        statement = self._connection.createStatement()
        try:
            answer = statement.executeQuery(query)
            described = answer.getMetaData()
            names = [str(described.getColumnLabel(i)).lower() for i in range(1, described.getColumnCount() + 1)]
            return {name: answer.getString(i) for i, name in enumerate(names, start=1)} if answer.next() else {}
        finally:
            statement.close()

    def columns(self, relation: str) -> tuple[SourceColumn, ...]:
        """Every column of a table or view, as the driver describes a query of it; no row is read.

        Spark's own description fails as a whole over one type that it does not know.
        """
        statement = self._connection.prepareStatement(f"select * from {relation} where 1 = 0")
        try:
            described = statement.getMetaData()
            return tuple(_column(described, i) for i in range(1, described.getColumnCount() + 1))
        finally:
            statement.close()


@contextmanager
def asking(spark: SparkSession, dialect: Dialect, connection: Connection) -> Iterator[Asking]:
    """Connect as Spark itself would: with its registry's driver, wherever the job's class path has it."""
    jvm: Any = spark._jvm
    registry = jvm.org.apache.spark.sql.execution.datasources.jdbc.DriverRegistry
    registry.register(dialect.driver)
    told = jvm.java.util.Properties()
    for name, value in {**dialect.properties(connection), "user": connection.username, "password": connection.password}.items():
        told.setProperty(name, value)
    opened = registry.get(dialect.driver).connect(dialect.url(connection), told)
    try:
        yield Asking(opened)
    finally:
        opened.close()


def _column(described: Any, i: int) -> SourceColumn:
    return SourceColumn(
        name=str(described.getColumnLabel(i)).lower(),
        type_name=str(described.getColumnTypeName(i)),
        jdbc_type=int(described.getColumnType(i)),
        precision=int(described.getPrecision(i)),
        scale=int(described.getScale(i)),
    )
