"""The state machine in plain Python over `tests.fakes`: the shipped steps in the order of `lake.asl.json`, and a small lake to run them on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

from shared.core.errors import SluiceError
from shared.core.events import CommitRequest, FailRequest, GateRequest, PlanRequest
from shared.core.job import Job, JobContext
from shared.core.messages import Replay
from shared.core.ports import Task
from shared.core.steps.commit import commit
from shared.core.steps.fail import fail
from shared.core.steps.gate import gate
from shared.core.steps.ingest import ingest
from shared.core.steps.plan import plan
from shared.core.steps.publish import publish
from shared.core.steps.refine import refine
from shared.core.steps.stage import stage
from shared.spec.lake import Column, Lake, PinnedLake, Relationship, Rule, Source, Table, Tolerance, Watermark
from tests.fakes import START, FakeDocuments, FakeExecutions, FakeLake, FakeLog, FakeNotify, FakeState, Killed, Shop, World, digest_of, living

JOBS = {"ingest": ingest, "refine": refine, "stage": stage, "publish": publish}


def column(name: str, *, key: int | None = None, type: str = "string") -> Column:
    return Column(name=name, type=type, required=False, key_position=key, partition_position=None, classification=None, mask=None, lineage=())


def rule(id: str = "enough", *, kind: str = "row", severity: str = "critical") -> Rule:
    return Rule(
        id=id,
        kind=kind,
        expectation="expect_row",
        kwargs={"condition": "id <> ''"},
        element=None,
        severity=severity,
        mostly=1.0,
        limit=None,
        tolerance_written=False,
    )


def table(name: str, load: str, *, inputs: tuple[str, ...] = (), relationships: tuple[Relationship, ...] = (), **changes: object) -> Table:
    layer = name.split(".")[0]
    source = None
    if layer == "bronze":
        mark = Watermark(column="at", lookback=5, safety_lag_seconds=0, start_at=START - timedelta(seconds=60), max_window=40)
        source = Source(relation=name.split(".")[1], watermark=mark, reject_tolerance=Tolerance(share=0.5, rows=1), servers=())
    made = Table(
        name=name,
        layer=layer,
        load=load,
        title=name,
        version="1.0.0",
        owner="sales",
        file=f"lake/{name}.yaml",
        group="main",
        columns=(column("id", key=1),),
        rules=(rule(),),
        inputs=inputs,
        relationships=relationships,
        source=source,
        origin=inputs[0] if load == "merge" else None,
        sequence="at" if load == "merge" else None,
        delete_when="deleted" if load == "merge" else None,
        history=None,
        sql="SELECT" if load == "derive" else None,
        affected_sql=None,
        zorder=(),
        contract_hash=f"contract of {name}",
        definition_hash=f"definition of {name}",
    )
    return replace(made, **changes)


def small_lake() -> Lake:
    """Two sources, two merges, a dimension and a fact tied to it."""
    tie = Relationship(column="product", to_table="gold.dim_product", to_column="id")
    return Lake(
        tables=(
            table("bronze.orders", "append"),
            table("bronze.products", "append"),
            table("silver.orders", "merge", inputs=("bronze.orders",)),
            table("silver.products", "merge", inputs=("bronze.products",)),
            table("gold.dim_product", "derive", inputs=("silver.products",)),
            table("gold.fact_sales", "derive", inputs=("gold.dim_product", "silver.orders"), relationships=(tie,)),
        ),
        environments={},
    )


def dim_product(silver_products):
    return {0: {"id": 0, "title": "unknown"}} | {key: {"id": key, "title": row["title"]} for key, row in silver_products.items()}


def fact_sales(gold_dim_product, silver_orders):
    return {
        key: {"id": key, "amount": row["amount"], "product": row["product"] if row["product"] in gold_dim_product else 0}
        for key, row in silver_orders.items()
    }


def affected_products(changed, **rows):
    return changed["silver_products"]


def affected_sales(changed, gold_dim_product, silver_orders):
    return changed["silver_orders"] | {key for key, row in silver_orders.items() if row["product"] in changed["gold_dim_product"]}


def is_bad(table: str, row: dict) -> bool:
    return table == "bronze.orders" and row["amount"] < 0


@dataclass
class Machine:
    """One lake in one account. `run()` is one execution; it answers passed, blocked, failed or dead."""

    lake: Lake = field(default_factory=small_lake)
    world: World = field(default_factory=World)
    shop: Shop = field(default_factory=Shop)

    def __post_init__(self) -> None:
        self.state, self.documents, self.executions = FakeState(self.world), FakeDocuments(self.world), FakeExecutions(self.world)
        self.tables = FakeLake(self.world, self.shop, is_bad, {"gold.dim_product": dim_product, "gold.fact_sales": fact_sales})
        self.tables.affected = {"gold.dim_product": affected_products, "gold.fact_sales": affected_sales}
        self._pinned: PinnedLake | None = None
        self.log, self.notify, self.number, self.glue_number = FakeLog(), FakeNotify(), 0, 0
        self.dies_with_job = False  # a killed job takes its execution along: no fail path
        self.world.watch = self._no_fact_dangles

    @property
    def pinned(self) -> PinnedLake:
        if self._pinned is None or self._pinned.lake is not self.lake:
            self._pinned = PinnedLake(lake=self.lake, hash=digest_of(self.lake))
        return self._pinned

    def run(self, replay: Replay | None = None, **asked: tuple[str, ...]) -> str:
        self.number += 1
        name = f"run-{self.number}"
        self.executions._running.add(name)
        try:
            return self._execute(name, replay, **asked)
        except Killed:
            return "dead"
        finally:
            self.executions._running.discard(name)
            self.executions._live.pop(name, None)

    def _execute(self, name: str, replay: Replay | None = None, **asked: tuple[str, ...]) -> str:
        try:
            answer = self.plan(name, replay, **asked)
            if answer.recover is not None:
                self._glue(name, answer.fence, "publish", "all", target=answer.recover)
                self._lambda(commit, CommitRequest(run=name, fence=answer.fence, target=answer.recover))
                answer = self.plan(name, replay, **asked)
            groups = answer.groups
            for stage_name in ("ingest", "refine", "stage"):
                for group in groups:
                    self._glue(name, answer.fence, stage_name, group)
                groups = self._lambda(gate, GateRequest(run=name, fence=answer.fence, stage=stage_name), self.documents).groups
            for group in groups:
                self._glue(name, answer.fence, "publish", group, target=name)
            return self._lambda(commit, CommitRequest(run=name, fence=answer.fence, target=name)).status
        except SluiceError as error:
            cause = f"{type(error).__name__}: {error}"
        failed = FailRequest(run=name, machine="machine", error="States.TaskFailed", cause=cause)
        fail(
            failed,
            pinned=self.pinned,
            state=self.state,
            executions=self.executions,
            notify=self.notify,
            log=self.log,
            clock=self.world.clock,
        )
        return "failed"

    def plan(self, name: str, replay: Replay | None = None, *, tables: tuple[str, ...] = (), full_refresh: tuple[str, ...] = ()):
        request = PlanRequest(run=name, machine="machine", tables=tables, full_refresh=full_refresh, replay=replay)
        return self._lambda(plan, request, self.documents, self.executions)

    def _lambda(self, step, request, *ports):
        """Lambda's own retry: a killed one is called again, up to three times in all."""
        names = {id(self.documents): "documents", id(self.executions): "executions"}
        more = {names[id(port)]: port for port in ports}
        if step is not plan:
            more["delta_log"] = self.tables
        if step is gate:
            more["notify"] = self.notify
        for _ in range(3):
            try:
                return step(request, pinned=self.pinned, state=self.state, log=self.log, clock=self.world.clock, **more)
            except Killed:
                if self.dies_with_job:
                    raise
        raise SluiceError("retries exhausted")

    def _glue(self, run: str, fence: int, stage_name: str, group: str, target: str | None = None) -> None:
        self.glue_number += 1
        glue_run = f"jr-{self.glue_number}"
        self.executions._glue[glue_run] = "live"
        self.executions._live.setdefault(run, set()).add(glue_run)
        job = Job(run=run, fence=fence, stage=stage_name, group=group, glue_run=glue_run, target=target)
        ctx = JobContext(
            job=job,
            pinned=self.pinned,
            max_windows=3,
            state=self.state,
            documents=self.documents,
            delta_log=self.tables,
            executions=self.executions,
            log=self.log,
            clock=self.world.clock,
            tables=self.tables,
            sources=self.tables,
            do_all=self._do_all,
        )
        try:
            JOBS[stage_name](ctx)
            self.executions._glue[glue_run] = "succeeded"
        except (Killed, SluiceError) as ended:
            self.executions._glue[glue_run] = "failed"
            if isinstance(ended, SluiceError):
                raise
            if self.dies_with_job:
                raise
            raise SluiceError(f"glue run {glue_run} was killed") from ended
        finally:
            self.executions._live[run].discard(glue_run)

    def _no_fact_dangles(self) -> None:
        """At no moment does a fact that a reader of the latest versions sees point at a row that is not there."""
        rows = {name: living(self.lake.table(name), self.latest(name)) for name in self.tables.tables if name.startswith("gold.")}
        for table in self.lake.tables:
            for link in table.relationships:
                there = {row[link.to_column] for row in rows.get(link.to_table, {}).values()}
                dangling = {row[link.column] for row in rows.get(table.name, {}).values()} - there
                assert not dangling, f"{table.name} points at {dangling} of {link.to_table}"

    def _do_all(self, tasks: Sequence[Task]) -> None:
        """One by one, in any order their needs allow; another for every Glue run, and the same in every repetition."""
        random, waiting, done = Random(self.glue_number), list(tasks), set[str]()
        while waiting:
            task = random.choice([task for task in waiting if task.needs <= done])
            task.do()
            waiting.remove(task)
            done.add(task.name)

    # ---- what a reader sees

    def content(self, name: str) -> dict:
        """The certified rows of a table, tombstones left out."""
        entry = self.state._certified.tables.get(name)
        if entry is None:
            return {}
        return living(self.lake.table(name), self.tables.tables[name][entry.version].content)

    def latest(self, name: str) -> dict:
        versions = self.tables.tables.get(name, [])
        return versions[-1].content if versions else {}

    def certified_batches(self, name: str) -> dict:
        seq = self.state._progress[name].seq
        return {b: lanes for b, lanes in self.latest(name).items() if int(b.rsplit("-", 1)[1]) <= seq}
