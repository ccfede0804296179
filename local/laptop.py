"""The laptop as one object: up, down, the shop, runs, and the places in between where a test acts. `python -m local.laptop serve` is its server."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from compiler import compile_lake
from local.aws import Emulated
from local.children import start_time
from local.deploy import deploy, synthesize
from local.errors import LaptopError
from local.places import HOME, ROOT
from local.postgres import Database, last_line, remove_database
from local.secret_values import put_secrets
from local.server import LOG, STATUS, main
from local.shop import ORDERS, Shop
from local.shop_files import Treasury
from shared.spec.environment import Environment
from shared.spec.lake import Lake

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0


class NotUp(LaptopError):
    """The laptop is not up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `laptop.json` says while the laptop is up."""

    pid: int
    aws: Emulated
    database: Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution stands."""

    run: str
    status: str  # RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED
    error: str | None
    cause: str | None


class Laptop:
    """AWS and the shop on this machine. State lives in `home` and outlives `down`; `lake` is what gets deployed.

    As a context manager it is up within the block and ends with this process, however that ends.
    """

    def __init__(
        self,
        home: Path = HOME,
        lake: Path = ROOT / "lake",
        *,
        environment: str = "local",
        orders: int | None = ORDERS,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self.home = home.resolve()
        self.lake = lake.resolve()
        self._environment_name = environment
        self._orders = orders
        self._tell = tell
        self._compiled: Lake | None = None
        self._server: subprocess.Popen[str] | None = None

    # ---- up and down

    def __enter__(self) -> "Laptop":
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()

    def up(self, *, detached: bool = False, deploys: bool = True) -> bool:
        """Start all, fill an empty shop with `orders`, deploy; whether it was down. On any error, Ctrl-C included, nothing is left running.

        `deploys=False` takes the stacks as the home holds them. `detached` outlives this process.
        """
        if self.is_up():
            self._tell("the laptop is already up")
            return False
        environment = self.environment()
        try:
            self._start(environment, detached=detached)
            if self._orders is not None and not self.shop.is_filled():
                self._timed(f"the shop's first 30 days, {self._orders:,} orders", lambda: self.shop.fill(orders=self._orders or 0))
            elif self._orders is not None:
                self.shop.hand_over()  # what a step that was cut short had not
            if deploys:
                self.deploy()
            else:
                self._put_secrets()
            self._prepare(environment)
        except BaseException:
            self.down()
            raise
        return True

    def down(self) -> bool:
        """Stop everything in order; whether it was up. State is kept."""
        try:
            pid = self.status().pid
        except NotUp:
            pid = self._server.pid if self._server is not None and self._server.poll() is None else 0
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self._until_gone(pid)
        if self._server is not None:
            if self._server.stdin is not None:
                self._server.stdin.close()
            self._server.wait()
            self._server = None
        return bool(pid)

    def is_up(self) -> bool:
        try:
            self.status()
        except NotUp:
            return False
        return True

    def status(self) -> Status:
        """Raises NotUp, also when `laptop.json` is of a process that is gone."""
        try:
            held = json.loads((self.home / STATUS).read_text(encoding="utf-8"))
        except FileNotFoundError as absent:
            raise NotUp("the laptop is not up; start it with `sluice local up`") from absent
        if start_time(held["pid"]) != held["started"]:
            raise NotUp("the laptop is not up (it was killed); start it with `sluice local up`")
        aws = Emulated(endpoint=held["endpoint"], account=held["account"], region=held["region"])
        return Status(pid=held["pid"], aws=aws, database=Database(**held["database"]))

    def remove(self) -> None:
        """Go down and remove the home with everything in it."""
        self.down()
        remove_database(self.home)
        shutil.rmtree(self.home, ignore_errors=True)

    # ---- what is there

    def environment(self) -> Environment:
        """As the lake's own environments.toml described it when this was first asked."""
        return self._compiled_lake().environment(self._environment_name)

    @property
    def aws(self) -> Emulated:
        """Raises NotUp."""
        return self.status().aws

    def client(self, service: str) -> Any:
        """A boto3 client of the emulator."""
        return self.aws.client(service)

    @property
    def shop(self) -> Shop:
        return Shop(self.status().database, ledger=self.home / "ledger.json", put=Treasury(self.client("s3")).put)

    def deploy(self) -> None:
        """Synthesize the lake and bring every stack and secret to it."""
        self._compiled = None
        folder = self.home / "cdk.out"
        stacks = self._timed("synthesized", lambda: synthesize(self.lake, self._environment_name, folder))
        deploy(stacks, self.aws, self._tell)
        self._put_secrets()

    # ---- runs

    def start_run(self, name: str | None = None, given: Mapping[str, Any] | None = None) -> str:
        """Start an execution of the lake's state machine; its name, which is the run's id."""
        run = name or f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
        machine = self.environment().machine_arn
        self.client("stepfunctions").start_execution(stateMachineArn=machine, name=run, input=json.dumps(dict(given or {})))
        return run

    def execution(self, run: str) -> Execution:
        """How the run's execution stands now."""
        found = self.client("stepfunctions").describe_execution(executionArn=self._execution_arn(run))
        return Execution(run=run, status=found["status"], error=found.get("error"), cause=found.get("cause"))

    def wait(self, run: str, *, timeout_s: float = 900) -> Execution:
        """Until the execution ended. Raises LaptopError when it did not in time."""
        deadline = time.monotonic() + timeout_s
        while (now := self.execution(run)).status == "RUNNING":
            if time.monotonic() > deadline:
                raise LaptopError(f"run {run} is still running after {timeout_s:g} s; logs are in {self.home / 'logs'}")
            time.sleep(0.5)
        return now

    def stop_run(self, run: str) -> None:
        """Stop an execution and the Glue runs it waits for."""
        self.client("stepfunctions").stop_execution(executionArn=self._execution_arn(run), error="Stopped", cause="stopped by hand")

    # ---- acting in between, for tests

    @contextmanager
    def hold(self, method: str, path: str, *, after: int = 0) -> Iterator["Held"]:
        """Requests to the emulator of this method, whose path matches the pattern, wait until released, at the latest when the block ends.

        The path is the URL's, unquoted: `/<bucket>/<key>`. The first `after` matches pass.
        """
        name = uuid.uuid4().hex
        self._ask("hold", {"name": name, "method": method, "path": path, "after": after})
        try:
            yield Held(laptop=self, name=name, what=f"{method} {path}")
        finally:
            if self.is_up():
                self._ask("release", {"name": name})

    def kill_jobs(self) -> Sequence[str]:
        """SIGKILL every Glue job's process; the ids of their runs."""
        killed: Sequence[str] = self._ask("kill-jobs", {})
        return killed

    def _ask(self, command: str, values: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.aws.endpoint}/_laptop/{command}", data=json.dumps(dict(values)).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def _put_secrets(self) -> None:
        put_secrets(self._compiled_lake(), self.environment(), database=self.status().database, own=self.home / "secrets.toml", aws=self.aws)

    def _compiled_lake(self) -> Lake:
        if self._compiled is None:
            self._compiled = compile_lake(self.lake)
        return self._compiled

    def _execution_arn(self, run: str) -> str:
        return f"{self.environment().machine_arn.replace(':stateMachine:', ':execution:')}:{run}"

    def _start(self, environment: Environment, *, detached: bool) -> None:
        log = self.home / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "local.laptop", "serve", "--home", str(self.home)]
        command += ["--account", environment.account, "--region", environment.region]
        command += [] if detached else ["--tied"]
        started = time.monotonic()
        with log.open("ab") as output:
            self._server = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        while not (self.is_up() and self.status().pid == self._server.pid):
            if self._server.poll() is not None or time.monotonic() - started > _START_TIMEOUT_S:
                raise LaptopError(f"the laptop did not start: {last_line(log)} (log: {log})")
            time.sleep(0.05)
        self._tell(f"PostgreSQL and the emulator are up ({time.monotonic() - started:.1f} s)")

    def _until_gone(self, pid: int) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        while start_time(pid) is not None:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)  # its reaper ends what it had started
                return
            time.sleep(0.05)

    def _prepare(self, environment: Environment) -> None:
        """Have a Spark driver start while nobody waits for it yet."""
        glue = self.client("glue")
        jobs = [job for job in glue.get_jobs()["Jobs"] if job["Name"].startswith(environment.prefix)]
        if jobs:
            first = next((job for job in jobs if job["Name"] == environment.job("ingest")), jobs[0])
            self._ask("prepare", {"arguments": first["DefaultArguments"]})

    def _timed(self, what: str, act: Callable[[], Any]) -> Any:
        started = time.monotonic()
        done = act()
        self._tell(f"{what} ({time.monotonic() - started:.1f} s)")
        return done


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Requests that a laptop keeps waiting."""

    laptop: Laptop
    name: str
    what: str

    def wait(self, *, timeout_s: float = 120) -> None:
        """Until a request waits. Raises LaptopError when none came."""
        deadline = time.monotonic() + timeout_s
        while not self.laptop._ask("held", {"name": self.name})["waiting"]:
            if time.monotonic() > deadline:
                raise LaptopError(f"no request came within {timeout_s:g} s: {self.what}")
            time.sleep(0.25)

    def release(self) -> None:
        """Let what waits go on, and what comes later pass."""
        self.laptop._ask("release", {"name": self.name})


if __name__ == "__main__":
    sys.exit(main(sys.argv[2:] if sys.argv[1:2] == ["serve"] else sys.argv[1:]))
