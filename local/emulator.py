"""MiniStack with our seams, in this process, on a loopback port, with its state in `<home>`. One per process: it reads its settings on import."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.aws import Emulated
from local.errors import LaptopError
from local.places import SHIPPED_ONLY
from local.seams import pinned
from local.seams.cloudformation import CloudFormationSeam
from local.seams.cloudwatch import CloudWatchSeam
from local.seams.durable import DurableSeam, Saver
from local.seams.glue import GlueSeam, Launches
from local.seams.lambdas import LambdaSeam
from local.seams.leading_keys import LeadingKeysSeam
from local.seams.requests import Requests
from local.seams.roles import RoleSeam
from local.seams.step_functions import StepFunctionsSeam

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 15.0


def settings(home: Path, aws: Emulated) -> Mapping[str, str]:
    """MiniStack's environment: by itself it would open public ports, use the user's own home and tidy up Docker containers."""
    port = aws.endpoint.rsplit(":", 1)[1]
    return {
        **aws.environment(),
        "GATEWAY_PORT": port,
        "AUTH": "true",  # signatures, and the policies of roles and buckets
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": aws.account,
        "MINISTACK_REGION": aws.region,
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "LOG_LEVEL": "WARNING",
        "HOME": str(home / "emulator"),
        "TMPDIR": str(home / "emulator" / "tmp"),
        "PERSIST_STATE": "1",
        "STATE_DIR": str(home / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(home / "s3"),
        "PYTHONPATH": str(SHIPPED_ONLY),  # of Lambda workers; this process has started already
        "TZ": "UTC",
    }


class Emulator:
    """Start once, stop once. `commands` are answered under `/_laptop/<name>`."""

    def __init__(self, *, home: Path, aws: Emulated, launcher: Launches, commands: Mapping[str, Callable[[MutableMapping[str, Any]], Any]]) -> None:
        self._home = home
        self._aws = aws
        self._launcher = launcher
        self._commands = commands
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._glue: GlueSeam | None = None
        self._saver = Saver(self.save)

    def start(self) -> None:
        """Put the seams in place, check each, load the former state, listen. Raises SeamMoved, LaptopError."""
        for folder in ("emulator/tmp", "state", "s3"):
            (self._home / folder).mkdir(parents=True, exist_ok=True)
        os.environ.update(settings(self._home, self._aws))
        if pinned.found_version() != pinned.VERSION:
            raise pinned.moved("the pinned version")
        roles = RoleSeam()
        self._glue = GlueSeam(self._launcher, roles)
        logs = self._home / "logs" / "lambda"
        alarms = CloudWatchSeam(account=self._aws.account, region=self._aws.region)
        tasks = StepFunctionsSeam(self._glue, roles)
        seams = (roles, LeadingKeysSeam(), self._glue, tasks, LambdaSeam(logs, roles), CloudFormationSeam(), DurableSeam(), alarms)
        for seam in seams:
            seam.install()
        for seam in seams:
            seam.check()
        self._serve(pinned.functions("app", {"app": ("scope", "receive", "send"), "_build_persistence_save_dict": ()}).app)
        self._saver.start()
        alarms.watch_silence()

    def stop(self) -> None:
        """Stop listening and save the state."""
        self._saver.stop()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_TIMEOUT_S)

    def save(self) -> None:
        """Write the state of every service to `<home>/state` now."""
        app, persistence = pinned.module("app"), pinned.functions("core.persistence", {"save_all": ("services",)})
        persistence.save_all(app._build_persistence_save_dict())

    def kill_jobs(self) -> tuple[str, ...]:
        """SIGKILL every job process; the runs' ids."""
        return self._glue.kill_all() if self._glue is not None else ()

    def _serve(self, app: Any) -> None:
        host, port = self._aws.endpoint.removeprefix("http://").split(":")
        config = Config()
        config.bind = [f"{host}:{port}"]
        config.loglevel = "WARNING"
        config.graceful_timeout = 1
        wrapped = Requests(app, dict(self._commands), changed=self._saver.dirty.set)

        async def run() -> None:
            async def stopped() -> None:
                while not self._stop.is_set():
                    await asyncio.sleep(0.05)

            await serve(wrapped, config, shutdown_trigger=stopped)  # type: ignore[arg-type]

        self._thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True, name="emulator")
        self._thread.start()
        self._wait(host, int(port))

    def _wait(self, host: str, port: int) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                socket.create_connection((host, port), 0.2).close()
            except OSError as closed:
                if time.monotonic() > deadline or self._thread is None or not self._thread.is_alive():
                    raise LaptopError("the emulator did not start listening; logs/laptop.log says why") from closed
                time.sleep(0.02)
            else:
                return
