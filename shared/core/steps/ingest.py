"""ingest: freeze windows, land each as one batch of bronze, write its rejects and the evidence. Read the source once a window, or not at all."""

from collections.abc import Iterator, Sequence

from shared.core.batches import begun_by_us, halted, holds_rows, last_commit, reissue, reusable, unknown_batches
from shared.core.errors import BadState, DataRejected
from shared.core.files import Manifest, manifests
from shared.core.job import JobContext, check_writer, claim_group
from shared.core.layout import errors_prefix, evidence_key, table_path
from shared.core.messages import Batch, BatchEvidence, IngestEvidence, LogCommit, Progress, Replay
from shared.core.replay import replay_batch
from shared.core.steps.judging import read_plan
from shared.core.steps.working import tasks
from shared.core.window import Freezer, behind, known_manifest, next_batch, next_files, next_snapshot, refuse_other_kind, upper_bound
from shared.spec.codec import to_json
from shared.spec.lake import Position, Source, Table


def ingest(ctx: JobContext) -> None:
    """Every planned source table of the job's group. A table whose data is refused halts alone; anything else ends the job: the next run goes on."""
    claim_group(ctx)
    plan = read_plan(ctx.documents, ctx.job.run, ctx.job.fence)
    planned, replay = {planned.table for planned in plan.tables}, plan.replay
    ctx.do_all(
        tasks(
            [table for table in ctx.lake.sources if table.group == ctx.job.group and table.name in planned],
            lambda table: _ingest_table(ctx, table, replay if replay and replay.table == table.name else None),
        )
    )


def _ingest_table(ctx: JobContext, table: Table, replay: Replay | None) -> None:
    landed: list[BatchEvidence] = []
    warnings: list[str] = []
    problem = None
    try:
        for evidence in _land_windows(ctx, table, replay, warnings):
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
        warnings=tuple(warnings),
    )
    ctx.documents.put(evidence_key(job.run, "ingest", table.name), document)


def _land_windows(ctx: JobContext, table: Table, replay: Replay | None, warnings: list[str]) -> Iterator[BatchEvidence]:
    progress, pending = ctx.state.progress(table.name), ctx.state.pending(table.name)
    base, commits = _certified_version(ctx, table, progress, pending)
    newest_below = base
    for batch in _windows(ctx, table, replay, progress, pending, warnings):
        evidence = _land(ctx, table, batch, last_commit(commits, batch.batch_id), newest_below=newest_below)
        newest_below = max(newest_below, evidence.version or 0)
        yield evidence


def _certified_version(ctx: JobContext, table: Table, progress: Progress, pending: Sequence[Batch]) -> tuple[int, Sequence[LogCommit]]:
    """The version whose successors may hold pending batches, and the log's commits since; creates a table that is not there.

    Raises BadState for one that is not ours. One reading serves all batches: the job itself adds one commit a batch, after it asked for that batch's.
    """
    path, entry = table_path(table), ctx.state.certified().tables.get(table.name)
    latest = ctx.delta_log.latest(path)
    if latest is None:
        if entry is not None:
            raise BadState(
                f"{table.name} is certified at version {entry.version} but there is no table at {path}; restore it from the bucket's versions"
            )
        return ctx.tables.create(table, ctx.writer, ctx.guard), ()
    if entry is not None and entry.version > latest:
        raise BadState(f"{table.name} is certified at version {entry.version} but its log ends at {latest}")
    commits = ctx.delta_log.commits(path, -1 if entry is None else entry.version)
    unknown = unknown_batches(commits, pending, after_seq=progress.seq)
    if unknown or (entry is None and not begun_by_us(commits)):
        raise BadState(
            f"{table.name} has data at {path} that no run of this lake froze or created ({', '.join(unknown[:5]) or 'its first version'}); "
            "restore the state table to a point in time that knows it, or move it away"
        )
    return (0 if entry is None else entry.version), commits


