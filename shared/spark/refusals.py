"""Owns telling Spark's failures apart: what rows make impossible halts their table, and no message holds a value of a row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from py4j.java_gateway import is_instance_of  # type: ignore[import-untyped]  # pyspark's own bridge; it ships no types
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark import SparkContext
from pyspark.errors import (
    ArithmeticException,
    ArrayIndexOutOfBoundsException,
    DateTimeException,
    NumberFormatException,
    PySparkException,
    SparkRuntimeException,
)

from shared.core.errors import DataRejected
from shared.spec.lake import Table

# pyspark turns only some of the JVM's exceptions into its own: a plain SparkException (a file that is gone) arrives as py4j's.
SPARK_FAILED = (PySparkException, Py4JJavaError)
_DATA_FAILED = (ArithmeticException, ArrayIndexOutOfBoundsException, DateTimeException, NumberFormatException, SparkRuntimeException)


@contextmanager
def halting(table: Table) -> Iterator[None]:
    """Raise DataRejected for what rows make impossible (division by zero, a cast, an overflow) while computing `table`."""
    try:
        yield
    except _DATA_FAILED as failed:
        # the message of the failure shows the value; its condition does not
        raise DataRejected(
            f"{table.name}: a row cannot be computed ({failed.getCondition()}); use try_cast, try_divide or a rule in {table.file}"
        ) from None


def without_values(failed: BaseException) -> str:
    """A failure of Spark's by class, condition and SQLSTATE, those it or the first of its causes has: its message may show a value of a row."""
    java: Any = failed.java_exception if isinstance(failed, Py4JJavaError) else getattr(failed, "_origin", None)
    kind = java.getClass().getName() if isinstance(failed, Py4JJavaError) else type(failed).__name__
    told = (failed.getCondition(), failed.getSqlState()) if isinstance(failed, PySparkException) else (None, None)
    while java is not None and not any(told):
        if is_instance_of(SparkContext._gateway, java, "org.apache.spark.SparkThrowable"):
            told = (java.getCondition(), java.getSqlState())
        java = java.getCause()
    return ", ".join((kind, *filter(None, told)))
