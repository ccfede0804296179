"""What this machine needs to run the lake, and the exact fix for what is missing. Looks, and changes nothing."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.lakes import Desk, laptop_of
from compiler import Refused
from local.setup import check_all

FREE_GB = 5
_GB = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked for. `fix` is None when nothing is missing."""

    what: str
    found: str
    fix: str | None

    @property
    def ok(self) -> bool:
        return self.fix is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process of this machine."""

    pid: int
    parent: int
    command: str


def all_checks(desk: Desk) -> Sequence[Check]:
    return (
        *(
            Check(what=finding.what, found=finding.text if finding.ok else "missing", fix=None if finding.ok else finding.text)
            for finding in check_all()
        ),
        check_disk(desk.home, shutil.disk_usage(_existing(desk.home)).free),
        check_lake(desk),
        check_laptop(desk),
        check_leftovers(desk.home, processes(), laptop_pid(desk)),
    )


def check_disk(home: Path, free_bytes: int) -> Check:
    found = f"{free_bytes / _GB:.1f} GB free"
    enough = free_bytes >= FREE_GB * _GB
    return Check(
        what="disk", found=found, fix=None if enough else f"{found} at {home}; make room for {FREE_GB} GB, or name another place with --home"
    )


def check_lake(desk: Desk) -> Check:
    try:
        tables = len(desk.compiled().lake.tables)
    except Refused as refused:
        count = len(refused.problems)
        return Check(
            what="lake",
            found=f"{count} problem{'' if count == 1 else 's'}",
            fix=f"{desk.folder}: first {refused.problems[0]} `sluice --lake {desk.folder} compile` tells all",
        )
    return Check(what="lake", found=f"{desk.folder}: {tables} tables", fix=None)


def check_laptop(desk: Desk) -> Check:
    """Up or down are both fine."""
    pid = laptop_pid(desk)
    return Check(what="laptop", found="not up; `sluice local up` starts it" if pid is None else f"up (pid {pid})", fix=None)


def check_leftovers(home: Path, running: Iterable[Process], laptop: int | None) -> Check:
    """Processes that work in the laptop's home and are not the laptop's own."""
    everything = tuple(running)
    ours = _family(everything, laptop)
    left = [process for process in everything if process.pid not in ours and process.pid != os.getpid() and works_in(home, process.command)]
    pids = " ".join(str(process.pid) for process in left)
    found = f"{len(left)} left over" if left else "none left over"
    return Check(what="processes", found=found, fix=f"end what an earlier laptop left: kill {pids}" if left else None)


def works_in(home: Path, command: str) -> bool:
    """Whether a command line is of the laptop's server, a Spark driver or PostgreSQL of this home."""
    here = str(home.resolve())
    serves = f"local.laptop serve --home {here} " in f"{command} "
    return serves or f"{here}/glue/" in command or f"{here}/postgres " in f"{command} "


def laptop_pid(desk: Desk) -> int | None:
    laptop = laptop_of(desk)
    return laptop.status().pid if laptop.is_up() else None


def processes() -> tuple[Process, ...]:
    """Every process of this machine that may be seen."""
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=False).stdout
    found = []
    for line in listed.splitlines():
        pid, parent, command = line.split(None, 2) if len(line.split(None, 2)) == 3 else ("", "", "")
        if pid.isdigit() and parent.isdigit():
            found.append(Process(pid=int(pid), parent=int(parent), command=command))
    return tuple(found)


def _family(everything: Sequence[Process], head: int | None) -> set[int]:
    """A process and all below it."""
    found = set() if head is None else {head}
    while more := {process.pid for process in everything if process.parent in found} - found:
        found |= more
    return found


def _existing(path: Path) -> Path:
    return next(part for part in (path.resolve(), *path.resolve().parents) if part.exists())
