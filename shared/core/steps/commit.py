"""commit: one transaction makes the run true: CERTIFIED, WATERMARKs, RUN, INTENT removed, LOCK cleared."""

from shared.core.errors import BadState
from shared.core.events import CommitAnswer, CommitRequest
from shared.core.graph import settled
from shared.core.job import check_pin
from shared.core.layout import table_path
from shared.core.messages import (
    ChangeSetRef,
    Entry,
    Intent,
    RunRecord,
)
from shared.core.ports import Clock, DeltaLog, Log, State
from shared.spec.lake import PinnedLake, Table


def commit(request: CommitRequest, *, pinned: PinnedLake, state: State, delta_log: DeltaLog, log: Log, clock: Clock) -> CommitAnswer:
    """Repeating it after it happened answers the same. In a recovery (`target` is another run) the own lock is kept."""
    record = state.run(request.target)
    if record is not None and record.status in ("passed", "blocked"):
        return _answer(record)
    check_pin(state, pinned, run=request.run, fence=request.fence)
    intent = state.intent()
    if intent is None or intent.run != request.target:
        raise BadState(f"commit of run {request.target} finds {'no intent' if intent is None else 'the intent of run ' + intent.run}")
    entries = _with_gold_versions(pinned, intent, delta_log)
    own = request.target == request.run
    status = "blocked" if intent.blocked else "passed"
    state.commit(run=request.run, fence=request.fence, intent=intent, entries=entries, status=status, at=clock(), release=own)
    log.event("committed", target=request.target, status=status, tables=len(entries), blocked=sorted(intent.blocked))
    return CommitAnswer(status="blocked" if intent.blocked else "passed", blocked=", ".join(sorted(intent.blocked)))


def _answer(record: RunRecord) -> CommitAnswer:
    stopped = {name for verdicts in record.verdicts.values() for name, verdict in verdicts.items() if verdict in ("halt", "blocked")}
    return CommitAnswer(status=record.status, blocked=", ".join(sorted(stopped)))


def _with_gold_versions(pinned: PinnedLake, intent: Intent, delta_log: DeltaLog) -> dict[str, Entry]:
    """The entries to be, gold's versions taken from the log: publish may have committed once, twice or, with nothing to do, not at all."""
    versions = {ref.table: _published_version(pinned.lake.table(ref.table), ref, intent, delta_log) for ref in intent.change_sets}
    return settled(intent.entries, versions)


def _published_version(table: Table, ref: ChangeSetRef, intent: Intent, delta_log: DeltaLog) -> int:
    path = table_path(table)
    latest = delta_log.latest(path)
    if latest is None:
        raise BadState(f"{table.name} was to be published by run {intent.run} but there is no table at {path}")
    commits = delta_log.commits(path, -1 if ref.base_version is None else ref.base_version)
    done = {commit.meta.phase for commit in commits if commit.meta is not None and (commit.meta.run, commit.meta.digest) == (intent.run, ref.digest)}
    wanted = {phase for phase, rows in (("upserts", ref.upserts), ("deletes", ref.deletes)) if rows}
    strange = [commit.version for commit in commits if commit.meta is None or commit.meta.kind not in ("create", "publish")]
    # a shape that changed without a row needs no commit where a recovering run's lake does not know the change
    if not wanted <= done <= {*wanted, *ref.phases} or strange:
        shown, due = sorted(filter(None, done)), sorted(wanted)
        raise BadState(f"{table.name}: since version {ref.base_version} its log shows {shown} of {due} published; versions not ours: {strange}")
    return latest
