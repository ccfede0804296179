"""What Spark writes into its own log: the values of a row that failed, unless it was told to be silent."""

from dataclasses import replace

import pytest
from pyspark.logger import PySparkLogger
from pyspark.sql import functions as F
from shop import ORDERS, Shop, at, order, rule

from shared.core.errors import DataRejected
from shared.spark.refusals import SPARK_FAILED
from shared.spark.silence import silence
from shared.spec.lake import Lake

ANN = "ann@example.com"


@pytest.fixture
def pysparks(caplog):
    """What PySpark itself logs meanwhile of SQL that failed."""
    logger = PySparkLogger.getLogger("SQLQueryContextLogger")
    logger.disabled = False
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def written(spark):
    """What the JVM logs meanwhile, from warnings on, as a function; levels are as they were afterwards."""
    core = spark._jvm.org.apache.logging.log4j.core
    lines = spark._jvm.java.io.StringWriter()
    root = spark._jvm.org.apache.logging.log4j.LogManager.getContext(False).getConfiguration().getRootLogger()
    pattern = core.layout.PatternLayout.newBuilder().withPattern("%p %c %m %ex%n").build()
    appender = core.appender.WriterAppender.createAppender(pattern, None, lines, "canary", False, True)
    appender.start()
    level = root.getLevel()
    root.addAppender(appender, spark._jvm.org.apache.logging.log4j.Level.ALL, None)
    core.config.Configurator.setAllLevels("", spark._jvm.org.apache.logging.log4j.Level.WARN)
    yield lines.toString
    core.config.Configurator.setAllLevels("", level)
    root.removeAppender("canary")
    appender.stop()


def fail(spark, path):
    """Once while rows are aggregated, once while they are written."""
    rows = spark.range(2).select(F.expr(f"cast(concat('{ANN[:3]}', '{ANN[3:]}', id) AS int)").alias("n"))
    with pytest.raises(SPARK_FAILED):
        rows.agg(F.sum("n")).collect()
    with pytest.raises(SPARK_FAILED):
        rows.write.format("delta").save(str(path))


def test_spark_quotes_a_failed_row_until_it_is_silenced(spark, tmp_path, written, pysparks):
    """The executor, the scheduler, the writer and PySpark each write the message down."""
    fail(spark, tmp_path / "loud")
    loud, told = written(), pysparks.text
    pysparks.clear()

    silence(spark)
    fail(spark, tmp_path / "silent")

    assert ANN in told
    assert all(any(ANN in line and name in line for line in loud.split("\nERROR ")) for name in ("executor.Executor", "FileFormatWriter"))
    assert loud == written()
    assert "" == pysparks.text


def test_whatever_lands_rows_is_silent(spark, tmp_path, written, pysparks):
    """A condition that cannot be computed halts its table; nobody has to remember the silence."""
    numbered = replace(ORDERS, rules=(*ORDERS.rules, rule("expect_row", id="numbered", condition="cast(address AS int) > 0")))
    shop = Shop(spark, tmp_path, Lake(tables=(numbered,), environments={}))
    shop.create(numbered)

    with pytest.raises(DataRejected, match="CAST_INVALID_INPUT"):
        shop.land(1, [order(1, address=ANN)], at(0), at(1), of=numbered)

    assert "" == written()
    assert "" == pysparks.text
