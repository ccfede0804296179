"""Owns keeping Spark's own log silent where rows are in clear: of a failed task, or of a driver's refusal, it writes the message with its values.

What may be told of a failure is told by `refusals.without_values`. See decisions/0025.
"""

from typing import Any

from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

# PySpark writes a failure's message down too, as soon as it becomes a Python error.
_PYSPARKS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
# From warnings on, these speak of executors and requests, never of what a task did.
_HEARD = ("org.apache.spark.scheduler.TaskSchedulerImpl", "org.apache.spark.scheduler.cluster", "org.apache.hadoop")


def silence(spark: SparkSession) -> None:
    """Switch every logger of this process off, and (where `spark.executor.syncLogLevel.enabled`) those of the executors, also of later ones."""
    silence_executors(spark)
    log4j: Any = spark._jvm.org.apache.logging.log4j  # type: ignore[union-attr]
    configurator, level = log4j.core.config.Configurator, log4j.Level
    configurator.setAllLevels("", level.OFF)  # Spark sets the root alone
    for name in _HEARD:
        configurator.setLevel(name, level.WARN)


def silence_executors(spark: SparkSession) -> None:
    """Whatever reads rows in clear repeats this before: an executor that was just registering has missed the last one."""
    spark.sparkContext.setLogLevel("OFF")
    for name in _PYSPARKS:
        PySparkLogger.getLogger(name).disabled = True
