"""stage: compute each gold table's change set against silver as this run's gate passed it and gold as certified. Gold itself is not touched."""

from shared.core.batches import begun_by_us
from shared.core.errors import BadState, DataRejected
from shared.core.job import JobContext, claim_group
from shared.core.layout import staging_path, table_path
from shared.core.messages import Certified, ChangeSetRef, Entry, TableEvidence
from shared.core.ports import InputRead, Staged
from shared.core.run_documents import GateDecision
from shared.core.steps.judging import read_decision
from shared.core.steps.refine import NOTHING
from shared.core.steps.working import work_through
from shared.spec.lake import Table


def stage(ctx: JobContext) -> None:
    """Every gold table of the job's group that has work, in dependency order; later ones see the change sets of earlier ones laid over gold."""
    claim_group(ctx)
    decision = read_decision(ctx.documents, ctx.job.run, ctx.job.fence, "refine")
    certified = ctx.state.certified()
    staged: dict[str, str] = {}
    work_through(
        ctx,
        decision.todo,
        compute=lambda table: _stage_table(ctx, table, decision, certified, staged),
        stopped=lambda table, problem: _evidence(ctx, table, certified.tables.get(table.name), {}, problem=problem),
    )


def _stage_table(ctx: JobContext, table: Table, decision: GateDecision, certified: Certified, staged: dict[str, str]) -> TableEvidence:
    entry, job = certified.tables.get(table.name), ctx.job
    _check_untouched(ctx, table, entry)
    rebuild = entry is None or entry.definition_hash != table.definition_hash or table.name in decision.refresh
    inputs = tuple(_input(ctx, name, None if rebuild else entry, decision, certified, staged) for name in table.inputs)
    path = staging_path(job.run, job.fence, job.glue_run, table.name)
    base = None if entry is None else entry.version
    consumed = {read.table.name: -1 if read.version is None else read.version for read in inputs}
    try:
        done = ctx.tables.stage(table, inputs, target_version=base, rebuild=rebuild, path=path, overlays=dict(staged))
    except DataRejected as refused:
        ctx.log.warning("table_refused", table=table.name, problem=str(refused))
        return _evidence(ctx, table, entry, consumed, problem=str(refused))
    staged[table.name] = path
    ctx.log.event("change_set_staged", table=table.name, upserts=done.upserts, deletes=done.deletes)
    ref = ChangeSetRef(
        table=table.name, path=path, digest=done.digest, base_version=base, upserts=done.upserts, deletes=done.deletes, reshapes=done.reshapes
    )
    return _evidence(ctx, table, entry, consumed, staged=ref, done=done)


def _check_untouched(ctx: JobContext, table: Table, entry: Entry | None) -> None:
    """Gold moves in publish alone, and a publish without its commit was finished before this run began: anything newer is not ours."""
    path = table_path(table)
    latest = ctx.delta_log.latest(path)
    if latest == (None if entry is None else entry.version):
        return
    if entry is None and latest == 0 and begun_by_us(ctx.delta_log.commits(path, -1)):
        return
    certified = "not certified" if entry is None else f"certified at version {entry.version}"
    raise BadState(f"{table.name} is {certified} but its log ends at {latest}: something other than publish wrote it; nothing is staged")


def _input(ctx: JobContext, name: str, entry: Entry | None, decision: GateDecision, certified: Certified, staged: dict[str, str]) -> InputRead:
    table = ctx.lake.table(name)
    entries = certified.tables if table.layer == "gold" else decision.entries
    if name not in entries and name not in staged:
        raise BadState(f"{name} is read by a gold table but has no certified version")
    version = entries[name].version if name in entries else None
    return InputRead(table=table, version=version, consumed=None if entry is None else entry.consumed.get(name), overlay=staged.get(name))


def _evidence(
    ctx: JobContext,
    table: Table,
    entry: Entry | None,
    consumed: dict[str, int],
    *,
    staged: ChangeSetRef | None = None,
    done: Staged | None = None,
    problem: str | None = None,
) -> TableEvidence:
    return TableEvidence(
        run=ctx.job.run,
        fence=ctx.job.fence,
        stage="stage",
        table=table.name,
        glue_run=ctx.job.glue_run,
        contract_hash=table.contract_hash,
        definition_hash=table.definition_hash,
        path=table_path(table),
        version=None if entry is None else entry.version,
        digest=None if staged is None else staged.digest,
        unchanged=False,
        consumed=consumed,
        counts=NOTHING if done is None else done.counts,
        rules=() if done is None else done.rules,
        change_set=staged,
        problem=problem,
    )
