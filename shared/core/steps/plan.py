"""plan: take the lock, raise the fence, pin lake.json, look for an unfinished intent, say what the run may touch."""

from collections.abc import Mapping
from datetime import datetime

from shared.core.choice import Choice, choose
from shared.core.errors import BadState, DeployedMidRun, LockHeld
from shared.core.events import PlanAnswer, PlanRequest
from shared.core.graph import groups_of, only
from shared.core.layout import plan_key
from shared.core.messages import Intent, Lock, RunRecord
from shared.core.ports import Clock, Documents, Executions, Log, State
from shared.core.replay import refuse_replay
from shared.core.run_documents import Plan, PlannedTable
from shared.spec.lake import Lake, PinnedLake, SourceKind, Table

_READS: Mapping[SourceKind, str] = {"windows": "the next windows", "snapshot": "a snapshot", "files": "new objects"}


def plan(
    request: PlanRequest, *, pinned: PinnedLake, state: State, documents: Documents, executions: Executions, log: Log, clock: Clock
) -> PlanAnswer:
    """Repeating it within one run gives the same fence.

    Raises RequestRefused, LockHeld naming the holder, LostRace when another run took the lock meanwhile, DeployedMidRun, and BadState when an
    unfinished intent is of tables that this lake no longer has.
    """
    if request.scheduled is not None and state.take_schedule(request.scheduled, request.run) != request.run:
        log.event("schedule_already_run", scheduled=request.scheduled)
        return PlanAnswer(fence=0, recover=None, duplicate=True, groups=())
    choice = choose(pinned.lake, tables=request.tables, full_refresh=request.full_refresh, replay=request.replay)
    at = clock()
    fence = _take_lock(request, pinned, state, executions, at)
    state.start_run(_new_record(request.run, fence, at))
    intent = state.intent()
    if intent is not None:
        log.warning("intent_without_commit", intent_run=intent.run)
        _refuse_lost_tables(pinned.lake, intent, documents)
        return PlanAnswer(fence=fence, recover=intent.run, duplicate=False, groups=())
    if request.replay is not None:
        refuse_replay(request.replay, pinned.lake, state)  # under the lock: what is pending now stays so
    lake = only(pinned.lake, choice.tables)
    planned = Plan(
        run=request.run,
        fence=fence,
        lake_hash=pinned.hash,
        at=at,
        tables=_planned(lake, request, choice),
        full_refresh=choice.full_refresh,
        replay=request.replay,
    )
    documents.put(plan_key(request.run), planned)
    groups = groups_of(lake, "ingest", [table.name for table in lake.sources])
    log.event("planned", fence=fence, tables=len(lake.tables), groups=list(groups))
    return PlanAnswer(fence=fence, recover=None, duplicate=False, groups=groups)


def _take_lock(request: PlanRequest, pinned: PinnedLake, state: State, executions: Executions, at: datetime) -> int:
    read = state.lock()
    if read.run == request.run:
        if read.lake_hash != pinned.hash:
            raise DeployedMidRun(f"run {request.run} began with another lake.json: deployed mid-run; start again")
        return read.fence
    if read.run is not None:
        _refuse_unless_over(read, request.machine, executions)
        _close_record(read.run, state, at)
    state.take_lock(read, Lock(run=request.run, fence=read.fence + 1, since=at, lake_hash=pinned.hash))
    return read.fence + 1


def _refuse_unless_over(lock: Lock, machine: str, executions: Executions) -> None:
    """Never on time alone: two Spark drivers on one Delta table on S3 can lose a commit."""
    holder = str(lock.run)
    if not executions.is_terminal(machine, holder):
        raise LockHeld(f"the lake is held by run {holder} since {lock.since:%Y-%m-%d %H:%M:%S} UTC, which is still running; wait for it or stop it")
    live = executions.live_glue_runs(holder)
    if live:
        raise LockHeld(f"the lake is held by run {holder}: it ended, but its Glue runs {', '.join(live)} have not; stop them or wait")


def _close_record(run: str, state: State, at: datetime) -> None:
    """Nobody else speaks for a run that was stopped or timed out. Before the lock moves: a plan killed in between comes here again."""
    record = state.run(run)
    if record is not None and record.status == "running":
        state.fail_run(run, problem="its execution ended without saying why", at=at)


def _refuse_lost_tables(lake: Lake, intent: Intent, documents: Documents) -> None:
    """Half of its tables may be published already: it can only be finished, and by code that knows them."""
    known = {table.name for table in lake.tables}
    lost = [change_set.table for change_set in intent.change_sets if change_set.table not in known]
    if lost:
        began = documents.get(plan_key(intent.run), Plan).lake_hash
        raise BadState(
            f"run {intent.run} was about to publish {', '.join(lost)}, which this lake.json no longer has; "
            f"redeploy the lake.json whose hash starts with {began[:12]} once, then run"
        )


def _new_record(run: str, fence: int, at: datetime) -> RunRecord:
    return RunRecord(run=run, fence=fence, status="running", started=at, ended=None, verdicts={}, counts={}, timings={}, problem=None)


def _planned(lake: Lake, request: PlanRequest, choice: Choice) -> tuple[PlannedTable, ...]:
    named = {*request.tables, *request.full_refresh, *([request.replay.table] if request.replay else [])}
    because = {table.name: f"{choice.why}: " if choice.why is not None and table.name not in named else "" for table in lake.tables}
    return tuple(
        PlannedTable(table=table.name, stage=table.stage, group=table.group, why=because[table.name] + _why(table, request, choice))
        for table in lake.tables
    )


def _why(table: Table, request: PlanRequest, choice: Choice) -> str:
    if table.source is not None:
        first = "replays rejects, then " if request.replay is not None and request.replay.table == table.name else ""
        return f"{first}reads {_READS[table.source.kind]} of {table.source.relation}"
    if table.name in choice.full_refresh:
        return "a full refresh was asked for"
    inputs = ", ".join(table.inputs) or "its own SQL"
    return f"when {inputs} moved since it was last computed, or its definition changed"
