"""What the next run would do, from state and Delta logs alone, by the very functions that decide it in a run. Pure.

Nobody asks a source: whether it has new rows is not known. So a table's work is certain (whatever the sources bring), or it is there only if
one of its `triggers` moves: a source brings rows, a silver table changes. A gate may still halt what either waits for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.core.batches import holds_rows, last_commit, reusable
from shared.core.choice import Choice
from shared.core.graph import content_seq, held_back, moved_inputs, only, settled, with_work
from shared.core.messages import Batch, Certified, Entry, Intent, LogCommit, Progress
from shared.spec.lake import Lake, Stage, Table

Action = Literal["read", "build", "rebuild", "update", "nothing", "not planned"]
How = Literal["reuse", "read again", "reuse or read again"]
NEW_VERSION = -1  # one that no table has consumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What state and logs say, an unfinished intent taken as finished. `commits` are those of a source since its certified version."""

    certified: Certified
    progress: Mapping[str, Progress]
    pending: Mapping[str, tuple[Batch, ...]]
    commits: Mapping[str, tuple[LogCommit, ...]]
    latest: Mapping[str, int | None]  # version of each table's log
    finishes_first: str | None  # the run of that intent


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingBatch:
    """A frozen batch that the run takes before new ones. `reuse`: as it was landed, without the source.

    `moves`: it ends as a commit whatever the source says now (rows that it holds are kept, or removed), so that its readers have work.
    """

    batch_id: str
    seq: int
    lo: datetime
    hi: datetime
    how: How
    moves: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForecast:
    """One table in the next run. Of a source: its waiting batches, where it reads on, and how many new windows at most.

    `update` merges what is new, or computes the affected keys again. `triggers` are empty where the work is certain, or there is none.
    """

    table: str
    stage: Stage
    action: Action
    certain: bool
    why: str
    triggers: tuple[str, ...]
    batches: tuple[WaitingBatch, ...]
    reads_from: datetime | None
    new_windows: int
    notes: tuple[str, ...]  # what it waits for, what stands in its way


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The tables that have work under one assumption, and what each input then offers."""

    todo: tuple[str, ...]
    offered: Mapping[str, int]


def finished(intent: Intent) -> Certified:
    """CERTIFIED as it will be when the intent is published and committed: each phase with rows is one version."""
    versions = {
        ref.table: (0 if ref.base_version is None else ref.base_version) + (ref.upserts > 0) + (ref.deletes > 0) for ref in intent.change_sets
    }
    return Certified(run=intent.run, tables=settled(intent.entries, versions))


def forecast(lake: Lake, choice: Choice, standing: Standing, *, max_windows: int) -> tuple[TableForecast, ...]:
    """Every table of the lake, in its order. Raises nothing for tables and state that disagree: `notes` say what the run would stop at."""
    limited = only(lake, choice.tables)
    waiting = {table.name: _waiting(table, standing, max_windows) for table in limited.sources}
    sure = _work(limited, choice, standing, {name: _sure_content(name, batches, standing) for name, batches in waiting.items()}, arriving=False)
    perhaps = _work(limited, choice, standing, {name: _most_content(name, standing) for name in waiting}, arriving=True)
    halted = {name: _halted(standing.pending[name], batches) for name, batches in waiting.items()}
    held = held_back(limited, {name: said for name, said in halted.items() if said is not None})
    made = []
    for table in lake.tables:
        if table.name not in choice.tables:
            made.append(_row(table, "not planned", why="not among the tables asked for, nor needed for them"))
        elif table.source is not None:
            made.append(_of_source(table, waiting[table.name], standing, max_windows, held))
        else:
            made.append(_of_derived(table, choice, standing, sure, perhaps, held))
    return tuple(made)


# ---- sources


def _waiting(table: Table, standing: Standing, max_windows: int) -> tuple[WaitingBatch, ...]:
    """The pending batches that fit into one run. Behind one that is read again, a landed one is reused only if that wrote nothing."""
    entry = standing.certified.tables.get(table.name)
    newest_below, all_reused = 0 if entry is None else entry.version, True
    found = []
    for batch in _uncommitted(table.name, standing)[:max_windows]:
        commit = last_commit(standing.commits[table.name], batch.batch_id)
        how: How = "read again"
        if commit is not None and reusable(table, batch, commit, newest_below=newest_below):
            how, newest_below = "reuse" if all_reused else "reuse or read again", commit.version
        all_reused = all_reused and how == "reuse"
        why, moves = _why_waiting(table, batch, commit, how), how == "reuse" or holds_rows(commit)
        found.append(WaitingBatch(batch_id=batch.batch_id, seq=batch.seq, lo=batch.lo, hi=batch.hi, how=how, moves=moves, why=why))
    return tuple(found)


def _why_waiting(table: Table, batch: Batch, commit: LogCommit | None, how: How) -> str:
    if how == "reuse":
        return f"run {batch.run} froze it, and it is landed"
    if how == "reuse or read again":
        return "it is landed; read again only if a batch before it now brings rows"
    if batch.outcome is not None and batch.outcome.verdict == "halt":
        return "a gate halted it, and the source may have been mended"
    if commit is None:
        return f"run {batch.run} froze it, and landed no row of it"
    changed = commit.meta is not None and commit.meta.batch is not None and commit.meta.batch.contract_hash != table.contract_hash
    return "the contract changed since it was landed" if changed else "a batch before it was landed later"


def _sure_content(name: str, batches: tuple[WaitingBatch, ...], standing: Standing) -> int:
    """The last batch with rows that the gate is offered even if no source has a new row."""
    return max([content_seq(standing.certified, name), *(batch.seq for batch in batches if batch.moves)])


def _most_content(name: str, standing: Standing) -> int:
    """More than any table has consumed."""
    return standing.progress[name].seq + len(standing.pending[name]) + 1


def _uncommitted(name: str, standing: Standing) -> tuple[Batch, ...]:
    return tuple(batch for batch in standing.pending[name] if batch.seq > standing.progress[name].seq)


def _halted(pending: tuple[Batch, ...], waiting: tuple[WaitingBatch, ...]) -> str | None:
    ids = {batch.batch_id for batch in waiting}
    stopped = [batch for batch in pending if batch.batch_id in ids and batch.outcome is not None and batch.outcome.verdict == "halt"]
    return f"batch {stopped[0].seq} was halted: unless its source or its contract was mended, it halts again" if stopped else None


def _of_source(table: Table, waiting: tuple[WaitingBatch, ...], standing: Standing, max_windows: int, held: Mapping[str, str]) -> TableForecast:
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    left, progress = _uncommitted(table.name, standing), standing.progress[table.name]
    reads_from = left[-1].hi if left else progress.position or table.source.watermark.start_at
    notes = [held[table.name]] if table.name in held else []
    if len(left) > max_windows:
        notes.append(f"{len(left) - max_windows} more pending batches wait for a later run: max_windows is {max_windows}")
    why = "every run reads on" if progress.seq else "it was never read"
    return _row(
        table,
        "read",
        certain=True,
        why=why,
        batches=waiting,
        reads_from=reads_from,
        new_windows=max(0, max_windows - len(left)),
        notes=(*notes, *_strange(table, standing)),
    )


# ---- derived tables


def _work(limited: Lake, choice: Choice, standing: Standing, content: dict[str, int], *, arriving: bool) -> _Work:
    """`arriving`: every silver table with work changes; else only one that is taken back to its certified version is sure to."""
    certified, refresh = standing.certified, choice.full_refresh
    versions = {name: entry.version for name, entry in certified.tables.items() if not name.startswith("bronze.")}
    silver = with_work(limited, "refine", certified, versions | content, refresh=refresh, blocked=())
    moved = {name: NEW_VERSION for name in silver if arriving or _taken_back(name, standing) is not None}
    gold = with_work(limited, "stage", certified, versions | moved, refresh=refresh, blocked=())
    return _Work(todo=(*silver, *gold), offered=versions | moved | content)


def _of_derived(table: Table, choice: Choice, standing: Standing, sure: _Work, perhaps: _Work, held: Mapping[str, str]) -> TableForecast:
    entry = standing.certified.tables.get(table.name)
    notes = ((f"{held[table.name]}, if that halts again",) if table.name in held else ()) + _strange(table, standing)
    if table.name not in perhaps.todo:
        return _row(table, "nothing", why="its definition and its inputs are as certified", notes=notes)
    if entry is None:
        return _row(table, "build", certain=True, why="it was never certified", notes=notes)
    if entry.definition_hash != table.definition_hash:
        return _row(table, "rebuild", certain=True, why="its definition changed since it was certified", notes=notes)
    if table.name in choice.full_refresh:
        return _row(table, "rebuild", certain=True, why="a full refresh was asked for", notes=notes)
    if table.name in sure.todo:
        moves = [_move(entry, name, sure, standing) for name in moved_inputs(table, entry, sure.offered, sure.todo)]
        return _row(table, "update", certain=True, why="; ".join(moves), notes=notes)
    triggers = moved_inputs(table, entry, perhaps.offered, perhaps.todo)
    return _row(table, "update", why=f"only if {' or '.join(triggers)} {_moving(table)}", triggers=triggers, notes=notes)


def _move(entry: Entry, name: str, work: _Work, standing: Standing) -> str:
    if name in work.todo:
        return f"{name} is computed in this run"
    before, after = entry.consumed.get(name), work.offered[name]
    if name.startswith("bronze."):
        first = (before or 0) + 1
        return f"{f'batch {after}' if first == after else f'batches {first} to {after}'} of {name}"
    return f"{name} went from version {before} to {after}"


def _moving(table: Table) -> str:
    return "brings rows" if any(name.startswith("bronze.") for name in table.inputs) else "changes"


def _taken_back(name: str, standing: Standing) -> tuple[int, int] | None:
    """The versions from and to which a silver table is restored before it is computed: a dead or halted run left a newer one."""
    entry, latest = standing.certified.tables.get(name), standing.latest.get(name)
    return (latest, entry.version) if entry is not None and latest is not None and latest > entry.version else None


def _strange(table: Table, standing: Standing) -> tuple[str, ...]:
    """Where table and state disagree. Gold that an unfinished intent is yet to publish is not as it will be found."""
    if standing.finishes_first is not None and table.layer == "gold":
        return ()
    entry, latest = standing.certified.tables.get(table.name), standing.latest[table.name]
    if entry is not None and (latest is None or latest < entry.version):
        found = "there is no table" if latest is None else f"its log ends at {latest}"
        return (f"it is certified at version {entry.version} but {found}: the run would stop here",)
    if entry is None or latest == entry.version or table.layer == "bronze":
        return ()
    if table.layer == "gold":
        return (f"something other than publish wrote it: its log ends at {latest}, certified is {entry.version}; the run would stop here",)
    return (f"a run that did not commit left version {latest}: it is first taken back to {entry.version}",)


def _row(
    table: Table,
    action: Action,
    *,
    why: str,
    certain: bool = False,
    triggers: tuple[str, ...] = (),
    batches: tuple[WaitingBatch, ...] = (),
    reads_from: datetime | None = None,
    new_windows: int = 0,
    notes: tuple[str, ...] = (),
) -> TableForecast:
    return TableForecast(
        table=table.name,
        stage=table.stage,
        action=action,
        certain=certain,
        why=why,
        triggers=triggers,
        batches=batches,
        reads_from=reads_from,
        new_windows=new_windows,
        notes=notes,
    )
