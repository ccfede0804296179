"""Owns `.cache/spark-*.jsa`: the JVM's archive of a job's classes, a third of its processor time. Made at set-up; jobs run without it too."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local.aws import Emulated
from local.errors import LaptopError
from local.jars import stamp
from local.places import CACHE, spark_home
from local.spark_conf import java_options, process_environment, write_conf

_TIMEOUT_S = 600
_WORKLOAD = "archive_workload.py"
LOG = CACHE / "spark-archive.log"
_CONF = (
    "spark.sql.extensions=io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog=org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.hadoop.fs.s3a.endpoint.region=us-east-1",
)


def archive_file() -> Path:
    """Where the archive of today's pins, code and this checkout's place lies, made or not: it holds the class path's very paths."""
    identity = hashlib.sha256("\n".join([str(CACHE), str(spark_home()), stamp()]).encode())
    for name in (_WORKLOAD, "spark_conf.py"):
        identity.update(Path(__file__).with_name(name).read_bytes())
    return CACHE / f"spark-{identity.hexdigest()[:16]}.jsa"


def make_archive() -> bool:
    """Make the archive if it is not there; whether anything had to be done. Raises LaptopError naming the log."""
    archive = archive_file()
    if archive.is_file():
        return False
    for former in CACHE.glob("spark-*.jsa"):
        former.unlink()
    nowhere = Emulated(endpoint="http://127.0.0.1:9", account="000000000000", region="us-east-1")
    scratch = Path(tempfile.mkdtemp(prefix="sluice-archive-"))
    conf = write_conf(scratch, formats="delta", aws=nowhere, warehouse=scratch / "warehouse")
    environment = {**process_environment(conf=conf, aws=nowhere, scratch=scratch, archive=None), **nowhere.root.environment()}
    partial = scratch / "spark.jsa"
    environment["SPARK_SUBMIT_OPTS"] = java_options(conf, scratch, archive=None) + f" -XX:ArchiveClassesAtExit={partial}"
    command = [str(spark_home() / "bin" / "spark-submit"), "--properties-file", str(conf / "spark-defaults.conf")]
    command += [part for setting in _CONF for part in ("--conf", setting)]
    with LOG.open("wb") as log:
        workload = str(Path(__file__).with_name(_WORKLOAD))
        done = subprocess.run(
            [*command, workload, str(scratch)], env=environment, stdout=log, stderr=subprocess.STDOUT, timeout=_TIMEOUT_S, check=False
        )
    if done.returncode or not partial.is_file():
        raise LaptopError(f"{LOG}: Spark did not run here (exit {done.returncode}); the log says why")
    shutil.copyfile(partial, archive.with_suffix(".partial"))
    os.replace(archive.with_suffix(".partial"), archive)
    shutil.rmtree(scratch, ignore_errors=True)
    return True
