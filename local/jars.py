"""Owns `.cache/jars`: what Glue 6.0 has built in and a laptop has not, resolved once by Spark's own Ivy, and one jar made here. Kept whole or not at
all."""

import fcntl
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.drivers import DRIVERS
from local.errors import LaptopError
from local.places import CACHE, spark_home

JARS = CACHE / "jars"
LOG = CACHE / "jars.log"

_AWS_SDK = "2.29.52"
PINS = (
    "io.delta:delta-spark_2.13:4.2.0",
    "org.apache.hadoop:hadoop-aws:3.4.2",
    *(
        f"software.amazon.awssdk:{part}:{_AWS_SDK}"
        for part in ("s3", "s3-transfer-manager", "sts", "kms", "apache-client", "netty-nio-client", "url-connection-client")
    ),
    *DRIVERS.values(),
    # Not Glue's, and in no job's class path: what the tests reach folders with.
    "com.globalmentor:hadoop-bare-naked-local-fs:0.1.0",
)
# The SDK's bundle alone is over 600 MB and holds nothing S3A needs; wildfly's OpenSSL binding is optional and native.
EXCLUDES = ("software.amazon.awssdk:bundle", "org.wildfly.openssl:wildfly-openssl")
_TIMEOUT_S = 1200
# Defaults of MapReduce and YARN, which no job here reads: two thirds of the configuration that each scan and write serializes, entry by entry.
_DEFAULTS_LEFT_OUT = ("mapred-default.xml", "yarn-default.xml")
_DEFAULTS_JAR = "sluice_hadoop-defaults-left-out.jar"  # `class_path` puts it before Spark's own jars, of which hadoop-client-api holds them


def stamp() -> str:
    """What `.cache/jars` must have been made of to be used."""
    return "\n".join([*PINS, *(f"-{excluded}" for excluded in (*EXCLUDES, *_DEFAULTS_LEFT_OUT))]) + "\n"


def jars_are_ready() -> bool:
    """Whether the jars of exactly today's pins are there."""
    kept = JARS / "stamp"
    return kept.is_file() and kept.read_text(encoding="utf-8") == stamp()


def jar_files() -> tuple[Path, ...]:
    """Every jar, in the order of names. Raises LaptopError when set-up has not resolved them."""
    if not jars_are_ready():
        raise LaptopError(f"{JARS}: the Spark jars of today's pins are not there; run `python -m local.setup`")
    return tuple(sorted(JARS.glob("*.jar")))


def resolve_jars() -> bool:
    """Bring `.cache/jars` to today's pins; whether anything had to be done.

    Ivy fills a folder of its own and the result is moved into place by one rename, so an interrupted resolution leaves the former state.
    Two set-ups at once wait for each other.
    """
    if jars_are_ready():
        return False
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone():
        if jars_are_ready():
            return False
        resolved = _resolved()
        _leave_defaults_out(resolved)
        _swap_in(resolved)
    return True


@contextmanager
def _alone() -> Iterator[None]:
    with (CACHE / "jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _resolved() -> Path:
    ivy = CACHE / "ivy"
    shutil.rmtree(ivy / "jars", ignore_errors=True)
    ivy.mkdir(exist_ok=True)
    nothing = ivy / "nothing.py"
    nothing.write_text("", encoding="utf-8")
    command = [str(spark_home() / "bin" / "spark-submit"), "--packages", ",".join(PINS), "--exclude-packages", ",".join(EXCLUDES)]
    with LOG.open("w", encoding="utf-8") as log:
        done = subprocess.run(
            [*command, "--conf", f"spark.jars.ivy={ivy}", str(nothing)],
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
    found = list((ivy / "jars").glob("*.jar"))
    if done.returncode or not found:
        raise LaptopError(
            f"{LOG}: Spark could not resolve its jars (exit {done.returncode}); the log says which. Is repo1.maven.org reachable? "
            "A mirror goes into the environment variable DEFAULT_ARTIFACT_REPOSITORY. Then run `python -m local.setup` again"
        )
    return ivy / "jars"


def _leave_defaults_out(jars: Path) -> None:
    with zipfile.ZipFile(jars / _DEFAULTS_JAR, "w") as jar:
        for name in _DEFAULTS_LEFT_OUT:
            jar.writestr(name, "<configuration/>")


def _swap_in(resolved: Path) -> None:
    (resolved / "stamp").write_text(stamp(), encoding="utf-8")
    shutil.rmtree(JARS, ignore_errors=True)
    resolved.rename(JARS)
    shutil.rmtree(CACHE / "ivy", ignore_errors=True)
