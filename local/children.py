"""Every process the laptop starts: its own group, ended as a group, and ended by the reaper when the laptop itself is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_GRACE_S = 5.0


def start_time(pid: int) -> str | None:
    """What tells one process from a later one of the same number; None when there is none (or only its zombie)."""
    if Path("/proc/self/stat").exists():
        return _linux_start_time(pid)
    asked = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = asked.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _linux_start_time(pid: int) -> str | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def signal_group(group: int, sent: signal.Signals) -> None:
    """Signal a process group; one that is gone is fine."""
    # PermissionError: what macOS says of a group of zombies.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, sent)


class Children:
    """Starts processes in groups of their own and remembers them until they ended.

    The reaper is one tiny process that holds the other end of a pipe: when this process dies, however, the pipe closes and the reaper ends
    what is still remembered. (PR_SET_PDEATHSIG follows the starting *thread*, and Linux alone has it.)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: dict[int, subprocess.Popen[Any]] = {}
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("reaper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def start(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        output: IO[Any] | int,
        folder: Path | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> "subprocess.Popen[Any]":
        """Start `command` in a new group; stdout and stderr go to `output`. `identity` are Popen's user and group arguments."""
        with self._lock:
            child = subprocess.Popen(
                list(command),
                env=dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(identity or {}),
            )
            self._groups[child.pid] = child
            self._tell(f"+{child.pid}")
        return child

    def _forget(self, child: "subprocess.Popen[Any]") -> None:
        """Forget a child after its end, and kill what it left in its group."""
        signal_group(child.pid, signal.SIGKILL)
        with self._lock:
            if self._groups.pop(child.pid, None) is not None:
                self._tell(f"-{child.pid}")

    def end(self, child: "subprocess.Popen[Any]", *, first: signal.Signals = signal.SIGKILL, grace_s: float = _GRACE_S) -> None:
        """End a child with its whole group: asked by `first`, killed when it still lives after `grace_s`. Waits for it."""
        signal_group(child.pid, first)
        try:
            child.wait(grace_s)
        except subprocess.TimeoutExpired:
            signal_group(child.pid, signal.SIGKILL)
            child.wait()
        self._forget(child)

    def close(self) -> None:
        """End all that is left, then the reaper."""
        for child in list(self._groups.values()):
            self.end(child)
        if self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.close()
        self._reaper.wait()

    def _tell(self, line: str) -> None:
        if self._reaper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._reaper.stdin.write(line + "\n")
                self._reaper.stdin.flush()
