"""What `spark-submit` runs as a driver kept ready: one script after the other, each in a Python process of its own, in one JVM.

Each is a fork of this process (but on macOS, where forks are not safe), which has imported what scripts import and does nothing else, above all not
ask the JVM; when a job comes with other Python files, it begins anew with those. A script finds the JVM as `spark-submit` would give it, builds its
own session there, and leaves nothing: afterwards the context is stopped and what Spark, Delta and Hadoop keep in memory is dropped. Needs nothing of
the laptop's code; ends when its line closes.
"""

import importlib
import json
import multiprocessing
import os
import runpy
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from pyspark import SparkContext

_IMPORTED = ("shared.job", *(f"shared.core.steps.{stage}" for stage in ("ingest", "refine", "stage", "publish")))  # by the jobs' scripts
# Where the AWS SDK of the JVM looks for what everything else has in its environment.
_PROPERTIES = {"AWS_ACCESS_KEY_ID": "aws.accessKeyId", "AWS_SECRET_ACCESS_KEY": "aws.secretAccessKey", "AWS_SESSION_TOKEN": "aws.sessionToken"}


def main() -> None:
    told = json.loads(os.environ.pop("SLUICE_DRIVER"))
    del sys.path[0]  # this file's folder, which scripts must not see
    with suppress(Exception):  # a script that wants it says better what is wrong
        for name in _IMPORTED:
            importlib.import_module(name)
    with _line(told) as line:
        for job in chain(told.get("begun", ()), map(json.loads, line.makefile())):
            if job["py_files"] != told["py_files"]:
                begin_anew(line, told, job)
            code = alone(line, run, **{name: job[name] for name in ("script", "arguments", "log", "keys")})
            if alone(line, drop_state, delta=told["delta"]):
                sys.exit("the JVM could not be cleared of what the script left")
            line.sendall(f"{code}\n".encode())


def begin_anew(line: socket.socket, told: dict[str, Any], job: dict[str, Any]) -> None:
    """Be another Python process beside the same JVM, with the job's Python files in the place of the former, and do the job first."""
    former, py_files = told["py_files"], job["py_files"]
    if alone(line, tell_of_files, former=former, py_files=py_files):
        sys.exit("the JVM could not be told of the code")
    others = [path for path in os.environ["PYTHONPATH"].split(os.pathsep) if path not in _import_paths(former)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*_import_paths(py_files), *others])
    os.environ["SLUICE_DRIVER"] = json.dumps({**told, "py_files": py_files, "line": line.fileno(), "begun": [job]})
    os.set_inheritable(line.fileno(), True)
    os.execv(sys.executable, [sys.executable, *sys.argv])


def tell_of_files(*, former: list[str], py_files: list[str]) -> None:
    """Have contexts send these files to their workers, as `spark-submit` has it, and no longer the former."""
    system = java().java.lang.System
    for name in ("spark.submit.pyFiles", "spark.files"):
        others = [file for file in (system.getProperty(name) or "").split(",") if file and not file.endswith(tuple(former))]
        system.setProperty(name, ",".join([*others, *py_files]))


def _line(told: dict[str, Any]) -> socket.socket:
    """To the laptop; after a new beginning it is there already."""
    if "line" in told:
        os.set_inheritable(told["line"], False)
        return socket.socket(fileno=told["line"])
    line = socket.create_connection(("127.0.0.1", told["port"]))
    line.sendall(told["token"].encode())
    return line


def _import_paths(py_files: list[str]) -> list[str]:
    """Where Python finds them: in an archive, or beside a module."""
    return [str(Path(file).parent) if file.endswith(".py") else file for file in py_files]


def alone(line: socket.socket, act: Callable[..., None], **arguments: Any) -> int | None:
    """Do this in a process of its own without the line, and answer its exit code. What ends it is told as Python tells it."""
    if sys.platform == "linux":
        process: BaseProcess = multiprocessing.get_context("fork").Process(target=_without, args=(line.fileno(), act), kwargs=arguments)
    else:
        process = multiprocessing.get_context("spawn").Process(target=act, kwargs=arguments)
    process.start()
    process.join()
    return process.exitcode


def _without(line: int, act: Callable[..., None], **arguments: Any) -> None:
    os.close(line)
    act(**arguments)


def java() -> Any:
    """The JVM of this driver."""
    SparkContext._ensure_initialized()
    return SparkContext._jvm


def sign_by(jvm: Any, keys: dict[str, str]) -> None:
    """From now on the JVM asks AWS by these keys, given as an environment has them; root's have no session token."""
    for variable, name in _PROPERTIES.items():
        if variable in keys:
            jvm.java.lang.System.setProperty(name, keys[variable])
        else:
            jvm.java.lang.System.clearProperty(name)


def run(*, script: str, arguments: list[str], log: str, keys: dict[str, str]) -> None:
    """Be the script. Its output, and from now on the JVM's, is added to `log`; both sign their requests by `keys`, of the job's role."""
    os.environ.update(keys)
    with open(log, "ab") as output:
        os.dup2(output.fileno(), sys.stdout.fileno())
        os.dup2(output.fileno(), sys.stderr.fileno())
    jvm = java()
    sign_by(jvm, keys)
    stream = jvm.java.io.PrintStream(jvm.java.io.FileOutputStream(log, True), True)
    jvm.java.lang.System.setErr(stream)
    jvm.java.lang.System.setOut(stream)
    sys.argv, sys.path = [script, *arguments], [str(Path(script).parent), *sys.path]  # as Python begins a script
    runpy.run_path(script, run_name="__main__")


def drop_state(*, delta: bool) -> None:
    """Stop the context that a script left, which ends its sessions too, forget tables and file systems, and log as the configuration says."""
    jvm = java()
    active = getattr(getattr(jvm.org.apache.spark, "SparkContext$"), "MODULE$").getActive()
    if active.isDefined():
        active.get().stop()
    if delta:
        jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()
    jvm.org.apache.hadoop.fs.FileSystem.closeAll()
    jvm.org.apache.logging.log4j.core.config.Configurator.reconfigure()


if __name__ == "__main__":
    main()
