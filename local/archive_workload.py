"""What `local.class_archive` runs once, so that the JVM remembers the classes of a job: a session, Delta's write, merge and read, S3A of one object.

Runs alone, under `spark-submit`; its one argument is a scratch folder.
"""

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

_OBJECT = "/rows"


class OneObject(BaseHTTPRequestHandler):
    """An S3 that has one object and takes every one."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b"rows" if self.path.endswith(_OBJECT) else b""
        self.send_response(200 if content or self.command in ("PUT", "POST") else 404)
        self.send_header("ETag", '"0"')
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        return


def main(scratch: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), OneObject)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    spark = SparkSession.builder.getOrCreate()
    delta_work(spark, str(scratch / "table"))
    s3a_work(spark, f"http://127.0.0.1:{server.server_address[1]}")


def delta_work(spark: SparkSession, table: str) -> None:
    rows = spark.range(100).select("id", F.col("id").cast("decimal(12,2)").alias("v"), F.sha2(F.col("id").cast("string"), 256).alias("s"))
    rows.write.format("delta").partitionBy("v").save(table + "-parts")
    rows.write.format("delta").option("delta.enableChangeDataFeed", "true").save(table)
    spark.range(50, 150).select("id", F.lit(1).cast("decimal(12,2)").alias("v"), F.lit("x").alias("s")).createOrReplaceTempView("changes")
    merge = f"merge into delta.`{table}` t using changes c on t.id = c.id"
    spark.sql(f"{merge} when matched then update set * when not matched then insert *")
    stored = spark.read.format("delta").load(table)
    stored.groupBy("s").agg(F.count("*"), F.max_by("v", "id"), F.count_if(F.col("s").rlike("^a"))).collect()
    kept = stored.join(stored.where("id < 9").select(F.col("id").alias("i")), F.expr("id <=> i"), "left_semi")
    kept = kept.localCheckpoint(eager=False, storageLevel=StorageLevel.DISK_ONLY_2)
    kept.coalesce(1).write.mode("overwrite").parquet(table + "-files")
    DeltaTable.forPath(spark, table).alias("t").merge(kept.alias("s"), "t.id <=> s.id").whenMatchedDelete().execute()
    spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 1).load(table).count()


def s3a_work(spark: SparkSession, endpoint: str) -> None:
    context: Any = spark.sparkContext
    jvm, conf = context._jvm, context._jsc.hadoopConfiguration()
    conf.set("fs.s3a.endpoint", endpoint)
    path = jvm.org.apache.hadoop.fs.Path("s3://nobody/some/key")
    files = path.getFileSystem(conf)
    try:
        files.exists(path)
        read = files.open(jvm.org.apache.hadoop.fs.Path(f"s3://nobody{_OBJECT}"))
        read.read()
        read.close()
        written = files.create(path)
        written.write(1)
        written.close()
    except Py4JJavaError:  # whatever S3A thinks of the answers: its classes are loaded
        return


if __name__ == "__main__":
    main(Path(sys.argv[1]))
