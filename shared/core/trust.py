"""Whether evidence may be believed: each function lists what is wrong with it, and nothing when all agrees. Pure.

Evidence is believed only if it belongs to this run and fence, speaks of exactly the contract's rules, obeys read = accepted + rejected +
seen, and agrees with the Delta log's own account of the commit.
"""

from collections.abc import Sequence

from shared.core.batches import last_commit, reissue
from shared.core.layout import table_path
from shared.core.messages import (
    Batch,
    BatchEvidence,
    IngestEvidence,
    LogCommit,
    RuleResult,
    TableEvidence,
)
from shared.core.replay import COPY
from shared.spec.codec import CodecError, parse_instant
from shared.spec.lake import Table


def doubts_of_ingest(table: Table, evidence: IngestEvidence, *, run: str, fence: int) -> list[str]:
    """Doubts about the whole document."""
    return _identity(evidence, table, run=run, fence=fence)


def doubts_of_batch(table: Table, batch: BatchEvidence, pending: Sequence[Batch], commits: Sequence[LogCommit]) -> list[str]:
    """Doubts about one batch. `commits` are the log's since the certified version of the table."""
    counts = batch.counts
    doubts = _rules(table, batch.rules)
    if batch.contract_hash != table.contract_hash:
        doubts.append("it was made under another contract")
    frozen = (batch.batch_id, batch.seq, batch.lo, batch.hi, batch.manifest, batch.replay)
    if not any((b.batch_id, b.seq, b.lo, b.hi, b.manifest, b.replay) == frozen for b in pending):
        doubts.append("no frozen window is like it")
    if min(counts.read, counts.accepted, counts.rejected, counts.seen, counts.deleted, batch.null_positions) < 0:
        doubts.append("a count is negative")
    if batch.reasons.get(COPY, 0) > counts.rejected:
        doubts.append("it counts more copies than rejected rows")
    if not 0 <= batch.late_at_edge <= batch.late <= counts.accepted + counts.rejected:
        doubts.append(f"of {counts.accepted + counts.rejected} new rows {batch.late} cannot be late and {batch.late_at_edge} at the lookback's edge")
    if counts.deleted and (table.source is None or table.source.snapshot is None):
        doubts.append(f"it counts {counts.deleted} deleted rows, and only a snapshot tells what is gone")
    if counts.read != counts.accepted + counts.rejected + counts.seen:
        doubts.append(f"read {counts.read} is not accepted {counts.accepted} + rejected {counts.rejected} + seen {counts.seen}")
    return doubts + _log_of_batch(batch, last_commit(commits, batch.batch_id))


def doubts_of_silver(table: Table, evidence: TableEvidence, commits: Sequence[LogCommit], *, run: str, fence: int, latest: int | None) -> list[str]:
    """Doubts about a silver table. `commits` are the log's since the certified version (all, for a new table)."""
    doubts = _table(table, evidence, run=run, fence=fence)
    if evidence.version is None or evidence.version != latest:
        return [*doubts, f"it speaks of version {evidence.version}; the log's latest is {latest}"]
    if evidence.unchanged:
        return doubts if evidence.digest is None else [*doubts, "it says unchanged and names a commit"]
    commit = next((commit for commit in commits if commit.version == evidence.version), None)
    if commit is None or commit.meta is None:
        return [*doubts, f"version {evidence.version} is not a commit of ours"]
    written_by = (commit.meta.kind, commit.meta.run, commit.meta.fence, commit.meta.glue_run, commit.meta.digest)
    if written_by != ("merge", run, fence, evidence.glue_run, evidence.digest):
        doubts.append(f"version {evidence.version} was written by another commit than it says")
    return doubts + _merge_metrics(evidence, commit)


def doubts_of_gold(table: Table, evidence: TableEvidence, *, run: str, fence: int, certified_version: int | None) -> list[str]:
    """Doubts about a staged change set."""
    doubts = _table(table, evidence, run=run, fence=fence)
    staged = evidence.change_set
    if staged is None:
        return [*doubts, "it names no change set"]
    if staged.table != table.name or not staged.path.startswith(f"_staging/{run}/{fence}/{evidence.glue_run}/"):
        doubts.append(f"its change set lies at {staged.path}, which is not this job's")
    if not staged.base_version == evidence.version == certified_version:
        doubts.append(f"it was computed against version {staged.base_version}; certified is {certified_version}")
    if (staged.upserts, staged.deletes) != (evidence.counts.inserted + evidence.counts.updated, evidence.counts.deleted):
        doubts.append("its counts are not those of its change set")
    return doubts


