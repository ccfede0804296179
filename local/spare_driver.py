"""What `spark-submit` runs as a spare: builds the session the job would build, waits for one script, runs it as `__main__`, ends.

Runs alone, with pyspark and the standard library. Without a task (the line closed) it ends at once.
"""

import json
import os
import runpy
import socket
import sys
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> None:
    port, token = os.environ.pop("SLUICE_SPARE").split(":")
    session = SparkSession.builder.getOrCreate()
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


if __name__ == "__main__":
    main()
