"""What the Delta log says of a batch, and when its earlier commit may be reused instead of reading the source again. Pure."""

from collections.abc import Iterable
from dataclasses import replace

from shared.core.messages import Batch, BatchEvidence, LogCommit
from shared.spec.lake import Table


def last_commit(commits: Iterable[LogCommit], batch_id: str) -> LogCommit | None:
    """The newest commit of a batch among ascending `commits`."""
    found = None
    for commit in commits:
        if commit.meta is not None and commit.meta.batch is not None and commit.meta.batch.batch_id == batch_id:
            found = commit
    return found


def reusable(table: Table, batch: Batch, commit: LogCommit, *, newest_below: int) -> bool:
    """Whether a commit still stands for its batch.

    It does not when it was made under another contract or window, when a lower pending batch was committed after it (what it took for
    seen may have changed), or when a gate halted this very commit; an outcome with a lower fence than the commit's judged an earlier one.
    """
    evidence = _evidence(commit)
    frozen = (batch.lo, batch.hi, batch.replay)
    if evidence.contract_hash != table.contract_hash or (evidence.lo, evidence.hi, evidence.replay) != frozen or commit.version < newest_below:
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
