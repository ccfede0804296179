"""The gate after ingest: judges batch by batch; positions move along the unbroken prefix of passed batches only."""

from collections.abc import Sequence

from shared.core.graph import content_seq, held_back, with_work
from shared.core.layout import table_path
from shared.core.messages import Batch, BatchEvidence, Entry, Finding, IngestEvidence, Outcome, Progress
from shared.core.replay import totals_with
from shared.core.run_documents import GateDecision
from shared.core.steps.judging import Bench, Docket, distrust, ingest_evidence, newest_value, problem_finding, warning_findings
from shared.core.trust import doubts_of_batch, doubts_of_ingest
from shared.core.verdict import judge_batch, verdict_of, with_bypasses
from shared.spec.lake import Table


def decide_bronze(bench: Bench, docket: Docket) -> GateDecision:
    """Verdicts of every planned source, outcomes of every batch, and the silver tables that have work."""
    progress: dict[str, Progress] = {}
    entries: dict[str, Entry] = {}
    for table in bench.lake.sources:
        progress[table.name], entry = _judge_source(bench, docket, table)
        if entry is not None:
            entries[table.name] = entry
    blocked = held_back(bench.lake, docket.halted)
    offered = {table.name: entries[table.name].consumed[table.name] if table.name in entries else 0 for table in bench.lake.sources}
    offered |= _certified_versions(bench)
    return GateDecision(
        run=bench.request.run,
        fence=bench.request.fence,
        stage="ingest",
        verdicts=tuple(docket.verdicts.values()),
        progress=progress,
        entries=entries,
        todo=with_work(bench.lake, "refine", bench.certified, offered, refresh=bench.refresh, blocked=blocked),
        refresh=bench.refresh,
        blocked=blocked,
        change_sets=(),
    )


def _certified_versions(bench: Bench) -> dict[str, int]:
    return {name: entry.version for name, entry in bench.certified.tables.items() if not name.startswith("bronze.")}


def _judge_source(bench: Bench, docket: Docket, table: Table) -> tuple[Progress, Entry | None]:
    """Progress and CERTIFIED entry to be of one source, moved along its passed prefix."""
    request, progress = bench.request, bench.state.progress(table.name)
    entry = bench.certified.tables.get(table.name)
    evidence = ingest_evidence(bench, table)
    if isinstance(evidence, Finding):
        docket.rule(bench, table, [evidence])
        return progress, entry
    doubts = doubts_of_ingest(table, evidence, run=request.run, fence=request.fence)
    if doubts:
        docket.rule(bench, table, distrust(doubts))
        return progress, entry
    judged = _judge_batches(bench, table, evidence, progress)
    docket.rule(
        bench,
        table,
        [*(finding for _, findings in judged for finding in findings), *problem_finding(evidence.problem), *warning_findings(evidence.warnings)],
    )
    docket.counts[table.name] = _totals(evidence)
    frozen = {batch.batch_id for batch in bench.state.pending(table.name)}
    outcomes = {batch.batch_id: Outcome(verdict=verdict_of(findings), fence=request.fence) for batch, findings in judged if batch.batch_id in frozen}
    if outcomes:
        bench.state.judge(request.run, request.fence, table.name, outcomes)
    return _move(table, progress, content_seq(bench.certified, table.name), entry, judged)


def _judge_batches(bench: Bench, table: Table, evidence: IngestEvidence, progress: Progress) -> list[tuple[BatchEvidence, tuple[Finding, ...]]]:
    entry = bench.certified.tables.get(table.name)
    commits = bench.delta_log.commits(table_path(table), -1 if entry is None else entry.version)
    pending: Sequence[Batch] = bench.state.pending(table.name)
    judged = []
    for expected, batch in enumerate(evidence.batches, start=progress.seq + 1):
        doubts = doubts_of_batch(table, batch, pending, commits)
        if batch.seq != expected:
            doubts.append(f"batch {batch.seq} stands where {expected} belongs")
        found = tuple(distrust(doubts)) or with_bypasses(table, judge_batch(table, batch, at=bench.at), bench.bypasses, at=bench.at)
        judged.append((batch, found))
    return judged


def _move(
    table: Table, progress: Progress, content: int, entry: Entry | None, judged: list[tuple[BatchEvidence, tuple[Finding, ...]]]
) -> tuple[Progress, Entry | None]:
    version = 0 if entry is None else entry.version
    newest = [] if entry is None or entry.newest is None else [entry.newest]
    for batch, findings in judged:
        if verdict_of(findings) == "halt":
            break
        manifest = batch.manifest or progress.manifest
        progress = Progress(position=batch.hi, seq=batch.seq, manifest=manifest, totals=totals_with(progress, batch))
        if batch.version is not None:
            version = max(version, batch.version)
            content = batch.seq if batch.counts.accepted_lane else content
        newest += filter(None, [newest_value(table, batch.rules)])
    if entry is None and progress.seq == 0:
        return progress, None
    return progress, Entry(version=version, definition_hash=table.definition_hash, consumed={table.name: content}, newest=max(newest, default=None))


def _totals(evidence: IngestEvidence) -> dict[str, int]:
    deleted = ["deleted"] if any(batch.counts.deleted for batch in evidence.batches) else []
    names = ("read", "accepted", "rejected", "seen", *deleted)
    counted = {name: sum(getattr(batch.counts, name) for batch in evidence.batches) for name in names}
    return {"batches": len(evidence.batches)} | counted | {"late": sum(batch.late for batch in evidence.batches)}
