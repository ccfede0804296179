"""A desk for command line tests: lakes whose state, documents and executions are the fakes, driven by the very steps that ship."""

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from typer.testing import CliRunner

from cli.duck import Duck
from cli.lakes import Desk, OpenLake
from cli.machine import Execution, JobRun
from cli.main import app
from cli.queries import Answer
from shared.core.choice import plan_request
from shared.core.events import ReportRequest, RunRequest
from shared.core.steps.report import report
from shared.spec.environment import Environment, Secrets, Workers
from shared.spec.lake import PinnedLake
from tests.fakes import START
from tests.machine import Machine

ENVIRONMENT = Environment(
    name="local",
    account="000000000000",
    region="us-east-1",
    keeps_data=False,
    max_windows=12,
    log_retention_days=30,
    workers=Workers(type="G.1X", count=2, timeout_minutes=60),
    schedule=None,
    secrets=Secrets(mask_key="key", servers={}),
)


@dataclass
class FakeMachine:
    """cli.machine.Machine: every look advances one state; the run happens in the world of fakes, when it is started."""

    world: Machine
    states_seen: list[str] = field(default_factory=lambda: ["Plan", "Ingest", "Report"])
    executions: dict[str, Execution] = field(default_factory=dict)
    failed_jobs: tuple[JobRun, ...] = ()
    ends: Execution | None = None  # in place of what the run came to
    interrupted: bool = False
    looked: int = 0
    asked: dict = field(default_factory=dict)

    def start(self, run, asked=None):
        self.asked = asked or {}
        self.world.executions._running.add(run)
        request = plan_request(RunRequest(run=run, machine="machine", input=self.asked))
        status = self.world._execute(run, request.replay, tables=request.tables, full_refresh=request.full_refresh)
        self.world.executions._running.discard(run)
        report(
            ReportRequest(run=run),
            pinned=self.world.pinned,
            state=self.world.state,
            documents=self.world.documents,
            executions=self.world.executions,
            log=self.world.log,
            clock=self.world.world.clock,
        )
        error, cause = {"passed": (None, None), "blocked": ("TablesBlocked", "Blocked: bronze.orders")}.get(status, ("RunFailed", "broken"))
        record = self.world.state.run(run)
        if status == "failed" and record is not None:
            cause = record.problem
        ended = Execution(status="SUCCEEDED" if status == "passed" else "FAILED", error=error, cause=cause)
        self.executions[run] = self.ends or ended

    def execution(self, run):
        if self.interrupted:
            raise KeyboardInterrupt
        self.looked += 1
        return self.executions[run] if self.looked >= len(self.states_seen) else Execution(status="RUNNING", error=None, cause=None)

    def states(self, run):
        return tuple(self.states_seen[: self.looked])

    def jobs(self, run):
        return self.failed_jobs


class FakeFiles:
    """cli.lakes.Files over the documents' texts."""

    def __init__(self, texts):
        self._texts = texts

    def url(self, key):
        return f"s3://bucket/{key}"

    def read(self, key):
        text = self._texts.get(key)
        return None if text is None else text.encode()


class FakeEngine:
    """cli.lakes.Engine that answers the same to everything."""

    dialect = "duckdb"

    def __init__(self):
        self.answer = Answer(columns=("id", "at"), rows=((1, START), (None, START + timedelta(days=1))), notes=("a note",))

    def run(self, query):
        return self.answer


class BronzeEngine:
    """cli.lakes.Engine of bronze: the world's certified batches, written as Delta tables and asked by the very engine that ships."""

    dialect = "duckdb"

    def __init__(self, world: Machine, root: Path):
        self._world, self._root = world, root

    def run(self, query):
        for read in query.reads:
            rows = [row for batch, lanes in self._world.latest(read.table.name).items() for row in bronze_rows(batch, lanes)]
            write_deltalake(self._root / read.table.name.replace(".", "/"), pa.Table.from_pylist(rows, BRONZE), mode="overwrite")
        return Duck(str(self._root), {}).run(replace(query, reads=tuple(replace(read, version=None) for read in query.reads)))


BRONZE = pa.schema(
    [(name, pa.string()) for name in ("_batch_id", "_lane", "_row_id", "_run_id", "_original", "id")]
    + [(name, pa.list_(pa.string())) for name in ("_reasons", "_clear_reasons")]
)


def bronze_rows(batch, lanes):
    """A fake batch as bronze stores it; a row id is the row's number in its lane, as the fakes' pointers have it."""
    pointers = iter(lanes.pointers)
    for lane, rows in lanes.items():
        for number, row in enumerate(rows):
            back = {"_replayed_from": next(pointers)} if lanes.pointers else {}
            given = {name: None if value is None else str(value) for name, value in row.items()} if lane == "rejected" else {}
            reasons = ["amount.range"] if lane == "rejected" else []
            told = {"_batch_id": batch, "_lane": lane, "_row_id": str(number), "_run_id": f"run of {batch[-1]}", "id": row["id"]}
            yield told | {"_reasons": reasons, "_clear_reasons": [], "_original": json.dumps(given | back) if given or back else None}


class FakeDesk:
    """`sluice(...)` runs the program on a lake of fakes."""

    def __init__(self, home: Path):
        self.home = home
        self.world = Machine()
        self.machine = FakeMachine(self.world)
        self.engine = FakeEngine()
        self.bronze = BronzeEngine(self.world, home / "bronze")
        self.trade(("O1", 10))

    def trade(self, *orders):
        at = self.world.world.now
        self.world.shop.rows.setdefault("products", []).append((at, {"id": "P1", "title": "Lamp", "at": at}))
        for number, (order, amount) in enumerate(orders):
            moment = at + timedelta(microseconds=number)
            self.world.shop.rows.setdefault("orders", []).append((at, {"id": order, "amount": amount, "product": "P1", "at": moment}))
        self.world.world.now += timedelta(seconds=1)

    def open(self, desk: Desk) -> OpenLake:
        lake = replace(self.world.lake, environments={"local": ENVIRONMENT})
        return OpenLake(
            pinned=PinnedLake(lake=lake, hash=self.world.pinned.hash),
            environment=ENVIRONMENT,
            state=self.world.state,
            documents=self.world.documents,
            delta_log=self.world.tables,
            machine=self.machine,
            files=FakeFiles(self.world.documents._texts),
            objects=self.world.tables.objects,
            engine=self.engine,
            bronze=self.bronze,
            home=self.home,
            caller=lambda: "ann@desk",
        )

    def sluice(self, *arguments: str):
        return CliRunner().invoke(app, ["--home", str(self.home), *arguments], obj=self.open)

    def json(self, *arguments: str):
        return json.loads(self.sluice(*arguments, "--json").stdout)
