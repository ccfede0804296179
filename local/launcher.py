"""Runs a Glue job as `spark-submit` with the job's own arguments: code from S3, one process group per run, a log that errors name."""

import filecmp
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from local.aws import Emulated, Keys
from local.children import Children
from local.class_archive import archive_file
from local.driver import Driver
from local.errors import LaptopError
from local.glue_arguments import Submission, script_arguments, submission
from local.jars import jar_files
from local.places import spark_home
from local.spark_conf import KEPT_OUT, SIZE, process_environment, write_conf

_ERROR_LINE = re.compile(r"[A-Za-z_][\w.]*(:\s.*)?")
_MESSAGE_LENGTH = 1500


class JobFailed(LaptopError):
    """A job's process ended with an error; the message is the error's own line and names the log."""


class JobTimedOut(LaptopError):
    """A job ran longer than its Timeout and was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRun:
    """One Glue run to launch."""

    job: str
    run_id: str
    keys: Keys  # of the job's role
    script: str  # s3:// address
    arguments: Mapping[str, str]
    timeout_s: float


class Launcher:
    """Launches runs, each in a process of its own; but a driver that is kept ready takes the next run, and after one that ended by itself another."""

    def __init__(self, *, home: Path, aws: Emulated, children: Children) -> None:
        self._work = home / "glue"
        self._logs = home / "logs" / "glue"
        self._aws = aws
        self._children = children
        self._idle: Driver | None = None
        self._lock = threading.Lock()
        self._stopping = False
        self._s3 = aws.client("s3")
        shutil.rmtree(self._work / "scratch", ignore_errors=True)

    def launch(self, run: JobRun) -> "Running | Borrowed":
        """Start a run: in the idle driver if its JVM is as the job wants it, else in a new process."""
        s3 = self._aws.client_of(run.keys, "s3")
        wanted = self._located(run.arguments, s3)
        script = self._fetch(run.script, s3)
        log = self._logs / run.job / f"{run.run_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = script_arguments(run.arguments)
        driver = self._take(wanted)
        if driver is not None:
            if driver.run(script, arguments, log, run.keys, wanted):
                return Borrowed(run=run, driver=driver, children=self._children, log=log, over=self._after)
            driver.end(self._children)
        child, scratch = self._start(wanted, f"run-{run.run_id}", [str(script), *arguments], log, run.keys.environment())
        self._prepare_aside(wanted)
        return Running(run=run, child=child, children=self._children, log=log, scratch=scratch)

    def prepare(self, arguments: Mapping[str, str]) -> None:
        """Have a driver ready for jobs with these arguments. An idle one whose JVM is another is ended."""
        self._prepare(self._located(arguments, self._s3))

    def close(self) -> None:
        """End the idle driver and start no other."""
        with self._lock:
            self._stopping = True
            former, self._idle = self._idle, None
        if former is not None:
            former.end(self._children)

    def _located(self, arguments: Mapping[str, str], s3: Any) -> Submission:
        """A job's submission with copies of its files in place of their addresses, fetched as its role may. Without what follows from its size, for
        it runs at the laptop's, and without shipped jars that every process here has already: then jobs with and without them share a driver."""
        asked = submission(arguments)
        jars = [self._fetch(address, s3) for address in asked.jars]
        return replace(
            asked,
            conf=tuple(setting for setting in asked.conf if setting.partition("=")[0] not in SIZE),
            py_files=tuple(str(self._fetch(address, s3)) for address in asked.py_files),
            jars=tuple(str(jar) for jar in jars if not _is_here(jar)),
        )

    def _prepare(self, wanted: Submission) -> None:
        with self._lock:
            if self._stopping or (self._idle is not None and self._idle.suits(wanted) and self._idle.is_usable):
                return
            former, self._idle = self._idle, Driver(wanted=wanted, start=self._start, logs=self._logs)
        if former is not None:
            former.end(self._children)

    def _prepare_aside(self, wanted: Submission) -> None:
        threading.Thread(target=self._prepare, args=(wanted,), daemon=True, name="driver-start").start()

    def _take(self, wanted: Submission) -> Driver | None:
        with self._lock:
            if self._idle is None or not self._idle.suits(wanted):
                return None
            taken, self._idle = self._idle, None
            return taken

    def _after(self, driver: Driver, code: int) -> None:
        """Keep a driver whose job ended by itself; one that was cut short is ended (`code` is negative), and so is one too many."""
        with self._lock:
            keep = code >= 0 and driver.is_usable and self._idle is None and not self._stopping
            if keep:
                self._idle = driver
        if not keep:
            driver.end(self._children)
            self._prepare_aside(driver.wanted)

    def _start(
        self, wanted: Submission, name: str, application: list[str], log: Path, extra: Mapping[str, str]
    ) -> "tuple[subprocess.Popen[Any], Path]":
        scratch = self._work / "scratch" / name
        scratch.mkdir(parents=True)
        conf = write_conf(self._work, formats=wanted.formats, aws=self._aws, warehouse=self._work / "warehouse")
        command = [str(spark_home() / "bin" / "spark-submit"), "--properties-file", str(conf / "spark-defaults.conf")]
        command += [part for setting in wanted.conf for part in ("--conf", setting)]
        for option, files in (("--py-files", wanted.py_files), ("--jars", wanted.jars)):
            if files:
                command += [option, ",".join(files)]
        environment = {**process_environment(conf=conf, aws=self._aws, scratch=scratch, archive=archive_file()), **extra}
        with log.open("wb") as output:
            return self._children.start([*command, *application], env=environment, output=output, folder=scratch), scratch

    def _fetch(self, address: str, s3: Any) -> Path:
        """A local copy of an S3 object; kept by its ETag. Raises LaptopError when there is none, or it may not be read."""
        place = urlsplit(address)
        bucket, key = place.netloc, place.path.lstrip("/")
        if place.scheme not in ("s3", "s3a") or not key:
            raise LaptopError(f"{address or '(no ScriptLocation)'}: a job's code is an s3:// address")
        try:
            found = s3.get_object(Bucket=bucket, Key=key)
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


class Borrowed:
    """A run in a driver that other runs had before and will have after it. Ending the run early ends the driver: that is what a lost node is."""

    def __init__(self, *, run: JobRun, driver: Driver, children: Children, log: Path, over: Callable[[Driver, int], None]) -> None:
        self._run, self._driver, self._children, self._log, self._tell_over = run, driver, children, log, over
        self._lock = threading.Lock()
        self._over = False

    def wait(self) -> None:
        """Until the script ended well. Raises JobFailed or JobTimedOut; nothing of the script is left in any case."""
        code = -1
        try:
            code = self._driver.result(self._run.timeout_s)
        except TimeoutError as late:
            raise JobTimedOut(f"{self._run.job} ran longer than its {self._run.timeout_s / 60:g} minutes (log: {self._log})") from late
        finally:
            with self._lock:
                self._over = True
            self._tell_over(self._driver, code)
        if code:
            raise JobFailed(f"{error_line(self._log, code)} (log: {self._log})")

    def kill(self) -> None:
        """Kill the script and its driver; after the script's end it does nothing, for the driver may have its next."""
        with self._lock:
            if not self._over:
                self._children.end(self._driver.child)


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
