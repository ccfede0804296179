"""What `spark-submit` runs as a spare: builds the session the job would build, warms it, waits for one script, runs it as `__main__`, ends.

Warm means that the JVM has loaded and compiled what every job uses: a small Delta table in a bucket of the laptop's own is written, merged and read.
Runs alone, with pyspark and the standard library. Without a task (the line closed) it ends at once.
"""

import json
import os
import runpy
import socket
import sys
from pathlib import Path

from delta.tables import DeltaTable
from pyspark import StorageLevel
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main() -> None:
    port, token, folder = os.environ.pop("SLUICE_SPARE").split(":", 2)
    session = SparkSession.builder.getOrCreate()
    if folder:
        warm(session, folder)
    with socket.create_connection(("127.0.0.1", int(port))) as line:
        line.sendall(token.encode())
        text = line.makefile().readline()
    if not text:
        session.stop()
        return
    task = json.loads(text)
    sys.argv = [task["script"], *task["arguments"]]
    sys.path[0] = str(Path(task["script"]).parent)
    del session, text
    runpy.run_path(task["script"], run_name="__main__")


def warm(session: SparkSession, folder: str) -> None:
    """Leaves nothing: no view, no setting, no cached frame, no file."""
    wide = [F.sha2(F.concat_ws("|", "id", F.lit(part)), 256).alias(f"c{part}") for part in range(6)]
    session.range(64).select("id", *wide).write.format("delta").mode("overwrite").option("delta.enableChangeDataFeed", "true").save(folder)
    rows = session.read.format("delta").load(folder).persist(StorageLevel.DISK_ONLY)
    rows.agg(F.count_if(F.col("c1").rlike("^a")), F.sum(F.xxhash64("c2").cast("decimal(38,0)")), F.max("c3")).first()
    changed = rows.join(rows.groupBy("id").agg(F.max_by("c4", "c5").alias("c4")), "id", "left_semi").where("id % 3 = 0").withColumn("c1", F.lit("b"))
    merge = DeltaTable.forPath(session, folder).alias("t").merge(changed.alias("s"), "t.id <=> s.id")
    merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
    rows.unpersist()
    session.read.format("delta").option("readChangeFeed", "true").option("startingVersion", 1).load(folder).count()
    path = session._jvm.org.apache.hadoop.fs.Path(folder)  # type: ignore[union-attr]
    path.getFileSystem(session._jsc.hadoopConfiguration()).delete(path, True)


if __name__ == "__main__":
    main()
