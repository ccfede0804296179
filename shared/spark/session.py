"""Owns the SparkSession a job works in: what it must be like, and what is set unless the job says otherwise."""

from pyspark.sql import SparkSession

from shared.core.errors import Terminal
from shared.spark.jvm import java_class

_REQUIRED = {
    "spark.sql.session.timeZone": ("UTC", "instants would shift"),
    "spark.sql.ansi.enabled": ("true", "overflows and bad casts would become NULL silently"),
}
_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
_CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_UNLESS_SET = {
    "spark.sql.shuffle.partitions": "8",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "4",
    # Delta would keep a copy of what it merges, lest it come out otherwise the second time: ours is computed already, and kept or staged.
    "spark.databricks.delta.merge.materializeSource": "none",
}
# What PySpark looks up by name whenever a column is made; the JVM looks through every jar for some of them.
_LOOKED_UP = ("org.apache.spark.sql.functions", "functions", "PythonUtils", "PythonSQLUtils", "org.apache.spark.sql.classic.SparkSession")


def spark_session(app: str) -> SparkSession:
    """The session of this process. Raises Terminal naming every setting that is not what the job needs: static ones come with the job's `--conf`."""
    spark = SparkSession.builder.appName(app).getOrCreate()
    wrong = [*_wrong_settings(spark), *_wrong_zone(spark)]
    if wrong:
        raise Terminal(f"{app}: this Spark session cannot be used: {'; '.join(wrong)}. Set them in the job's --conf")
    for key, value in _UNLESS_SET.items():
        if not _is_set(spark, key):
            spark.conf.set(key, value)
    for name in _LOOKED_UP:
        java_class(spark, name)
    return spark


def _wrong_settings(spark: SparkSession) -> list[str]:
    wrong = [
        f"{key} is {spark.conf.get(key)}, must be {value} ({why})"
        for key, (value, why) in _REQUIRED.items()
        if str(spark.conf.get(key)).lower() != value.lower()
    ]
    extensions = spark.conf.get("spark.sql.extensions", "") or ""
    if _EXTENSION not in extensions.split(","):
        wrong.append(f"spark.sql.extensions is '{extensions}', must hold {_EXTENSION}")
    catalog = spark.conf.get("spark.sql.catalog.spark_catalog", "")
    if catalog != _CATALOG:
        wrong.append(f"spark.sql.catalog.spark_catalog is '{catalog}', must be {_CATALOG}")
    return wrong


def _wrong_zone(spark: SparkSession) -> list[str]:
    zone = spark._jvm.java.util.TimeZone.getDefault().getID()  # type: ignore[union-attr]
    if zone in ("UTC", "Etc/UTC", "GMT", "Z"):
        return []
    return [f"the driver's JVM runs in {zone}, must run with -Duser.timezone=UTC (JDBC timestamps without a zone would shift)"]


def _is_set(spark: SparkSession, key: str) -> bool:
    """Whether somebody chose a value; Spark's own default does not count."""
    return bool(spark.sparkContext.getConf().contains(key))
