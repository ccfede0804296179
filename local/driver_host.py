"""What `spark-submit` runs as a driver kept ready: one script after the other, each in a Python process of its own, in one JVM.

A script finds the JVM as `spark-submit` would give it, builds its own session there, and leaves nothing: afterwards the context is stopped and
what Spark, Delta and Hadoop keep in memory is dropped. Runs alone, with pyspark and the standard library; ends when its line closes.
"""

import json
import os
import socket
import subprocess
import sys
from typing import Any

from pyspark import SparkContext

# Where the AWS SDK of the JVM looks for what everything else has in its environment.
_PROPERTIES = {"AWS_ACCESS_KEY_ID": "aws.accessKeyId", "AWS_SECRET_ACCESS_KEY": "aws.secretAccessKey", "AWS_SESSION_TOKEN": "aws.sessionToken"}


def main() -> None:
    told = json.loads(os.environ.pop("SLUICE_DRIVER"))
    SparkContext._ensure_initialized()
    jvm: Any = SparkContext._jvm
    with socket.create_connection(("127.0.0.1", told["port"])) as line:
        line.sendall(told["token"].encode())
        for text in line.makefile():
            code = run(jvm, **json.loads(text))
            drop_state(jvm, delta=told["delta"])
            line.sendall(f"{code}\n".encode())


def sign_by(jvm: Any, keys: dict[str, str]) -> None:
    """From now on the JVM asks AWS by these keys, given as an environment has them; root's have no session token."""
    for variable, name in _PROPERTIES.items():
        if variable in keys:
            jvm.java.lang.System.setProperty(name, keys[variable])
        else:
            jvm.java.lang.System.clearProperty(name)


def run(jvm: Any, *, script: str, arguments: list[str], log: str, keys: dict[str, str]) -> int:
    """The script's exit code. Its output, and from now on the JVM's, is added to `log`; both sign their requests by `keys`, of the job's role."""
    sign_by(jvm, keys)
    stream = jvm.java.io.PrintStream(jvm.java.io.FileOutputStream(log, True), True)
    jvm.java.lang.System.setErr(stream)
    jvm.java.lang.System.setOut(stream)
    with open(log, "ab") as output:
        return subprocess.run(
            [sys.executable, script, *arguments], stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **keys}, check=False
        ).returncode


def drop_state(jvm: Any, *, delta: bool) -> None:
    """Stop the context that a script left, which ends its sessions too, forget tables and file systems, and log as the configuration says."""
    active = getattr(getattr(jvm.org.apache.spark, "SparkContext$"), "MODULE$").getActive()
    if active.isDefined():
        active.get().stop()
    if delta:
        jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    jvm.org.apache.hadoop.fs.FileSystem.closeAll()
    jvm.org.apache.logging.log4j.core.config.Configurator.reconfigure()


if __name__ == "__main__":
    main()
