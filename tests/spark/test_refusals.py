"""What is told of a failure of Spark's: enough to look it up, no value of a row."""

import pytest
from shop import FACT

import shared.job
from shared.core.errors import DataRejected
from shared.spark.refusals import SPARK_FAILED, halting, without_values


def failing(spark):
    spark.sql("SELECT cast(v AS int) FROM VALUES ('ann@example.com') AS t(v)").collect()


def test_a_failure_is_told_by_class_condition_and_sqlstate(spark):
    """The message of the failure shows the value; these three do not."""
    with pytest.raises(SPARK_FAILED) as failed:
        failing(spark)

    assert "ann@example.com" in str(failed.value)
    assert "NumberFormatException, CAST_INVALID_INPUT, 22018" == without_values(failed.value)


def test_a_failure_that_only_the_jvm_has_a_class_for_is_told_by_its_cause(spark, tmp_path):
    """A file that is gone arrives as the JVM's own exception; the condition stands on it or on what caused it."""
    spark.range(1).coalesce(1).write.parquet(str(tmp_path / "gone"))
    rows = spark.read.parquet(str(tmp_path / "gone"))
    for file in (tmp_path / "gone").glob("part-*"):
        file.unlink()

    with pytest.raises(SPARK_FAILED) as failed:
        rows.collect()

    assert "FAILED_READ_FILE.FILE_NOT_EXIST" in without_values(failed.value)
    assert str(tmp_path) not in without_values(failed.value)


def test_a_table_is_halted_by_the_condition_alone(spark):
    """Inside the computing of a table, what rows make impossible halts that table and nothing else."""
    with pytest.raises(DataRejected, match=r"gold\.fact: a row cannot be computed \(CAST_INVALID_INPUT\)") as refused, halting(FACT):
        failing(spark)

    assert "ann@" not in str(refused.value)


def test_a_job_that_spark_fails_ends_without_the_message(spark, monkeypatch):
    """Glue's ErrorMessage is the last line of standard error: it goes into the alert and the report."""
    monkeypatch.setattr(shared.job, "job_context", lambda stage, argv: spark)

    with pytest.raises(SystemExit) as ended:
        shared.job.run_job("refine", failing)

    assert "Spark failed: NumberFormatException, CAST_INVALID_INPUT, 22018" == ended.value.code
    assert ended.value.__suppress_context__
