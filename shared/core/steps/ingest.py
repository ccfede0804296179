"""ingest: freeze windows, land each as one batch of bronze, write its rejects and the evidence. Read the source once a window, or not at all."""

from collections.abc import Iterator

from shared.core.batches import holds_rows, last_commit, reissue, reusable
from shared.core.errors import BadState, DataRejected, EvidenceInvalid
from shared.core.job import JobContext, check_writer, claim_group
from shared.core.layout import errors_prefix, evidence_key, plan_key, table_path
from shared.core.messages import Batch, BatchEvidence, IngestEvidence, Plan, Progress, Replay
from shared.core.replay import replay_batch
from shared.core.window import Freezer, next_batch, upper_bound
from shared.spec.lake import Table


def ingest(ctx: JobContext) -> None:
    """Every source table of the job's group. A table whose data is refused halts alone; anything else ends the job, and the next run goes on."""
    claim_group(ctx)
    replay = _plan(ctx).replay
    for table in ctx.lake.sources:
        if table.group == ctx.job.group:
            _ingest_table(ctx, table, replay if replay is not None and replay.table == table.name else None)


def _plan(ctx: JobContext) -> Plan:
    """Raises EvidenceMissing, EvidenceInvalid."""
    key = plan_key(ctx.job.run)
    plan = ctx.documents.get(key, Plan)
    if (plan.run, plan.fence) != (ctx.job.run, ctx.job.fence):
        raise EvidenceInvalid(f"{key} belongs to run {plan.run}, fence {plan.fence}")
    return plan


def _ingest_table(ctx: JobContext, table: Table, replay: Replay | None) -> None:
    landed: list[BatchEvidence] = []
    problem = None
    try:
        for evidence in _land_windows(ctx, table, replay):
            landed.append(evidence)
    except DataRejected as refused:
        problem = str(refused)
        ctx.log.warning("table_refused", table=table.name, problem=problem)
    check_writer(ctx)
    job = ctx.job
    document = IngestEvidence(
        run=job.run,
        fence=job.fence,
        table=table.name,
        glue_run=job.glue_run,
        contract_hash=table.contract_hash,
        path=table_path(table),
        batches=tuple(landed),
        problem=problem,
    )
    ctx.documents.put(evidence_key(job.run, "ingest", table.name), document)


def _land_windows(ctx: JobContext, table: Table, replay: Replay | None) -> Iterator[BatchEvidence]:
    base = _certified_version(ctx, table)
    newest_below = base
    for batch in _windows(ctx, table, replay):
        evidence = _land(ctx, table, batch, base=base, newest_below=newest_below)
        newest_below = max(newest_below, evidence.version or 0)
        yield evidence


def _certified_version(ctx: JobContext, table: Table) -> int:
    """The version whose successors may hold pending batches; creates a table that is not there."""
    path, entry = table_path(table), ctx.state.certified().tables.get(table.name)
    latest = ctx.delta_log.latest(path)
    if latest is None:
        if entry is not None:
            raise BadState(
                f"{table.name} is certified at version {entry.version} but there is no table at {path}; restore it from the bucket's versions"
            )
        return ctx.tables.create(table, ctx.writer, ctx.guard)
    if entry is not None and entry.version > latest:
        raise BadState(f"{table.name} is certified at version {entry.version} but its log ends at {latest}")
    return 0 if entry is None else entry.version


def _windows(ctx: JobContext, table: Table, replay: Replay | None) -> Iterator[Batch]:
    """The windows left pending, then a replay that was asked for, then new ones: frozen before they are read, until caught up or `max_windows`."""
    progress = ctx.state.progress(table.name)
    pending = [batch for batch in ctx.state.pending(table.name) if batch.seq > progress.seq]
    if replay is not None and pending and (pending[0].run, pending[0].replay) != (ctx.job.run, replay):
        raise BadState(f"{table.name}: plan found nothing pending, and there is {pending[0].batch_id} of run {pending[0].run}; run again")
    yield from pending[: ctx.max_windows]
    freezer = Freezer(run=ctx.job.run, fence=ctx.job.fence, at=ctx.clock())
    if replay is not None and not pending:
        pending.append(_freeze(ctx, table, progress, replay_batch(table, progress, replay, freezer)))
        yield pending[-1]
    if len(pending) >= ctx.max_windows or table.source is None:
        return
    bound = upper_bound(ctx.sources.clock(table), table.source.watermark)
    while len(pending) < ctx.max_windows:
        batch = next_batch(table, progress, pending, bound, freezer)
        if batch is None:
            return
        pending.append(_freeze(ctx, table, progress, batch))
        yield batch


def _freeze(ctx: JobContext, table: Table, progress: Progress, batch: Batch) -> Batch:
    ctx.state.freeze(ctx.job.run, ctx.job.fence, table.name, batch, prune_to=progress.seq)
    told = {} if batch.replay is None else {"rules": list(batch.replay.rules), "runs": list(batch.replay.runs)}
    what = "window_frozen" if batch.replay is None else "replay_frozen"
    ctx.log.event(what, table=table.name, batch_id=batch.batch_id, lo=batch.lo.isoformat(), hi=batch.hi.isoformat(), **told)
    return batch


def _land(ctx: JobContext, table: Table, batch: Batch, *, base: int, newest_below: int) -> BatchEvidence:
    commit = last_commit(ctx.delta_log.commits(table_path(table), base), batch.batch_id)
    if commit is not None and reusable(table, batch, commit, newest_below=newest_below):
        evidence, how = reissue(commit), "batch_reused"
    else:
        evidence = ctx.tables.land(table, batch, holds_rows=holds_rows(commit), writer=ctx.writer, guard=ctx.guard)
        how = "batch_landed"
    if evidence.version is not None:
        ctx.tables.write_errors(table, batch, errors_prefix(table, batch.ingest_time, batch.run))
    counts = evidence.counts
    ctx.log.event(
        how, table=table.name, batch_id=batch.batch_id, read=counts.read, accepted=counts.accepted, rejected=counts.rejected, seen=counts.seen
    )
    return evidence
