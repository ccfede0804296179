"""What the Delta log says of a table and of a batch, and when its earlier commit may be reused instead of reading the source again. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from shared.core.messages import Batch, BatchEvidence, LogCommit
from shared.spec.lake import Table


def begun_by_us(commits: Sequence[LogCommit]) -> bool:
    """Whether a table's first version is the empty one that a run of ours made. `commits` are all of its log."""
    return bool(commits) and commits[0].version == 0 and commits[0].meta is not None and commits[0].meta.kind == "create"


def unknown_batches(commits: Iterable[LogCommit], pending: Iterable[Batch], *, after_seq: int) -> tuple[str, ...]:
    """Batches beyond the last committed seq that the log holds and nobody froze: the state was lost or taken back. Frozen anew they would
    carry another run date, and stand beside the rows that are there."""
    frozen = {batch.batch_id for batch in pending}
    held = [commit.meta.batch for commit in commits if commit.meta is not None and commit.meta.batch is not None]
    return tuple(sorted({batch.batch_id for batch in held if batch.seq > after_seq} - frozen))


def last_commit(commits: Iterable[LogCommit], batch_id: str) -> LogCommit | None:
    """The newest commit of a batch among ascending `commits`."""
    found = None
    for commit in commits:
        if commit.meta is not None and commit.meta.batch is not None and commit.meta.batch.batch_id == batch_id:
            found = commit
    return found


def halted(batches: Iterable[Batch]) -> Batch | None:
    """The first that a gate halted."""
    return next((batch for batch in batches if batch.outcome is not None and batch.outcome.verdict == "halt"), None)


def reusable(table: Table, batch: Batch, commit: LogCommit, *, newest_below: int) -> bool:
    """Whether a commit still stands for its batch.

    It does not when it was made under another contract or window, when a lower pending batch was committed after it (what it took for
    seen may have changed), or when a gate halted this very commit; an outcome with a lower fence than the commit's judged an earlier one.
    """
    evidence = _evidence(commit)
    evidence_of, frozen = (evidence.lo, evidence.hi, evidence.manifest, evidence.replay), (batch.lo, batch.hi, batch.manifest, batch.replay)
    if evidence.contract_hash != table.contract_hash or evidence_of != frozen or commit.version < newest_below:
        return False
    judged = batch.outcome is not None and batch.outcome.fence >= evidence.fence
    return not (judged and batch.outcome is not None and batch.outcome.verdict == "halt")


def reissue(commit: LogCommit) -> BatchEvidence:
    """The batch's evidence as its commit carries it, with the version that only the log knows."""
    return replace(_evidence(commit), version=commit.version)


def holds_rows(commit: LogCommit | None) -> bool:
    """Whether an earlier commit of the batch left rows that an empty one must remove."""
    return commit is not None and sum(commit.rows.values()) > 0


def _evidence(commit: LogCommit) -> BatchEvidence:
    if commit.meta is None or commit.meta.batch is None:
        raise ValueError(f"version {commit.version} is not a batch's commit")
    return commit.meta.batch
