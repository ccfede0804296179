"""One Spark session for all Spark tests, with the confs a Glue job gets and the jars the laptop keeps."""

import os
import shutil

import pytest
from pyspark.sql import SparkSession
from servers import fakesnow_server, postgres_server

from local.class_archive import archive_file
from local.jars import jar_files
from local.spark_conf import FOR_TESTS, KEPT_OUT, NO_CONF, class_path, short_jobs
from shared.spark.session import spark_session

# Tables lie in folders, and Hadoop without its native library starts a process to set a file's permissions and one to look whether it is a link:
# some three hundred in a test of gold. These do it in Java.
_IN_FOLDERS = {
    "spark.hadoop.fs.file.impl": "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem",
    "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
    "spark.sql.streaming.checkpointFileManagerClass": "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager",
}
# One JVM for all tests is worth the optimizing compiler. Its thresholds are meant for processes that run for days: four times as high, they spare a
# twelfth of the processor time at the same wall time.
_LATER = {"InvocationThreshold": 20_000, "MinInvocationThreshold": 2_400, "CompileThreshold": 60_000, "BackEdgeThreshold": 160_000}
_LONG = "-XX:TieredStopAtLevel=4 " + " ".join(f"-XX:Tier4{name}={count}" for name, count in _LATER.items())


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    shipped, in_folders = ([jar for jar in jar_files() if jar.name.startswith(start)] for start in (KEPT_OUT, FOR_TESTS))
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_CONF_DIR"] = str(NO_CONF)  # the class archive is of this class path, and allows for more at its end
    os.environ["SPARK_DIST_CLASSPATH"] = os.pathsep.join(map(str, in_folders))
    scratch = tmp_path_factory.mktemp("spark")
    builder = (
        SparkSession.builder.master("local[2]")
        .config("spark.driver.extraClassPath", class_path("delta"))
        .config("spark.jars", ",".join(map(str, shipped)))
        .config(map=_IN_FOLDERS)
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        .config("spark.driver.extraJavaOptions", f"-Duser.timezone=UTC -Dderby.system.home={scratch} {short_jobs(archive_file())} {_LONG}")
        .config("spark.driver.memory", "1500m")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.codegen.wholeStage", "false")  # few rows: compiling costs more than it saves
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.default.parallelism", "2")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        .config("spark.sql.files.minPartitionNum", "1")
        .config("spark.sql.leafNodeDefaultParallelism", "1")
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .config("spark.local.dir", str(scratch / "local"))
        .config("spark.ui.enabled", "false")
        .config("spark.sql.ui.retainedExecutions", "1")  # nobody looks, and what is kept is collected again and again
        .config("spark.ui.retainedTasks", "1")
        .config("spark.ui.retainedStages", "1")
        .config("spark.ui.retainedJobs", "1")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
    )
    builder.getOrCreate()
    session = spark_session("tests")
    yield session
    session.stop()
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres():
    """The port of one PostgreSQL for all tests; each module makes and drops its own tables in the schema `sales`."""
    with postgres_server() as port:
        yield port


@pytest.fixture(scope="session")
def fakesnow():
    """The port of one fakesnow for all tests."""
    with fakesnow_server() as port:
        yield port