def _windows(
    ctx: JobContext, table: Table, replay: Replay | None, progress: Progress, known: Sequence[Batch], warnings: list[str]
) -> Iterator[Batch]:
    """The windows left pending, then a replay that was asked for, then new ones: frozen before they are read, until caught up or `max_windows`.

    A source that is behind what was read gives none, and a text in `warnings`.
    """
    pending = [batch for batch in known if batch.seq > progress.seq]
    refuse_other_kind(table, progress, pending)
    if replay is not None and pending and (pending[0].run, pending[0].replay) != (ctx.job.run, replay):
        raise BadState(f"{table.name}: plan found nothing pending, and there is {pending[0].batch_id} of run {pending[0].run}; run again")
    yield from pending[: ctx.max_windows]
    if replay is not None and not pending:
        pending.append(_freeze(ctx, table, progress, replay_batch(table, progress, replay, _freezer(ctx))))
        yield pending[-1]
    if len(pending) >= ctx.max_windows or table.source is None:
        return
    kind = _file_windows if table.source.files else _snapshots if table.source.snapshot else _column_windows
    for batch in kind(ctx, table, table.source, progress, pending, warnings):
        pending.append(_freeze(ctx, table, progress, batch))
        yield batch
        if len(pending) >= ctx.max_windows:
            return


def _freeze(ctx: JobContext, table: Table, progress: Progress, batch: Batch) -> Batch:
    ctx.state.freeze(ctx.job.run, ctx.job.fence, table.name, batch, prune_to=progress.seq)
    told = {} if batch.replay is None else {"rules": list(batch.replay.rules), "runs": list(batch.replay.runs)}
    what = "window_frozen" if batch.replay is None else "replay_frozen"
    ctx.log.event(what, table=table.name, batch_id=batch.batch_id, lo=to_json(batch.lo), hi=to_json(batch.hi), **told)
    return batch


# Each of these gives the batches to freeze; the caller adds each to `pending` before it asks for the next.


def _column_windows(
    ctx: JobContext, table: Table, source: Source, progress: Progress, pending: Sequence[Batch], warnings: list[str]
) -> Iterator[Batch]:
    bound, freezer = upper_bound(ctx.sources.clock(table), source.windows), _freezer(ctx)
    warnings += _oddities(ctx, table, progress, pending, bound)
    while (batch := next_batch(table, progress, pending, bound, freezer)) is not None:
        yield batch


def _snapshots(ctx: JobContext, table: Table, source: Source, progress: Progress, pending: Sequence[Batch], warnings: list[str]) -> Iterator[Batch]:
    """One a run. While an earlier one is halted there is no other: every one behind it would wait, and be read again with it."""
    if halted(pending) is not None:
        return
    now = ctx.sources.clock(table).now
    warnings += _oddities(ctx, table, progress, pending, now)
    batch = next_snapshot(table, progress, pending, now, _freezer(ctx))
    if batch is not None:
        yield batch


def _file_windows(
    ctx: JobContext, table: Table, source: Source, progress: Progress, pending: Sequence[Batch], warnings: list[str]
) -> Iterator[Batch]:
    """From one listing; each manifest is written before its batch is pending."""
    if source.files is None:
        raise ValueError(f"{table.name} is not read from files")
    known = known_manifest(progress, pending)
    inventory = {} if known is None else ctx.documents.get(known, Manifest).inventory
    for frozen in manifests(source.files, ctx.sources.objects(table), inventory, first=progress.seq == 0 and not pending):
        batch = next_files(table, progress, pending, _freezer(ctx))
        check_writer(ctx)
        ctx.documents.put(str(batch.manifest), frozen)
        yield batch


def _oddities(ctx: JobContext, table: Table, progress: Progress, pending: Sequence[Batch], bound: Position) -> list[str]:
    """That the source is behind what was read, if it is."""
    odd = behind(table, progress, pending, bound)
    if odd is None:
        return []
    ctx.log.warning("source_behind", table=table.name, warning=odd)
    return [odd]


def _freezer(ctx: JobContext) -> Freezer:
    return Freezer(run=ctx.job.run, fence=ctx.job.fence, at=ctx.clock())


def _land(ctx: JobContext, table: Table, batch: Batch, commit: LogCommit | None, *, newest_below: int) -> BatchEvidence:
    """`commit` is the batch's last one, of an earlier run."""
    if commit is not None and reusable(table, batch, commit, newest_below=newest_below):
        evidence, how = reissue(commit), "batch_reused"
    else:
        objects = () if batch.manifest is None else ctx.documents.get(batch.manifest, Manifest).objects
        evidence = ctx.tables.land(table, batch, objects=objects, holds_rows=holds_rows(commit), writer=ctx.writer, guard=ctx.guard)
        how = "batch_landed"
    counts = evidence.counts
    if evidence.version is not None:
        ctx.tables.write_errors(table, batch, errors_prefix(table, batch.ingest_time, batch.run), rejected=counts.rejected)
    ctx.log.event(
        how, table=table.name, batch_id=batch.batch_id, read=counts.read, accepted=counts.accepted, rejected=counts.rejected, seen=counts.seen
    )
    return evidence
