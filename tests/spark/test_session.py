"""The session a job refuses to work in, and the row ids that tell rows apart."""

import pytest
from pyspark.sql import functions as F

from shared.core.errors import Terminal
from shared.spark.digests import row_digest
from shared.spark.session import spark_session


def test_a_session_that_would_shift_or_hide_values_is_refused(spark):
    """All that is wrong at once, each with why."""
    spark.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    spark.conf.set("spark.sql.ansi.enabled", "false")
    try:
        with pytest.raises(Terminal, match=r"timeZone is Europe/Berlin, must be UTC.*ansi.enabled is false") as refused:
            spark_session("job")
    finally:
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        spark.conf.set("spark.sql.ansi.enabled", "true")

    assert "--conf" in str(refused.value)


def test_a_laptops_configuration_has_no_defaults_of_what_runs_no_spark_job(spark):
    """Each scan and write serializes all of it: a thousand entries with YARN's and MapReduce's, and S3A's own are needed."""
    carried = spark._jvm.org.apache.hadoop.mapred.JobConf(spark.sparkContext._jsc.hadoopConfiguration())  # whose class asks for them

    assert carried.get("yarn.resourcemanager.address") is None
    assert carried.get("mapreduce.job.reduces") is None
    assert carried.get("fs.s3a.multipart.size") == "64M"
    assert carried.size() < 500


def test_row_ids_tell_every_difference_apart(spark):
    """NULL is not the empty text, a value does not slip into its neighbour, the order of columns does not matter."""
    values = [(None, None), ("", None), (None, ""), ("a", "b"), ("ab", ""), ("", "ab"), ("a;y=1:b", None), ("a", "1:b")]
    frame = spark.createDataFrame(values, "x string, y string")

    ids = [row[0] for row in frame.select(row_digest(frame, ["x", "y"])).collect()]
    turned = [row[0] for row in frame.select("y", "x").select(row_digest(frame, ["y", "x"])).collect()]
    wider = frame.withColumn("z", F.lit(None).cast("int"))

    assert len(set(ids)) == len(values)
    assert turned == ids
    assert [row[0] for row in wider.select(row_digest(wider, ["x", "y", "z"])).collect()] == ids
