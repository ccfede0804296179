"""Rejects that are injected again: the words bronze has for them, the batch they become, where their values come from, what they add up to. Pure.

A rejected row of a certified batch is *open* until a row of a later certified batch points back to it. Of exact copies only the first is a
row of its own: the others are never open.
"""

import re

from shared.core.errors import RequestRefused
from shared.core.layout import batch_id
from shared.core.messages import Batch, BatchEvidence, Progress, Replay
from shared.core.ports import State
from shared.core.totals import Totals
from shared.core.window import Freezer
from shared.spec.lake import Lake, Rule, Table

COPY = "exact_copy"  # the reason of a row that repeats another of its batch
BROKEN_LINE = "broken_line"  # the reason of a line of text that could not be read
NOT_READ_AGAIN = "not_read_again"  # it came in a file, and those are read once
NOT_AT_SOURCE = "not_at_source"  # its source no longer has the row that is to be judged again
KEY_UNKNOWN = "key_unknown"  # its source cannot be asked for it: a part of its key is masked, missing, or not of the key's type
POINTER = "_replayed_from"  # the key of `_original` under which a replayed row says which reject it was: <batch id>/<row id>

_PLAIN = ("string", "tinyint", "smallint", "int", "bigint", "decimal", "date", "boolean")
# Presence can be told from a masked value: NULL stays NULL.
_PRESENCE = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null", "expect_column_values_to_be_of_type")


def refuse_replay(replay: Replay, lake: Lake, state: State) -> None:
    """Raise RequestRefused. A replay takes the next seq: nothing may stand between it and the certified batches whose rejects it takes."""
    source = next((table for table in lake.sources if table.name == replay.table), None)
    if source is None:
        raise RequestRefused(f"{replay.table} has no rejects: it is not a bronze table. There are {', '.join(table.name for table in lake.sources)}")
    if source.source is not None and source.source.snapshot is not None:
        raise RequestRefused(
            f"{source.name} is read by snapshots: every run reads its rejected rows again and takes those that hold by then; `sluice run` is enough"
        )
    if BROKEN_LINE in replay.rules:
        raise RequestRefused(
            f"a {BROKEN_LINE} is not replayed, for nothing in it is known: put a corrected object under the name that `sluice rejects show "
            f"{source.name} --rule {BROKEN_LINE}` tells, and the next run reads it"
        )
    progress = state.progress(source.name)
    waiting = [batch.batch_id for batch in state.pending(source.name) if batch.seq > progress.seq]
    if waiting:
        raise RequestRefused(
            f"{source.name}: {', '.join(waiting)} must be certified before rejects are replayed: `sluice run` first, and mend what halts there"
        )
    if progress.seq == 0:
        raise RequestRefused(f"{source.name} has no rejects: no batch of it is certified yet; `sluice run` reads its first")


def replay_batch(table: Table, progress: Progress, replay: Replay, freezer: Freezer) -> Batch:
    """The next batch of a table that has a position, without a window: the position stays where it is."""
    if progress.position is None:
        raise RequestRefused(f"{table.name} has no rejects: it has no committed position yet")
    return Batch(
        batch_id=batch_id(table, progress.seq + 1),
        seq=progress.seq + 1,
        lo=progress.position,
        hi=progress.position,
        ingest_time=freezer.at,
        run=freezer.run,
        fence=freezer.fence,
        outcome=None,
        replay=replay,
    )


def sees_clear_values(table: Table, rule: Rule) -> bool:
    """Whether a row rule must see what a masked column held before it was masked."""
    masked = {column.name for column in table.columns if column.mask is not None}
    if rule.kind != "row" or rule.expectation in _PRESENCE:
        return False
    if rule.expectation == "expect_row":
        return any(re.search(rf"\b{re.escape(name)}\b", str(rule.kwargs["condition"]), re.IGNORECASE) for name in masked)
    return bool(masked & {str(rule.kwargs.get("column")), (rule.element or "").rpartition(".")[2]})


def rules_in_clear(table: Table) -> tuple[Rule, ...]:
    """The rules that reject rows by what a masked column held before it was masked."""
    return tuple(rule for rule in table.rules if rule.severity == "critical" and sees_clear_values(table, rule))


def asks_source(table: Table, reason: str) -> bool:
    """Whether a row can be judged again only by what the source holds, after a rule named `reason` that saw clear values rejected it.

    A rule that the contract no longer has may have been renamed: it still asks while the column that its name begins with (as names of rules
    that a column implies do) is checked in clear, or any column, if its name tells none.
    """
    seeing = rules_in_clear(table)
    if any(rule.id == reason for rule in table.rules):
        return any(rule.id == reason for rule in seeing)
    name = reason.rpartition(".")[0]
    if any(column.name == name for column in table.columns):
        return any(rule.kwargs.get("column") in (name, None) for rule in seeing)
    return bool(seeing)


def key_that_can_be_asked(table: Table) -> tuple[str, ...]:
    """The key's columns, if a database can be asked for them by literals; none when a part of it is masked, or of no plain type."""
    parts = [table.column(name) for name in table.key]
    plain = all(part.mask is None and part.type.partition("(")[0] in _PLAIN for part in parts)
    return table.key if plain and not _of_files(table) else ()


def why_not_asked(table: Table) -> str:
    """The reason of a row that only its source could judge, and that cannot be asked for there."""
    return NOT_READ_AGAIN if _of_files(table) else KEY_UNKNOWN


def _of_files(table: Table) -> bool:
    return table.source is not None and table.source.files is not None


def totals_with(progress: Progress, batch: BatchEvidence) -> Totals | None:
    """A source's totals once `batch` is certified."""
    if progress.totals is None and progress.seq > 0:
        return None
    counts = batch.counts
    return (progress.totals or Totals()) + Totals(
        read=counts.read,
        accepted=counts.accepted,
        rejected=counts.rejected,
        seen=counts.seen,
        copies=batch.reasons.get(COPY, 0),
        replayed=0 if batch.replay is None else counts.read,
    )
