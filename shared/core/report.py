"""What a run's report says: one value, composed from whatever documents the run left, and written as `report.json`. Pure.

A run that failed early left few of them: what it did not reach is said so, and never guessed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.core.cost import Cost, cost_of
from shared.core.layout import errors_prefix
from shared.core.messages import Batch, BatchEvidence, Certified, Finding, IngestEvidence, RunRecord, TableEvidence, WriteCounts
from shared.core.run_documents import GateDecision, Plan
from shared.spec.codec import parse_instant
from shared.spec.lake import Lake, Position, Stage, Table
from shared.spec.prices import Prices

Outcome = Literal["pass", "warn", "halt", "blocked", "nothing to do", "not reached", "not planned"]
Status = Literal["running", "passed", "blocked", "failed", "unknown"]
STAGES: tuple[Stage, ...] = ("ingest", "refine", "stage", "publish")
TOP_REASONS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What could be read of a run. A document that was never written is absent; one that could not be believed is in `troubles`."""

    run: str
    at: datetime
    record: RunRecord | None
    plan: Plan | None
    decisions: Mapping[Stage, GateDecision]
    evidence: Mapping[str, IngestEvidence | TableEvidence]  # by table
    pending: Mapping[str, tuple[Batch, ...]]  # by source table
    certified: Certified
    troubles: Mapping[str, str]  # key of the document -> why it cannot be read
    dpu_seconds: tuple[float, ...] | None = None  # of each Glue run; None where they are not known


@dataclass(frozen=True, slots=True, kw_only=True)
class StageReport:
    """One stage. Times are None when it was not reached; a stage ends when its gate (of publish: commit) has spoken."""

    stage: Stage
    start: datetime | None
    end: datetime | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """One batch: read = accepted + rejected + seen when `accounted`. `reused`: landed by an earlier run. `rejects`: folder of its rejected rows.

    `replay`: not a window, but rejects injected again.
    """

    batch_id: str
    lo: Position
    hi: Position
    read: int
    accepted: int
    rejected: int
    seen: int
    late: int  # of accepted and rejected: what only the lookback caught
    accounted: bool
    null_positions: int
    reused: bool
    rejects: str | None
    replay: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """One table. Row counts are None where they do not apply or were not reached; `reasons` are the most frequent, with their rejected rows.

    `certified_version` is what readers are promised now, by the last committed run.
    """

    table: str
    title: str
    owner: str
    stage: Stage
    outcome: Outcome
    why: str | None  # of a blocked table
    findings: tuple[Finding, ...]
    problem: str | None
    read: int | None
    accepted: int | None
    rejected: int | None
    seen: int | None
    late: int | None
    unknown_columns: tuple[str, ...]  # of the source, that the contract does not name
    reasons: Mapping[str, int]
    batches: tuple[BatchReport, ...]
    inserted: int | None
    updated: int | None
    deleted: int | None
    certified_version: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """`_runs/<run>/report.json`. Status `unknown`: the run never got as far as being recorded."""

    run: str
    status: Status
    started: datetime | None
    ended: datetime | None
    reported: datetime
    lake_hash: str | None
    problem: str | None
    blocked: Mapping[str, str]
    stages: tuple[StageReport, ...]
    tables: tuple[TableReport, ...]
    certified_by: str | None
    troubles: Mapping[str, str]
    cost: Cost | None  # None without prices, or where Glue could not be asked


def compose(lake: Lake, gathered: Gathered) -> RunReport:
    """The report of one run over the tables of `lake`, in dependency order."""
    record, plan = gathered.record, gathered.plan
    blocked = blocked_of(gathered.decisions)
    return RunReport(
        run=gathered.run,
        status="unknown" if record is None else record.status,
        started=None if record is None else record.started,
        ended=None if record is None else record.ended,
        reported=gathered.at,
        lake_hash=None if plan is None else plan.lake_hash,
        problem=None if record is None else record.problem,
        blocked=blocked,
        stages=tuple(_stage(stage, record) for stage in STAGES),
        tables=tuple(_table(table, gathered, blocked) for table in lake.tables),
        certified_by=gathered.certified.run,
        troubles=gathered.troubles,
        cost=_cost(lake.prices, gathered),
    )


def _cost(prices: Prices | None, gathered: Gathered) -> Cost | None:
    if prices is None or gathered.dpu_seconds is None:
        return None
    return cost_of(prices, dpu_seconds=gathered.dpu_seconds, gates=len(gathered.decisions), tables=len(gathered.evidence))


