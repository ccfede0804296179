"""The seams to the outside world. Steps in core see these protocols alone; `shared/aws`, `shared/spark` and `tests/fakes.py` implement them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from shared.core.alerts import Alert
from shared.core.files import FileObject
from shared.core.messages import (
    Batch,
    BatchEvidence,
    Bypass,
    Certified,
    ChangeSetRef,
    Entry,
    GlueStatus,
    Intent,
    Lock,
    LogCommit,
    Outcome,
    Phase,
    Progress,
    RuleResult,
    RunRecord,
    WriteCounts,
)
from shared.spec.lake import Stage, Table
from shared.spec.measures import Measure

T = TypeVar("T")
Guard = Callable[[], None]  # raises StaleFence; called before every Delta write begins, as late as our code can
Clock = Callable[[], datetime]  # UTC
DoAll = Callable[[Sequence["Task"]], None]  # do all: each after those it needs, several together; an error is raised when all begun have ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A table's part of a job, by the table's name. Tasks come in an order in which they can be done one by one, what should begin early first."""

    name: str
    needs: frozenset[str]  # tasks of the same job that must have ended well before this one begins
    do: Callable[[], None]


class State(Protocol):
    """The DynamoDB table. Every write that takes `run` and `fence` (its own or its argument's) is conditional, in one transaction, on those
    in LOCK and raises StaleFence when they are another's; the others (`take_lock`, `put_claim`, `fail_run`, `take_schedule`) say on what they
    depend. Throttling and timeouts are retried inside, then StateUnavailable."""

    def lock(self) -> Lock:
        """The LOCK item; fence 0 and no run before the first run ever."""

    def take_lock(self, read: Lock, taken: Lock) -> None:
        """Write `taken` if the item is still exactly `read`. Raises LostRace."""

    def release_lock(self, run: str, fence: int) -> None:
        """Clear the run, keep the fence. Repeating it, or releasing another's lock, changes nothing."""

    def claim(self, run: str, stage: str, group: str) -> str | None:
        """Glue run id of the claimant, or None."""

    def put_claim(self, run: str, stage: str, group: str, *, read: str | None, glue_run: str) -> None:
        """Claim if the claimant is still `read`. Raises ClaimRefused."""

    def certified(self) -> Certified: ...

    def intent(self) -> Intent | None: ...

    def put_intent(self, intent: Intent) -> None:
        """Also conditional on RUN of `intent.run` not being committed."""

    def progress(self, table: str) -> Progress:
        """The WATERMARK item; seq 0 and no position before the first commit."""

    def pending(self, table: str) -> tuple[Batch, ...]:
        """The batches of the PENDING item, by seq, committed ones (not yet pruned) among them."""

    def freeze(self, run: str, fence: int, table: str, batch: Batch, *, prune_to: int) -> None:
        """Add one batch (LostRace if its seq is there) and drop those with seq <= prune_to."""

    def judge(self, run: str, fence: int, table: str, outcomes: Mapping[str, Outcome]) -> None:
        """Set the outcome of each batch id, per batch: other batches and fields stay as they are."""

    def run(self, run: str) -> RunRecord | None: ...

    def runs(self, limit: int) -> tuple[RunRecord, ...]:
        """The newest first."""

    def start_run(self, record: RunRecord) -> None:
        """Write a new RUN; repeating it for the same run changes nothing."""

    def note_stage(
        self, run: str, fence: int, stage: Stage, *, verdicts: Mapping[str, str], counts: Mapping[str, Mapping[str, int]], at: datetime
    ) -> None:
        """Record a stage's verdicts, counts and gate time in RUN, conditional on it not being committed."""

    def fail_run(self, run: str, *, problem: str, at: datetime) -> RunRecord | None:
        """Set RUN failed unless it is committed (passed or blocked), and return it as it is now; None if there is none.

        Needs no lock: the run may have lost it."""

    def commit(self, *, run: str, fence: int, intent: Intent, entries: Mapping[str, Entry], status: str, at: datetime, release: bool) -> None:
        """One transaction: CERTIFIED (run = the intent's), every WATERMARK, RUN of the intent's run, INTENT removed, and LOCK cleared when
        `release`. Conditional on lock and on INTENT being that run's. Raises StaleFence."""

    def take_schedule(self, scheduled: str, run: str) -> str:
        """Register the run of a schedule's time if none is; the run that has it."""

    def last_scheduled(self) -> str | None:
        """The latest schedule's time that became a run, as `take_schedule` was given it; None before the first."""

    def bypasses(self) -> tuple[Bypass, ...]:
        """Expired ones among them."""

    def put_bypass(self, bypass: Bypass) -> None:
        """Grant or renew an exception. For the command line, which alone may write this kind."""

    def remove_bypass(self, table: str, rule: str) -> None:
        """Also for the command line alone. Removing one that is not there changes nothing."""


