"""What processes tell each other: state items, evidence, verdicts. Plain values with a JSON form (`shared.spec.codec`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.core.totals import Totals
from shared.spec.lake import Position, Severity, Stage

Verdict = Literal["pass", "warn", "halt", "blocked"]
RunStatus = Literal["running", "passed", "blocked", "failed"]
GlueStatus = Literal["live", "succeeded", "failed"]
Phase = Literal["upserts", "deletes"]
CommitKind = Literal["create", "batch", "widen", "merge", "restore", "publish"]


# ---- state


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The LOCK item. A released lock has no run, since and lake hash; its fence stays. A lake that never ran has fence 0."""

    run: str | None
    fence: int
    since: datetime | None
    lake_hash: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One table in CERTIFIED: its Delta version, what defined it, and what it consumed of each input (batch seq of bronze, version else).

    `newest` is the greatest value of its freshness element in that version; None where the contract has none, or no row did.
    """

    version: int
    definition_hash: str
    consumed: Mapping[str, int]
    newest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certified:
    """The pointer of the whole lake. Before the first commit: no run, no tables."""

    run: str | None
    tables: Mapping[str, Entry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A source's committed position (None before the first batch) and the seq of its last committed batch (0 before).

    `manifest` is the document that holds what is known of its files after that batch; None where it has none. `totals` is None before the first
    batch, and where a version that did not count wrote the batches before.
    """

    position: Position | None
    seq: int
    manifest: str | None = None
    totals: Totals | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a gate made of a batch, under which fence."""

    verdict: Verdict
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Which open rejects of a table to inject again: those rejected for one of `rules`, of batches that one of `runs` froze; empty means any."""

    table: str
    rules: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One frozen window of a source: half-open [lo, hi) of the watermark column.

    Of files: the objects that the document `manifest` lists; of a snapshot: all there is. Their lo and hi are the instants of freezing.
    Or a `replay` of rejects, which reads no window and moves no position: lo = hi.
    """

    batch_id: str
    seq: int
    lo: Position
    hi: Position
    ingest_time: datetime
    run: str  # that froze it
    fence: int
    outcome: Outcome | None
    manifest: str | None = None
    replay: Replay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSetRef:
    """A staged change set: where, its content digest, the certified version it applies to (None: the table is new), its row counts.

    `reshapes`: the table has yet to take on columns or wider types that its contract gained; its upserts bring them, be there a row or not.
    """

    table: str
    path: str
    digest: str
    base_version: int | None
    upserts: int
    deletes: int
    reshapes: bool = False

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What publish has to commit."""
        todo: tuple[tuple[Phase, int], ...] = (("upserts", self.upserts or self.reshapes), ("deletes", self.deletes))
        return tuple(phase for phase, due in todo if due)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What gold's gate decided to make true. `change_sets` are in an order they can be published in; `entries` is CERTIFIED to be, with gold's
    versions still open."""

    run: str
    fence: int
    change_sets: tuple[ChangeSetRef, ...]
    entries: Mapping[str, Entry]
    progress: Mapping[str, Progress]
    blocked: Mapping[str, str]  # table -> why; decides whether the run ends passed or blocked


@dataclass(frozen=True, slots=True, kw_only=True)
class TableVerdict:
    """What a gate says of one table, with every finding behind it."""

    table: str
    verdict: Verdict
    findings: tuple["Finding", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One reason. `rule` is None for what is not a rule of the contract (evidence, log, tolerance)."""

    rule: str | None
    severity: Severity
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The RUN item: the history of a run. `counts` and `verdicts` are keyed by stage, then table; `timings` hold stage -> ISO start/end."""

    run: str
    fence: int
    status: RunStatus
    started: datetime
    ended: datetime | None
    verdicts: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]
    timings: Mapping[str, Mapping[str, str]]
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bypass:
    """An approved exception: turns a halt of one rule of one table into a warning until it expires."""

    table: str
    rule: str
    approver: str
    ticket: str
    reason: str
    expires: datetime


# ---- evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleResult:
    """What a job counted for one rule, as Great Expectations counts.

    `elements` counts the rows judged, `missing` those whose value is NULL, `unexpected` the non-missing ones that break the rule.
    `observed` is the value of a table or freshness rule (number, or ISO 8601 instant), None elsewhere or where there was no row.
    """

    rule: str
    expectation: str
    kwargs: Mapping[str, Any]
    element: str | None
    elements: int
    missing: int
    unexpected: int
    observed: float | int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """read = accepted + rejected + seen. `deleted` counts rows of the accepted lane that nobody read: keys a snapshot no longer holds."""

    read: int
    accepted: int
    rejected: int
    seen: int
    deleted: int = 0

    @property
    def accepted_lane(self) -> int:
        """Rows that readers of the batch have to take."""
        return self.accepted + self.deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEvidence:
    """What one batch became. Without rows to write or remove there is no commit: `version` and `digest` are None.

    `late` counts the accepted and rejected rows that only the lookback caught; `late_at_edge` those of them in its oldest tenth.
    Of a replay `read` counts the rejects it injected again, and its seen rows are in the commit too, in a lane of their own.
    """

    batch_id: str
    seq: int
    lo: Position
    hi: Position
    contract_hash: str
    fence: int  # of the run that wrote the commit
    glue_run: str
    version: int | None
    digest: str | None
    counts: BatchCounts
    null_positions: int  # rows of the source whose watermark column is NULL: in no window
    reasons: Mapping[str, int]  # rejected rows by reason; a row may have several
    rules: tuple[RuleResult, ...]
    late: int = 0
    late_at_edge: int = 0
    unknown_columns: tuple[str, ...] = ()  # of the source, that the contract does not name: never read
    manifest: str | None = None  # of files: the document that listed what was read
    warnings: tuple[str, ...] = ()  # what the job saw that is no error; the gate repeats each
    replay: Replay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestEvidence:
    """One source table in one run: its batches in order of seq. `problem` says why the table could not go on, if it could not.

    `warnings` say what is odd about the source and has lost nothing.
    """

    run: str
    fence: int
    table: str
    glue_run: str
    contract_hash: str
    path: str
    batches: tuple[BatchEvidence, ...]
    problem: str | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCounts:
    """Rows a write inserted, updated and deleted, and those it was handed that changed nothing."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEvidence:
    """One silver or gold table in one run.

    Silver: `version` is the table's after the write, `digest` that of its commit; `unchanged` says nothing was written.
    Gold: `change_set` is what was staged; `version` is the certified version it was computed against (None: a new table).
    """

    run: str
    fence: int
    stage: Stage
    table: str
    glue_run: str
    contract_hash: str
    definition_hash: str
    path: str
    version: int | None
    digest: str | None
    unchanged: bool
    consumed: Mapping[str, int]
    counts: WriteCounts
    rules: tuple[RuleResult, ...]
    change_set: ChangeSetRef | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitMeta:
    """The JSON that every commit of ours carries in Delta's `userMetadata`.

    `digest` identifies the commit: of a batch the digest of its content, of a publish the one of its change set.
    `batch` is the batch's whole evidence (its `version` None, since the log knows it), so that evidence can be issued again from the log alone.
    """

    kind: CommitKind
    run: str
    fence: int
    glue_run: str
    table: str
    digest: str | None
    phase: Phase | None
    restored_to: int | None
    batch: BatchEvidence | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCommit:
    """One commit of a Delta log. `rows` counts added rows by value of the `_lane` partition, or under "" where there is none."""

    version: int
    operation: str
    timestamp: datetime
    meta: CommitMeta | None
    metrics: Mapping[str, int]
    rows: Mapping[str, int]
