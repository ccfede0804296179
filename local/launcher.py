"""Runs a Glue job as `spark-submit` with the job's own arguments: code from S3, one process group per run, a log that errors name."""

import filecmp
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.aws import Emulated
from local.children import Children
from local.class_archive import archive_file
from local.errors import LaptopError
from local.glue_arguments import Submission, script_arguments, submission
from local.jars import jar_files
from local.places import spark_home
from local.spare import Spare
from local.spark_conf import KEPT_OUT, process_environment, write_conf

_ERROR_LINE = re.compile(r"[A-Za-z_][\w.]*(:\s.*)?")
_MESSAGE_LENGTH = 1500
_WARM = "sluice-laptop-warm-up"  # where spares warm their sessions; empty but for moments


class JobFailed(LaptopError):
    """A job's process ended with an error; the message is the error's own line and names the log."""


class JobTimedOut(LaptopError):
    """A job ran longer than its Timeout and was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One Glue run to launch."""

    job: str
    run_id: str
    script: str  # s3:// address
    arguments: Mapping[str, str]
    timeout_s: float


class Launcher:
    """Launches runs, at most one process each, and keeps one spare ready for the next."""

    def __init__(self, *, home: Path, aws: Emulated, children: Children, keeps_spare: bool) -> None:
        self._work = home / "glue"
        self._logs = home / "logs" / "glue"
        self._aws = aws
        self._children = children
        self._keeps_spare = keeps_spare
        self._spare: Spare | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._s3 = aws.client("s3")
        shutil.rmtree(self._work / "scratch", ignore_errors=True)

    def launch(self, run: JobRun) -> "Running":
        """Start a run's process: the spare if it was started with the very same submission, else a new one."""
        wanted = self._submission(run.arguments)
        script = self._fetch(run.script)
        log = self._logs / run.job / f"{run.run_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = script_arguments(run.arguments)
        spare = self._take(wanted)
        if spare is not None and spare.run(script, arguments, log):
            child, scratch = spare.child, spare.scratch
        else:
            child, scratch = self._start(wanted, f"run-{run.run_id}", [str(script), *arguments], log, {})
        threading.Thread(target=self.prepare, args=(run.arguments,), daemon=True, name="spare-start").start()
        return Running(run=run, child=child, children=self._children, log=log, scratch=scratch)

    def prepare(self, arguments: Mapping[str, str]) -> None:
        """Have a spare ready for the next job with these arguments' submission. Any other spare is ended."""
        if not self._keeps_spare:
            return
        wanted = self._submission(arguments)
        self._s3.create_bucket(Bucket=_WARM)
        with self._lock:
            if self._stopping or (self._spare is not None and self._spare.wanted == wanted and self._spare.child.poll() is None):
                return
            former, self._spare = self._spare, Spare(wanted=wanted, start=self._start, logs=self._logs, bucket=_WARM)
        if former is not None:
            former.end(self._children)

    def close(self) -> None:
        """End the spare and start no other."""
        with self._lock:
            self._stopping = True
            former, self._spare = self._spare, None
        if former is not None:
            former.end(self._children)

    def _submission(self, arguments: Mapping[str, str]) -> Submission:
        """A job's, less the shipped jars that every process here has already: then jobs with and without them share a spare."""
        asked = submission(arguments)
        return replace(asked, jars=tuple(address for address in asked.jars if not _is_here(self._fetch(address))))

    def _take(self, wanted: Submission) -> Spare | None:
        with self._lock:
            if self._spare is None or self._spare.wanted != wanted:
                return None
            taken, self._spare = self._spare, None
            return taken

    def _start(
        self, wanted: Submission, name: str, application: list[str], log: Path, extra: Mapping[str, str]
    ) -> "tuple[subprocess.Popen[Any], Path]":
        scratch = self._work / "scratch" / name
        scratch.mkdir(parents=True)
        conf = write_conf(self._work, formats=wanted.formats, aws=self._aws, warehouse=self._work / "warehouse")
        command = [str(spark_home() / "bin" / "spark-submit"), "--properties-file", str(conf / "spark-defaults.conf")]
        command += [part for setting in wanted.conf for part in ("--conf", setting)]
        for option, addresses in (("--py-files", wanted.py_files), ("--jars", wanted.jars)):
            if addresses:
                command += [option, ",".join(str(self._fetch(address)) for address in addresses)]
        environment = {**process_environment(conf=conf, aws=self._aws, scratch=scratch, archive=archive_file()), **extra}
        with log.open("wb") as output:
            return self._children.start([*command, *application], env=environment, output=output, folder=scratch), scratch

    def _fetch(self, address: str) -> Path:
        """A local copy of an S3 object; kept by its ETag. Raises LaptopError when there is none."""
        place = urlsplit(address)
        bucket, key = place.netloc, place.path.lstrip("/")
        if place.scheme not in ("s3", "s3a") or not key:
            raise LaptopError(f"{address or '(no ScriptLocation)'}: a job's code is an s3:// address")
        try:
            found = self._s3.get_object(Bucket=bucket, Key=key)
        except ClientError as refused:
            raise LaptopError(f"LAUNCH ERROR: {address} does not exist or cannot be read ({refused.response['Error']['Code']})") from refused
        copy: Path = self._work / "code" / found["ETag"].strip('"') / Path(key).name
        if not copy.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            partial = copy.with_name(f".{copy.name}.{threading.get_ident()}")
            partial.write_bytes(found["Body"].read())
            partial.rename(copy)
        return copy


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A run's process."""

    run: JobRun
    child: "subprocess.Popen[Any]"
    children: Children
    log: Path
    scratch: Path

    def wait(self) -> None:
        """Until the process ended well. Raises JobFailed or JobTimedOut; nothing of the process is left in any case."""
        try:
            code = self.child.wait(self.run.timeout_s)
        except subprocess.TimeoutExpired as late:
            raise JobTimedOut(f"{self.run.job} ran longer than its {self.run.timeout_s / 60:g} minutes (log: {self.log})") from late
        finally:
            self.kill()
            shutil.rmtree(self.scratch, ignore_errors=True)
        if code:
            raise JobFailed(f"{error_line(self.log, code)} (log: {self.log})")

    def kill(self) -> None:
        """Kill the process and everything it started."""
        self.children.end(self.child)


def _is_here(shipped: Path) -> bool:
    """Whether the laptop's own class path holds this very file."""
    own = (jar for jar in jar_files() if jar.stat().st_size == shipped.stat().st_size and not jar.name.startswith(KEPT_OUT))
    return any(filecmp.cmp(jar, shipped, shallow=False) for jar in own)


def error_line(log: Path, code: int) -> str:
    """The last error that a Python traceback in `log` ends with, with the class's short name; else the last line that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for number in range(len(lines) - 1, 0, -1):
        if lines[number - 1].startswith("  ") and _ERROR_LINE.fullmatch(lines[number]) and _ends_a_traceback(lines, number):
            name, colon, text = lines[number].partition(":")
            # py4j says what happened in Java on the next line.
            if name.endswith("Py4JJavaError") and lines[number + 1 : number + 2]:
                text = f" {lines[number + 1].removeprefix(': ')}"
            return f"{name.rsplit('.', 1)[-1]}{colon}{text}"[:_MESSAGE_LENGTH]
    spoken = [line for line in lines if line.strip()]
    return spoken[-1][:_MESSAGE_LENGTH] if spoken else f"the process ended with exit code {code} and said nothing"


def _ends_a_traceback(lines: list[str], number: int) -> bool:
    for line in reversed(lines[:number]):
        if not line.startswith(" "):
            return line.startswith("Traceback ")
    return False
