"""What Glue has built in, as a generated spark-defaults.conf: jars, the s3:// scheme, the endpoint, a laptop's size. Nothing a job says itself."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from local.aws import Emulated
from local.errors import LaptopError
from local.jars import jar_files
from local.places import CACHE, SHIPPED_ONLY, spark_home

# Where Glue's `--datalake-formats` brings jars, those of the laptop are in the same class path only when it is asked for.
_FORMATS: Mapping[str, str] = {"delta": "io.delta_"}
# Its driver is 99 MB and registers XML parsers of its own for all: only a job that ships it gets it.
KEPT_OUT = "net.snowflake_"
# No job gets what Glue has not: the Spark tests alone do.
FOR_TESTS = "com.globalmentor_"

_LOG4J = """\
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.follow = true
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss} %p %c{1}: %m%n%ex
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.metrics.name = org.apache.hadoop.metrics2
logger.metrics.level = error
logger.plans.name = org.apache.spark.sql.catalyst.util.SparkStringUtils
logger.plans.level = error
logger.strings.name = org.apache.spark.util.SparkStringUtils
logger.strings.level = error
logger.window.name = org.apache.spark.sql.execution.window.WindowExec
logger.window.level = error
"""


# How a JVM that runs short jobs on few cores starts fast: the quick compiler and the small collector are enough. The quick compiler's own limit
# for code is what one job fills; when it is full, the JVM goes on interpreting. Memory it would soon take, it has from the start; one that has
# no more is of no use to another job.
SHORT_JOBS = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -Xms1g -Xmn512m -XX:MetaspaceSize=256m -XX:+ExitOnOutOfMemoryError"
)
# Where Linux gives memory in large pages to those who ask: fewer page faults, which cost most on a virtual machine.
_LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")

# Keys: a driver kept ready has each job's as properties, a process of its own in its environment.
_CREDENTIALS = ",".join(f"software.amazon.awssdk.auth.credentials.{kind}CredentialsProvider" for kind in ("SystemProperty", "EnvironmentVariable"))

# Empty: Spark puts this folder into the class path, where the class archive takes none with files.
NO_CONF = CACHE / "no-conf"

# What follows from the size of a job: a few hundred rows are one task, and a second one only costs.
SIZE: Mapping[str, str] = {
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
}


def write_conf(folder: Path, *, formats: str, aws: Emulated, warehouse: Path) -> Path:
    """Write `spark-defaults.conf` and `log4j2.properties` for jobs with these `--datalake-formats`; the folder, for `--properties-file`."""
    conf = folder / (f"conf-{formats}" if formats else "conf")
    conf.mkdir(parents=True, exist_ok=True)
    settings = _defaults(class_path(formats), aws, warehouse)
    (conf / "spark-defaults.conf").write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")
    (conf / "log4j2.properties").write_text(_LOG4J, encoding="utf-8")
    return conf


def class_path(formats: str) -> str:
    """The jars a job with these formats sees. Raises LaptopError for a format the laptop has no jars of."""
    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in _FORMATS]
    if unknown:
        raise LaptopError(f"--datalake-formats {', '.join(unknown)}: the laptop has jars for {', '.join(_FORMATS)} only; add them to local/jars.py")
    unwanted = tuple(prefix for name, prefix in _FORMATS.items() if name not in wanted)
    # This class path comes before Spark's own: what Spark brings itself must stay Spark's (its netty is newer than the AWS SDK's).
    sparks = {_artifact(jar.name) for jar in (spark_home() / "jars").glob("*.jar")}
    kept_out = (*unwanted, KEPT_OUT, FOR_TESTS)
    chosen = [jar for jar in jar_files() if _artifact(jar.name.partition("_")[2]) not in sparks and not jar.name.startswith(kept_out)]
    return os.pathsep.join(str(jar) for jar in chosen)


def _artifact(name: str) -> str:
    """`netty-common` of `netty-common-4.1.126.Final.jar`."""
    return re.split(r"-\d", name, maxsplit=1)[0]


def process_environment(*, conf: Path, aws: Emulated, scratch: Path, archive: Path | None) -> Mapping[str, str]:
    """The environment of a Spark process, but for credentials: like Glue's, it runs in UTC; nothing is inherited but the path."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME", "LANG", "SSL_CERT_FILE") if name in os.environ}
    return {
        **kept,
        **aws.place(),
        "SPARK_HOME": str(spark_home()),
        "SPARK_CONF_DIR": str(NO_CONF),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(scratch),
        "LOCAL_DIRS": str(scratch),  # what S3A buffers, rows among it
        "SPARK_SUBMIT_OPTS": java_options(conf, scratch, archive=archive),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": str(SHIPPED_ONLY),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(scratch),
        "TZ": "UTC",
    }


def java_options(conf: Path, scratch: Path, *, archive: Path | None) -> str:
    """How the JVM runs, whatever it runs."""
    return f"{short_jobs(archive)} -Djava.io.tmpdir={scratch} -Dlog4j2.configurationFile={conf / 'log4j2.properties'}"


def short_jobs(archive: Path | None) -> str:
    """How a JVM runs that ends soon: `SHORT_JOBS`, with large pages where the system has them and the class archive if there is one."""
    large = " -XX:+UseTransparentHugePages" if _LARGE_PAGES.is_file() and "[never]" not in _LARGE_PAGES.read_text(encoding="ascii") else ""
    shared = f" -XX:SharedArchiveFile={archive} -Xlog:disable -Xlog:all=error:stderr" if archive is not None and archive.is_file() else ""
    return f"{SHORT_JOBS}{large} -Xshare:auto{shared}"


def _defaults(jars: str, aws: Emulated, warehouse: Path) -> Mapping[str, str]:
    return {
        "spark.master": "local[2]",
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraClassPath": jars,
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": warehouse.as_uri(),
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.AbstractFileSystem.s3.impl": "org.apache.hadoop.fs.s3a.S3A",
        "spark.hadoop.fs.s3a.endpoint": aws.endpoint,
        "spark.hadoop.fs.s3a.aws.credentials.provider": _CREDENTIALS,
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.input.stream.type": "prefetch",  # a small file by one request
        # A few hundred rows a table: compiling and re-planning cost more than they save. Halves a job's CPU seconds.
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
        **SIZE,
    }
