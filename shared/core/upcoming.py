"""What the next run would read of a source: the batches that wait, and what is new. Nobody asks a database for new rows; files are listed. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from shared.core.batches import halted, last_commit, reissue, reusable
from shared.core.errors import SchemaMismatch
from shared.core.files import manifests
from shared.core.graph import content_seq
from shared.core.messages import Batch, LogCommit, Progress
from shared.core.standing import Standing
from shared.core.window import reached, refuse_other_kind
from shared.spec.lake import Files, Position, Source, SourceKind, Table

How = Literal["reuse", "read again", "reuse or read again"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingBatch:
    """A frozen batch that the run takes before new ones. `reuse`: as it was landed, without the source."""

    batch_id: str
    seq: int
    lo: Position
    hi: Position
    how: How
    moves: bool  # its readers have work, whatever the source says now
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """What a run takes of one source: what waits, then at most `new_windows` more; of files that could be listed, exactly so many."""

    kind: SourceKind
    batches: tuple[WaitingBatch, ...] = ()
    reads_from: Position | None = None  # where the first new window of a watermark begins
    new_windows: int = 0
    new_objects: int | None = None  # in those; None where there are no files, or nobody could list them
    notes: tuple[str, ...] = ()
    halts: str | None = None  # why the table halts before anything is read


def upcoming(table: Table, source: Source, standing: Standing, *, max_windows: int) -> Upcoming:
    pending, progress = standing.pending[table.name], standing.progress[table.name]
    try:
        refuse_other_kind(table, progress, pending)
    except SchemaMismatch as refused:
        return Upcoming(kind=source.kind, halts=str(refused))
    room, notes = max(0, max_windows - len(pending)), _left_over(len(pending) - max_windows, "pending batches", max_windows)
    reads_from, objects = None, None
    if source.files is not None:
        room, objects, more = _new_files(table.name, source.files, standing, room, max_windows)
        notes += more
    elif source.snapshot is not None:
        room = 0 if halted(pending) is not None else min(1, room)
    else:
        reads_from = reached(source.windows, progress, pending)
    waiting = _waiting(table, standing, max_windows)
    return Upcoming(kind=source.kind, batches=waiting, reads_from=reads_from, new_windows=room, new_objects=objects, notes=notes)


def surely_offered(name: str, coming: Upcoming, standing: Standing) -> int:
    """The last batch that readers must take even if no source has a new row."""
    return max([content_seq(standing.certified, name), *(batch.seq for batch in coming.batches if batch.moves)])


def offered_at_most(name: str, coming: Upcoming, standing: Standing) -> int:
    """The same if everything that is read brings rows. A landed batch brings what it brought."""
    read = [batch.seq for batch in coming.batches if batch.how != "reuse"]
    if coming.new_windows:
        read.append(_last_seq(standing.progress[name], standing.pending[name]) + coming.new_windows)
    return max([surely_offered(name, coming, standing), *read])


def _new_files(name: str, files: Files, standing: Standing, room: int, max_windows: int) -> tuple[int, int | None, tuple[str, ...]]:
    """Batches and objects that this run would freeze, and what there is to say."""
    folder, ever = standing.folders[name], _last_seq(standing.progress[name], standing.pending[name])
    if folder.problem is not None:
        return room, None, (folder.problem,)
    found = [len(manifest.objects) for manifest in manifests(files, folder.listed, folder.inventory, first=not ever)]
    return len(found[:room]), sum(found[:room]), _left_over(sum(found[room:]), "new objects", max_windows)


def _left_over(number: int, what: str, max_windows: int) -> tuple[str, ...]:
    return (f"{number} more {what} wait for a later run: max_windows is {max_windows}",) if number > 0 else ()


def _waiting(table: Table, standing: Standing, max_windows: int) -> tuple[WaitingBatch, ...]:
    """The pending batches that fit into one run. Behind one that is read again, a landed one is reused only if that wrote nothing."""
    entry = standing.certified.tables.get(table.name)
    newest_below, all_reused = 0 if entry is None else entry.version, True
    found = []
    for batch in standing.pending[table.name][:max_windows]:
        commit = last_commit(standing.commits[table.name], batch.batch_id)
        how: How = "read again"
        if commit is not None and reusable(table, batch, commit, newest_below=newest_below):
            how, newest_below = "reuse" if all_reused else "reuse or read again", commit.version
        all_reused = how == "reuse"
        moves = how == "reuse" and commit is not None and reissue(commit).counts.accepted_lane > 0
        why = ("a replay of rejects: " if batch.replay is not None else "") + _why_waiting(table, batch, commit, how)
        found.append(WaitingBatch(batch_id=batch.batch_id, seq=batch.seq, lo=batch.lo, hi=batch.hi, how=how, moves=moves, why=why))
    return tuple(found)


def _why_waiting(table: Table, batch: Batch, commit: LogCommit | None, how: How) -> str:
    if how == "reuse":
        return f"run {batch.run} froze it, and it is landed"
    if how == "reuse or read again":
        return "it is landed; read again only if a batch before it now brings rows"
    if halted([batch]) is not None:
        return "a gate halted it, and the source may have been mended"
    if commit is None:
        return f"run {batch.run} froze it, and landed no row of it"
    changed = commit.meta is not None and commit.meta.batch is not None and commit.meta.batch.contract_hash != table.contract_hash
    return "the contract changed since it was landed" if changed else "a batch before it was landed later"


def _last_seq(progress: Progress, pending: Sequence[Batch]) -> int:
    return pending[-1].seq if pending else progress.seq