class Documents(Protocol):
    """JSON documents in the bucket (plan, evidence, decisions, reports)."""

    def put(self, key: str, value: object) -> None:
        """Write a dataclass as JSON; the last write wins."""

    def get(self, key: str, kind: type[T]) -> T:
        """Raises EvidenceMissing when there is no object, EvidenceInvalid when it does not parse as `kind`."""

    def put_text(self, key: str, text: str, content_type: str) -> None: ...


class DeltaLog(Protocol):
    """Reading Delta logs without Spark. `path` is relative to the bucket's root."""

    def latest(self, path: str) -> int | None:
        """Latest version, None when there is no table."""

    def commits(self, path: str, after: int) -> tuple[LogCommit, ...]:
        """Every commit with a version > after, ascending. Raises BadState when one in between is missing."""


class Executions(Protocol):
    """What Step Functions and Glue know."""

    def is_terminal(self, machine: str, run: str) -> bool:
        """Whether the execution ended (or is no longer known)."""

    def live_glue_runs(self, run: str) -> tuple[str, ...]:
        """Ids of Glue runs started with this run's argument that are not terminal, over all of Sluice's jobs."""

    def stop_glue_runs(self, run: str) -> None:
        """Ask every live Glue run of the run to stop."""

    def dpu_seconds(self, stage: str, glue_run: str) -> float | None:
        """What a Glue run is charged for; None where Glue knows no such run. `stage` may be `recover`."""

    def glue_status(self, stage: str, glue_run: str) -> GlueStatus: ...


class Notify(Protocol):
    """Telling the people who own a table."""

    def alert(self, alert: Alert) -> None:
        """Send it. What cannot be sent is logged; nothing is raised."""


class Timer(Protocol):
    """The schedule that starts runs."""

    def changed_at(self) -> datetime:
        """When it was made or last changed, switched on or off among it. Raises BadState when it is gone."""


class Log(Protocol):
    """One structured event per step."""

    def event(self, name: str, **fields: object) -> None: ...

    def warning(self, name: str, **fields: object) -> None: ...

    def measured(
        self, name: str, measures: Mapping[Measure, float], *, table: str | None = None, stage: Stage | None = None, **fields: object
    ) -> None:
        """An event that is also numbers, of the run, of one table or of one stage. Without a number it is an event. Repeated, it counts again."""


# ---- the lake, as Spark sees it


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceClock:
    """The source's own time, and the start of its oldest open transaction where it can tell (None: it cannot).

    `highest` is the greatest committed number of an integer position; None for the other kinds, and where there is no row.
    """

    now: datetime
    oldest_open: datetime | None
    tells_open: bool
    highest: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """Who writes: goes into every commit's metadata."""

    run: str
    fence: int
    glue_run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A silver write: the table's version after it, its commit's digest (None when unchanged), rows by effect."""

    version: int
    digest: str | None
    unchanged: bool
    counts: WriteCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRead:
    """How a derived table reads one input.

    Rows come from Delta `version` with the change set at `overlay` (if any) laid over. What changed is everything after `consumed`
    (None: everything) up to `version`, plus the overlay's rows before and after.
    `version` is None for a table that so far exists in its overlay alone.
    """

    table: Table
    version: int | None
    consumed: int | None
    overlay: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A computed change set, written under its path, and the rules counted on the state that publishing would give."""

    digest: str
    upserts: int
    deletes: int
    reshapes: bool
    counts: WriteCounts
    rules: tuple[RuleResult, ...]