def _table(table: Table, evidence: TableEvidence, *, run: str, fence: int) -> list[str]:
    doubts = _identity(evidence, table, run=run, fence=fence) + _rules(table, evidence.rules)
    if evidence.definition_hash != table.definition_hash:
        doubts.append("it was computed from another definition")
    if set(evidence.consumed) != set(table.inputs):
        doubts.append(f"it consumed {sorted(evidence.consumed)}; the table reads {sorted(table.inputs)}")
    return doubts


def _identity(evidence: IngestEvidence | TableEvidence, table: Table, *, run: str, fence: int) -> list[str]:
    doubts = []
    if (evidence.run, evidence.fence) != (run, fence):
        doubts.append(f"it belongs to run {evidence.run}, fence {evidence.fence}")
    if evidence.table != table.name:
        doubts.append(f"it speaks of {evidence.table}")
    if evidence.path != table_path(table):
        doubts.append(f"it speaks of a table at {evidence.path}")
    if evidence.contract_hash != table.contract_hash:
        doubts.append("it was made under another contract")
    return doubts


def _rules(table: Table, results: Sequence[RuleResult]) -> list[str]:
    said = sorted((result.rule, result.expectation) for result in results)
    wanted = sorted((rule.id, rule.expectation) for rule in table.rules)
    if said != wanted:
        odd = sorted({rule for rule, _ in set(said) ^ set(wanted)}) or ["a rule twice"]
        return [f"its rules are not the contract's: {', '.join(odd)}"]
    if any(not 0 <= result.missing + result.unexpected <= result.elements or result.missing < 0 or result.unexpected < 0 for result in results):
        return ["a rule counts more than there is"]
    fresh = {rule.id for rule in table.rules if rule.kind == "freshness"}
    return [f"rule {result.rule} observed what is no instant" for result in results if result.rule in fresh and not _is_instant(result.observed)]


def _is_instant(observed: float | int | str | None) -> bool:
    """None is one too: a table without rows has no newest value, and the verdict says so."""
    if not isinstance(observed, str):
        return observed is None
    try:
        parse_instant(observed)
    except CodecError:
        return False
    return True


def _log_of_batch(batch: BatchEvidence, commit: LogCommit | None) -> list[str]:
    counts, marked = batch.counts, batch.counts.seen if batch.replay is not None else 0  # of a replay, what was seen is written down
    if batch.version is None:
        if commit is not None and any(commit.rows.values()):
            return [f"it says nothing was written; version {commit.version} of the log holds rows of it"]
        return ["it says nothing was written and counts rows"] if counts.accepted or counts.rejected or counts.deleted or marked else []
    if commit is None or commit.meta is None or commit.version != batch.version:
        return [f"it speaks of version {batch.version}; the batch's last commit in the log is {commit.version if commit else 'none'}"]
    if commit.meta.digest != batch.digest:
        return [f"version {batch.version} carries another digest than it says"]
    written = tuple(commit.rows.get(lane, 0) for lane in ("accepted", "rejected", "seen"))
    counted = (counts.accepted_lane, counts.rejected, marked)
    if written != counted or sum(commit.rows.values()) != sum(written):
        said = "{} accepted, {} rejected and {} seen rows".format
        return [f"version {batch.version} wrote {said(*written)}; it counts {said(*counted)}"]
    return [] if reissue(commit) == batch else [f"it is not the evidence that version {batch.version} itself carries"]


def _merge_metrics(evidence: TableEvidence, commit: LogCommit) -> list[str]:
    if commit.operation != "MERGE":
        rows, counts = sum(commit.rows.values()), evidence.counts
        return [] if rows == counts.inserted else [f"version {commit.version} wrote {rows} rows; it counts {counts.inserted}"]
    names = ("numTargetRowsInserted", "numTargetRowsUpdated", "numTargetRowsDeleted")
    logged = tuple(commit.metrics.get(name, 0) for name in names)
    counted = (evidence.counts.inserted, evidence.counts.updated, evidence.counts.deleted)
    return [] if logged == counted else [f"version {commit.version} inserted, updated, deleted {logged}; it counts {counted}"]