def blocked_of(decisions: Mapping[Stage, GateDecision]) -> dict[str, str]:
    """table -> why, as the last gate that spoke has it: each hands on what the one before it held back."""
    spoken = [decisions[stage] for stage in STAGES if stage in decisions]
    return dict(spoken[-1].blocked) if spoken else {}


def _stage(stage: Stage, record: RunRecord | None) -> StageReport:
    timing = {} if record is None else record.timings.get(stage, {})
    start, end = (parse_instant(timing[side]) if side in timing else None for side in ("start", "end"))
    seconds = None if start is None or end is None else (end - start).total_seconds()
    return StageReport(stage=stage, start=start, end=end, seconds=seconds)


def _table(table: Table, gathered: Gathered, blocked: Mapping[str, str]) -> TableReport:
    evidence = gathered.evidence.get(table.name)
    ingested = evidence if isinstance(evidence, IngestEvidence) else None
    written = evidence.counts if isinstance(evidence, TableEvidence) else None
    batches = () if ingested is None else ingested.batches
    findings = _findings(table, gathered)
    entry = gathered.certified.tables.get(table.name)
    return TableReport(
        table=table.name,
        title=table.title,
        owner=table.owner,
        stage=table.stage,
        outcome=_outcome(table, gathered, blocked),
        why=blocked.get(table.name),
        findings=findings,
        problem=None if evidence is None else evidence.problem,
        read=_total(ingested, "read"),
        accepted=_total(ingested, "accepted"),
        rejected=_total(ingested, "rejected"),
        seen=_total(ingested, "seen"),
        late=None if ingested is None else sum(batch.late for batch in batches),
        unknown_columns=tuple(sorted({name for batch in batches for name in batch.unknown_columns})),
        reasons=_top_reasons(batches),
        batches=tuple(_batch(table, batch, ingested.fence, gathered.pending.get(table.name, ())) for batch in batches) if ingested else (),
        inserted=_written(written, "inserted"),
        updated=_written(written, "updated"),
        deleted=_written(written, "deleted"),
        certified_version=None if entry is None else entry.version,
    )


def _outcome(table: Table, gathered: Gathered, blocked: Mapping[str, str]) -> Outcome:
    """A table that passed by itself and was held back with another is blocked: its change did not become visible."""
    if gathered.plan is not None and not any(planned.table == table.name for planned in gathered.plan.tables):
        return "not planned"
    decision = gathered.decisions.get(table.stage)
    verdict = None if decision is None else next((said.verdict for said in decision.verdicts if said.table == table.name), None)
    if verdict == "halt":
        return "halt"
    if table.name in blocked:
        return "blocked"
    if verdict is not None:
        return verdict
    return "not reached" if decision is None else "nothing to do"


def _findings(table: Table, gathered: Gathered) -> tuple[Finding, ...]:
    decision = gathered.decisions.get(table.stage)
    said = () if decision is None else decision.verdicts
    return tuple(finding for verdict in said if verdict.table == table.name for finding in verdict.findings)


def _batch(table: Table, batch: BatchEvidence, fence: int, pending: Iterable[Batch]) -> BatchReport:
    counts = batch.counts
    frozen = next((window for window in pending if window.batch_id == batch.batch_id), None)
    return BatchReport(
        batch_id=batch.batch_id,
        lo=batch.lo,
        hi=batch.hi,
        read=counts.read,
        accepted=counts.accepted,
        rejected=counts.rejected,
        seen=counts.seen,
        late=batch.late,
        accounted=counts.read == counts.accepted + counts.rejected + counts.seen,
        null_positions=batch.null_positions,
        reused=batch.fence != fence,
        rejects=errors_prefix(table, frozen.ingest_time, frozen.run) if frozen is not None and counts.rejected else None,
        replay=batch.replay is not None,
    )


def _top_reasons(batches: Iterable[BatchEvidence]) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for batch in batches:
        reasons.update(batch.reasons)
    return dict(sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))[:TOP_REASONS])


def _total(evidence: IngestEvidence | None, name: str) -> int | None:
    return None if evidence is None else sum(getattr(batch.counts, name) for batch in evidence.batches)


def _written(counts: WriteCounts | None, name: str) -> int | None:
    return None if counts is None else int(getattr(counts, name))
