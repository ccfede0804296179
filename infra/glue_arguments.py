"""What every Glue job is started with, whatever it does. The laptop's launcher reads the same arguments."""

from collections.abc import Mapping, Sequence

from infra.settings import cores, sizes
from shared.spec.environment import Environment
from shared.spec.lake import Stage

# A second guard: masking keeps its key out of plans altogether; should 64 bytes of key ever become a literal, Spark shows none of its digits.
REDACTED = "[0-9A-Fa-f]{128}"


def default_arguments(
    environment: Environment, stage: Stage, *, extra_py_files: str, log_prefix: str, extra_jars: Sequence[str] = ()
) -> Mapping[str, str]:
    """Arguments that no run changes. Names of secrets and values of any kind stay out: Glue may log arguments.

    `extra_jars` are the drivers of the lake's servers, and come before those that Glue carries itself; it brings Delta's jars.
    """
    return {
        **({"--extra-jars": ",".join(extra_jars), "--user-jars-first": "true"} if extra_jars else {}),
        "--environment": environment.name,
        "--extra-py-files": extra_py_files,
        "--datalake-formats": "delta",
        "--conf": chained(spark_conf(environment, stage)),
        "--custom-logGroup-prefix": log_prefix,
        "--enable-auto-scaling": "true",
        "--enable-continuous-cloudwatch-log": "true",
        # It writes down the messages of failed tasks, and those of ingest quote rows in clear (decisions/0025).
        "--enable-job-insights": "false" if stage == "ingest" else "true",
        "--enable-metrics": "true",
        "--enable-observability-metrics": "true",
        "--job-bookmark-option": "job-bookmark-disable",
        "--job-language": "python",
    }


def spark_conf(environment: Environment, stage: Stage) -> Mapping[str, str]:
    """Static settings, which only the command line can set, and those that follow from the size of the job."""
    at_once = str(cores(environment, stage))
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # Spark 4's own default, but a job refuses to start without it, and what Glue sets is Glue's to change.
        "spark.sql.ansi.enabled": "true",
        # Both: without the JVM's own zone, JDBC timestamps without a zone are silently wrong.
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        # S3A's own default is us-east-2.
        "spark.hadoop.fs.s3a.endpoint.region": environment.region,
        "spark.sql.redaction.string.regex": REDACTED,
        # So that errors name a line of Python, PySpark would ask the JVM a dozen times more for each step of each column.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        # When a job falls silent, its executors do too.
        "spark.executor.syncLogLevel.enabled": "true",
        "spark.sql.shuffle.partitions": at_once,
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": at_once,
        "spark.databricks.delta.snapshotPartitions": str(max(size.count for size in sizes(environment, stage))),
    }


def chained(conf: Mapping[str, str]) -> str:
    """Glue takes one `--conf`; further ones go into its value."""
    return " --conf ".join(f"{key}={value}" for key, value in conf.items())
