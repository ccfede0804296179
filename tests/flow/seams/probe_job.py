"""A job that says where it woke up: writes a Delta table and, as JSON, what it saw."""

import importlib
import importlib.util
import json
import sys

import boto3
from botocore.exceptions import ClientError
from probe_library import GREETING
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

arguments = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
spark = SparkSession.builder.getOrCreate()
table = arguments["--table"]
spark.range(3).write.format("delta").mode("overwrite").save(table)
jvm = spark.sparkContext._jvm
volatile = ("spark.app.", "spark.driver.port", "spark.repl", "spark.submit.pyFiles", "spark.files")


def refused(act, error, words):
    """Whether the job's role may not do this."""
    try:
        act()
    except error as refusal:
        return words in str(refusal)
    return False


forbidden, key = arguments["--forbidden"], "s3://{}/it".format(arguments["--forbidden"])
files = jvm.org.apache.hadoop.fs.Path(key)
seen = {
    "role": boto3.client("sts").get_caller_identity()["Arn"].split(":assumed-role/")[1],
    "python_refused": refused(lambda: boto3.client("s3").get_object(Bucket=forbidden, Key="it"), ClientError, "AccessDenied"),
    "jvm_refused": refused(lambda: files.getFileSystem(spark._jsc.hadoopConfiguration()).open(files).read(), Py4JJavaError, "AccessDenied"),
    "greeting": GREETING,
    "rows": spark.read.format("delta").load(table).count(),
    "arguments": {name: value for name, value in arguments.items() if name not in ("--JOB_RUN_ID", "--table")},
    "has_run_id": arguments["--JOB_RUN_ID"].startswith("jr_"),
    "sees_checkout": importlib.util.find_spec("compiler") is not None,
    "name": __name__,
    "script_folder_first": sys.path[0] == str(__file__).rsplit("/", 1)[0],
    "argv0": sys.argv[0] == __file__,
    "process": jvm.java.lang.ProcessHandle.current().pid(),
    "zone": jvm.java.util.TimeZone.getDefault().getID(),
    "now": spark.sql("select current_timezone()").first()[0],
    "conf": dict(sorted((k, v) for k, v in spark.sparkContext.getConf().getAll() if not k.startswith(volatile))),
    "session": dict(sorted((row["key"], row["value"]) for row in spark.sql("set").collect() if not row["key"].startswith(volatile))),
    "views": [row["tableName"] for row in spark.sql("show tables").collect()],
    "workers": spark.createDataFrame([(1,)], "n int").rdd.map(lambda _row: importlib.import_module("probe_library").GREETING).collect(),
}
bucket, _, key = arguments["--answer"].removeprefix("s3://").partition("/")
boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=json.dumps(seen).encode())
