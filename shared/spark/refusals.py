"""Owns what becomes of an ANSI failure inside a table's own SQL or rules: the table halts, and the message holds no value of a row."""

from collections.abc import Iterator
from contextlib import contextmanager

from pyspark.errors import ArithmeticException, ArrayIndexOutOfBoundsException, DateTimeException, NumberFormatException, SparkRuntimeException

from shared.core.errors import DataRejected
from shared.spec.lake import Table

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