class Sources(Protocol):
    """The databases and files behind bronze."""

    def clock(self, table: Table) -> SourceClock:
        """Raises SourceUnavailable after its own retries."""

    def objects(self, table: Table) -> tuple[FileObject, ...]:
        """Every object that the pattern of a table of files means, now; none where nothing lies. Raises SourceUnavailable."""


class Tables(Protocol):
    """Spark over the lake's Delta tables. Every writing method calls `guard`, then lets Spark write and commit, and says how it repeats."""

    def create(self, table: Table, writer: Writer, guard: Guard) -> int:
        """Version 0: empty, our metadata, the contract's columns (bronze and silver with theirs in front). Raises BadState if a table is there."""

    def restore(self, table: Table, version: int, writer: Writer, guard: Guard) -> int:
        """Make `version`'s content the latest; the new version."""

    def land(
        self, table: Table, batch: Batch, *, objects: tuple[FileObject, ...] = (), holds_rows: bool, writer: Writer, guard: Guard
    ) -> BatchEvidence:
        """Read the batch's window (with lookback; of files the frozen `objects`) from the source once, conform, check, mask, split, and commit
        both lanes at once.

        Replaces whatever an earlier commit of the batch left. Without a row to write, and with `holds_rows` false, commits nothing.
        Raises MissingColumn, SourceUnavailable, ObjectGone, SnapshotTooSmall.
        """

    def write_errors(self, table: Table, batch: Batch, prefix: str, *, rejected: int) -> None:
        """Write the batch's rejected rows, as bronze holds them now, as JSON lines `<prefix>/<batch id>-*.json`; the batch's evidence says how many.

        Replaces all files of the batch together; without rejected rows there are none afterwards, and bronze is not read."""

    def merge(self, table: Table, origin: Table, *, after_seq: int, up_to_seq: int, rebuild: bool, writer: Writer, guard: Guard) -> Written:
        """Bring batches (after_seq, up_to_seq] of bronze `origin` into a `merge` table by its contract. `rebuild`: the content is that of all
        batches <= up_to_seq and nothing else. Computes the rows that differ first; with none, writes nothing."""

    def derive(self, table: Table, inputs: tuple[InputRead, ...], *, rebuild: bool, writer: Writer, guard: Guard) -> Written:
        """A silver table computed from silver (`derive`, `replace`, `scd2`, `merge` from a log): compute its change set and apply it in one commit;
        with none, write nothing."""

    def check(self, table: Table, version: int, *, consumed: Mapping[str, int]) -> tuple[RuleResult, ...]:
        """Count the table's rules over its whole live content at `version`. `consumed`: what that content was computed from."""

    def stage(
        self, table: Table, inputs: tuple[InputRead, ...], *, target_version: int | None, rebuild: bool, path: str, overlays: Mapping[str, str]
    ) -> Staged:
        """Compute a gold table's change set against `target_version` and write it under `path`. `overlays`: staged paths of this run by table, for
        relationships."""

    def publish(self, table: Table, change_set: ChangeSetRef, phase: Phase, *, meta_run: str, writer: Writer, guard: Guard) -> int | None:
        """Apply one phase that is due of a staged change set in one commit, after checking its digest (EvidenceInvalid), to a table that is there.
        The upserts bring along columns and wider types that the contract gained, without a row if there is none. The new version, or None when
        there is nothing to change. Skipping what was already applied is the caller's decision, from the log."""
