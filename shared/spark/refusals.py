"""Owns telling Spark's failures apart: what rows make impossible halts their table, and no message holds a value of a row."""

from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # pyspark's own bridge; it ships no types
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
