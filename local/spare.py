"""One Spark driver started ahead, its session ready, that takes the next job's script and arguments and is used once."""

import itertools
import json
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.children import Children
from local.glue_arguments import Submission

Start = Callable[[Submission, str, list[str], Path, Mapping[str, str]], "tuple[subprocess.Popen[Any], Path]"]

DRIVER = Path(__file__).with_name("spare_driver.py")
_READY_TIMEOUT_S = 90.0
_numbers = itertools.count(1)


class Spare:
    """A spare process and the loopback line to it. It answers once its session is ready, then waits for its one task."""

    def __init__(self, *, wanted: Submission, start: Start, logs: Path, bucket: str) -> None:
        self.wanted = wanted
        name = f"spare-{next(_numbers)}"
        self._log = logs / f"{name}.log"
        self._token = secrets.token_hex(16)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
        self._line: socket.socket | None = None
        self._ready = threading.Event()
        port = self._listener.getsockname()[1]
        # Only a session that can write Delta can be warmed by it.
        folder = f"s3://{bucket}/{name}-{self._token[:8]}" if "delta" in wanted.formats else ""
        logs.mkdir(parents=True, exist_ok=True)
        self.child, self.scratch = start(wanted, name, [str(DRIVER)], self._log, {"SLUICE_SPARE": f"{port}:{self._token}:{folder}"})
        threading.Thread(target=self._answer, daemon=True, name="spare-line").start()

    def run(self, script: Path, arguments: Sequence[str], log: Path) -> bool:
        """Hand over the task; the process's output becomes `log`. False when the spare cannot take it, and then it is ended."""
        while not self._ready.wait(0.2):
            if self.child.poll() is not None:
                break
        if self._line is None or self.child.poll() is not None:
            return False
        self._log.rename(log)
        task = json.dumps({"script": str(script), "arguments": list(arguments)})
        with self._line as line:
            line.sendall(task.encode() + b"\n")
        return True

    def end(self, children: Children) -> None:
        """End an unused spare."""
        children.end(self.child)
        self._listener.close()
        self._log.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _answer(self) -> None:
        self._listener.settimeout(_READY_TIMEOUT_S)
        try:
            line, _ = self._listener.accept()
        except OSError:  # nobody came, or the spare was ended
            self._ready.set()
            return
        with self._listener:
            line.settimeout(_READY_TIMEOUT_S)
            if line.recv(len(self._token)) == self._token.encode():
                self._line = line
            self._ready.set()
