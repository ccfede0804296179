"""The laptop's background process: PostgreSQL, the emulator, the launcher and all they start. One per home; ends as a whole."""

import argparse
import fcntl
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO, Any

from local.aws import Emulated
from local.children import Children, start_time
from local.emulator import Emulator
from local.errors import LaptopError
from local.launcher import Launcher
from local.postgres import Postgres, free_port

STATUS = "laptop.json"
LOG = "logs/laptop.log"


class Server:
    """Everything that runs while the laptop is up."""

    def __init__(self, *, home: Path, account: str, region: str) -> None:
        self._home = home
        self._aws = Emulated(endpoint=f"http://127.0.0.1:{free_port()}", account=account, region=region)
        self._children = Children()
        self._launcher = Launcher(home=home, aws=self._aws, children=self._children)
        self._postgres = Postgres(home, self._children)
        self._emulator = Emulator(home=home, aws=self._aws, launcher=self._launcher, commands=self._commands())
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start all and say so in `laptop.json`."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            starting = pool.submit(self._postgres.start)
            self._emulator.start()
            database = asdict(starting.result())
        status = {"pid": os.getpid(), "started": start_time(os.getpid()), **asdict(self._aws), "database": database}
        write_private(self._home / STATUS, json.dumps(status, indent=2))

    def stop(self) -> None:
        """The emulator first, so that nothing answers half; its state is saved. Then jobs, driver and PostgreSQL."""
        self._emulator.stop()
        self._launcher.close()
        self._emulator.kill_jobs()
        self._postgres.stop()
        self._children.close()
        (self._home / STATUS).unlink(missing_ok=True)

    def _commands(self) -> dict[str, Callable[[MutableMapping[str, Any]], Any]]:
        return {
            "ping": lambda _values: {"pid": os.getpid()},
            "save": lambda _values: self._emulator.save(),
            "kill-jobs": lambda _values: list(self._emulator.kill_jobs()),
            "prepare": lambda values: self._launcher.prepare(values["arguments"]),
            "stop": lambda _values: self.stopping.set(),
        }


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, SIGINT, `stop`, or, with --tied, until standard input ends. Exit 0 after a clean stop, 1 when it could not start."""
    given = _parser().parse_args(arguments)
    home = Path(given.home).resolve()
    (home / LOG).parent.mkdir(parents=True, exist_ok=True)
    lock = (home / "laptop.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write(f"{home}: a laptop is already up here\n")
        return 1
    (home / STATUS).unlink(missing_ok=True)
    server = Server(home=home, account=given.account, region=given.region)

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        server.stopping.set()

    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(asked, ask_to_stop)
    if given.tied:
        threading.Thread(target=_until_end, args=(sys.stdin, server.stopping), daemon=True).start()
    try:
        server.start()
        while not server.stopping.wait(0.2):
            pass
    except (LaptopError, OSError):
        traceback.print_exc()
        return 1
    finally:
        server.stop()
        sys.stderr.flush()
    # MiniStack leaves threads behind that nobody joins.
    os._exit(0)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text + "\n")
    partial.rename(path)


def _until_end(stream: IO[str], stopping: threading.Event) -> None:
    stream.read()
    stopping.set()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.laptop serve")
    parser.add_argument("--home", required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--tied", action="store_true", help="stop when standard input ends")
    return parser


if __name__ == "__main__":
    sys.exit(main())
