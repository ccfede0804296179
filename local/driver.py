"""A Spark driver kept ready: one `spark-submit` whose JVM is started ahead and runs one job at a time, each with a Python process of its own."""

import itertools
import json
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from local.aws import Keys
from local.children import Children
from local.glue_arguments import Submission

Start = Callable[[Submission, str, list[str], Path, Mapping[str, str]], "tuple[subprocess.Popen[Any], Path]"]

HOST = Path(__file__).with_name("driver_host.py")
_READY_TIMEOUT_S = 90.0
_JOBS = 24  # what a job leaves in the JVM is little, and adds up
_numbers = itertools.count(1)


class Driver:
    """The process and the loopback line to it. It answers once its JVM is there, then takes jobs, which bring their own credentials."""

    def __init__(self, *, wanted: Submission, start: Start, logs: Path) -> None:
        self.wanted = wanted
        name = f"driver-{next(_numbers)}"
        self._token = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._line: socket.socket | None = None
        self._answers: IO[str] | None = None
        self._ready = threading.Event()
        self._jobs = 0
        port = self._listener.getsockname()[1]
        logs.mkdir(parents=True, exist_ok=True)
        told = {"port": port, "token": self._token, "delta": "delta" in wanted.formats, "py_files": wanted.py_files}
        self.child, self.scratch = start(wanted, name, [str(HOST)], logs / f"{name}.log", {"SLUICE_DRIVER": json.dumps(told)})
        threading.Thread(target=self._answer, daemon=True, name="driver-line").start()

    @property
    def is_usable(self) -> bool:
        """Whether it may take another job."""
        return self.child.poll() is None and self._jobs < _JOBS

    def suits(self, wanted: Submission) -> bool:
        """Whether its JVM is as a job with this submission wants it."""
        return self.wanted.of_the_jvm == wanted.of_the_jvm

    def run(self, script: Path, arguments: Sequence[str], log: Path, keys: Keys, wanted: Submission) -> bool:
        """Hand over a job with its role's credentials; output goes to `log`. False when the driver cannot take it.

        `wanted` suits it; it may name other Python files than those of the jobs before.
        """
        while not self._ready.wait(0.2):
            if self.child.poll() is not None:
                break
        if self._line is None or not self.is_usable:
            return False
        self._jobs += 1
        self.wanted = wanted
        log.touch()
        job = {"script": str(script), "arguments": list(arguments), "log": str(log), "keys": dict(keys.environment()), "py_files": wanted.py_files}
        self._line.sendall(json.dumps(job).encode() + b"\n")
        return True

    def result(self, timeout_s: float) -> int:
        """The job's exit code, or the process's own when that ended first. Raises TimeoutError."""
        if self._line is None or self._answers is None:
            raise AssertionError("a driver's result is asked after its run")
        self._line.settimeout(timeout_s)
        try:
            answer = self._answers.readline()
        except ConnectionError:
            answer = ""
        return int(answer) if answer else self.child.wait() or 1

    def end(self, children: Children) -> None:
        """End the process with all it runs."""
        children.end(self.child)
        self._listener.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _answer(self) -> None:
        self._listener.settimeout(_READY_TIMEOUT_S)
        try:
            line, _ = self._listener.accept()
        except OSError:  # nobody came, or the driver was ended
            self._ready.set()
            return
        with self._listener:
            line.settimeout(_READY_TIMEOUT_S)
            if line.recv(len(self._token)) == self._token.encode():
                self._answers, self._line = line.makefile(encoding="utf-8"), line
            self._ready.set()
