"""Owns small frames made of values at hand. They are local relations of the JVM: `createDataFrame` of a list would start Python workers for them."""

from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from shared.spark.jvm import java_class


def literal_rows(spark: SparkSession, rows: Sequence[Sequence[Any]], schema: StructType) -> DataFrame:
    """A frame of these rows; their values (str, int, bytes, None, …) must be what the JVM takes for the schema. In no plan are the values shown."""
    array_list, row_factory = java_class(spark, "java.util.ArrayList"), java_class(spark, "org.apache.spark.sql.RowFactory")
    values = array_list()
    for row in rows:
        fields = array_list()
        for value in row:
            fields.add(value)
        values.add(row_factory.create(fields.toArray()))
    columns = java_class(spark, "org.apache.spark.sql.types.DataType").fromJson(schema.json())
    return DataFrame(spark._jsparkSession.createDataFrame(values, columns), spark)


def no_rows(spark: SparkSession, schema: StructType) -> DataFrame:
    """An empty frame with these columns."""
    return literal_rows(spark, (), schema)
