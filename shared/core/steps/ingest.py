"""ingest: freeze windows, land each as one batch of bronze, write its rejects and the evidence. Read the source once a window, or not at all."""

from collections.abc import Iterator, Sequence
from functools import partial

from shared.core.batches import begun_by_us, holds_rows, last_commit, reissue, reusable, unknown_batches
from shared.core.errors import BadState, DataRejected
from shared.core.graph import waves
from shared.core.job import JobContext, check_writer, claim_group
from shared.core.layout import errors_prefix, evidence_key, table_path
from shared.core.messages import Batch, BatchEvidence, Entry, IngestEvidence, Progress
from shared.core.window import Freezer, behind, next_batch, refuse_other_kind, upper_bound
from shared.spec.codec import to_json
from shared.spec.lake import Table


def ingest(ctx: JobContext) -> None:
    """Every source table of the job's group. A table whose data is refused halts alone; anything else ends the job, and the next run goes on."""
    claim_group(ctx)
    for wave in waves([table for table in ctx.lake.sources if table.group == ctx.job.group]):
        ctx.at_once([partial(_ingest_table, ctx, table) for table in wave])


def _ingest_table(ctx: JobContext, table: Table) -> None:
    landed: list[BatchEvidence] = []
    warnings: list[str] = []
    problem = None
    try:
        for evidence in _land_windows(ctx, table, warnings):
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
        warning=warnings[0] if warnings else None,
    )
    ctx.documents.put(evidence_key(job.run, "ingest", table.name), document)


def _land_windows(ctx: JobContext, table: Table, warnings: list[str]) -> Iterator[BatchEvidence]:
    progress, pending = ctx.state.progress(table.name), ctx.state.pending(table.name)
    base = _certified_version(ctx, table, progress, pending)
    newest_below = base
    for batch in _windows(ctx, table, progress, pending, warnings):
        evidence = _land(ctx, table, batch, base=base, newest_below=newest_below)
        newest_below = max(newest_below, evidence.version or 0)
        yield evidence


def _certified_version(ctx: JobContext, table: Table, progress: Progress, pending: Sequence[Batch]) -> int:
    """The version whose successors may hold pending batches; creates a table that is not there. Raises BadState for one that is not ours."""
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
    _refuse_unknown(ctx, table, entry, progress, pending)
    return 0 if entry is None else entry.version


def _refuse_unknown(ctx: JobContext, table: Table, entry: Entry | None, progress: Progress, pending: Sequence[Batch]) -> None:
    path = table_path(table)
    commits = ctx.delta_log.commits(path, -1 if entry is None else entry.version)
    unknown = unknown_batches(commits, pending, after_seq=progress.seq)
    if unknown or (entry is None and not begun_by_us(commits)):
        raise BadState(
            f"{table.name} has data at {path} that no run of this lake froze or created ({', '.join(unknown[:5]) or 'its first version'}); "
            "restore the state table to a point in time that knows it, or move it away"
        )


def _windows(ctx: JobContext, table: Table, progress: Progress, known: Sequence[Batch], warnings: list[str]) -> Iterator[Batch]:
    """The windows left pending, then new ones frozen before they are read, until caught up or `max_windows`.

    A source that is behind what was read gives none, and a text in `warnings`.
    """
    pending = [batch for batch in known if batch.seq > progress.seq]
    refuse_other_kind(table, progress, pending)
    yield from pending[: ctx.max_windows]
    if len(pending) >= ctx.max_windows or table.source is None:
        return
    job, bound = ctx.job, upper_bound(ctx.sources.clock(table), table.source.watermark)
    odd = behind(table, progress, pending, bound)
    if odd is not None:
        warnings.append(odd)
        ctx.log.warning("source_behind", table=table.name, warning=odd)
    freezer = Freezer(run=job.run, fence=job.fence, at=ctx.clock())
    while len(pending) < ctx.max_windows:
        batch = next_batch(table, progress, pending, bound, freezer)
        if batch is None:
            return
        ctx.state.freeze(job.run, job.fence, table.name, batch, prune_to=progress.seq)
        ctx.log.event("window_frozen", table=table.name, batch_id=batch.batch_id, lo=to_json(batch.lo), hi=to_json(batch.hi))
        pending.append(batch)
        yield batch


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
