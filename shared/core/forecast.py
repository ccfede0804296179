"""What the next run would do, from state, Delta logs and listings alone, by the very functions that decide it in a run. Pure.

Nobody asks a database: whether it has new rows is not known. So a table's work is certain (whatever the sources bring), or it is there only if
one of its `triggers` moves: a source brings rows, a silver table changes. A gate may still halt what either waits for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.core.batches import halted
from shared.core.choice import Choice
from shared.core.graph import held_back, moved_inputs, only, with_work
from shared.core.messages import Entry
from shared.core.standing import Standing, oddities, taken_back
from shared.core.upcoming import Upcoming, WaitingBatch, offered_at_most, surely_offered, upcoming
from shared.spec.lake import Lake, Position, SourceKind, Stage, Table

Action = Literal["read", "build", "rebuild", "update", "nothing", "not planned"]
NEW_VERSION = -1  # one that no table has consumed


@dataclass(frozen=True, slots=True, kw_only=True)
class TableForecast:
    """One table in the next run. Of a source: its waiting batches, and what it reads beyond them (see `upcoming.Upcoming`).

    `update` merges what is new, or computes the affected keys again. `triggers` are empty where the work is certain, or there is none.
    """

    table: str
    stage: Stage
    action: Action
    certain: bool = False
    why: str
    triggers: tuple[str, ...] = ()
    source: SourceKind | None = None
    batches: tuple[WaitingBatch, ...] = ()
    reads_from: Position | None = None
    new_windows: int = 0
    new_objects: int | None = None
    notes: tuple[str, ...] = ()  # what it waits for, what stands in its way


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """The tables that have work under one assumption, and what each input then offers."""

    todo: tuple[str, ...]
    offered: Mapping[str, int]


def forecast(lake: Lake, choice: Choice, standing: Standing, *, max_windows: int) -> tuple[TableForecast, ...]:
    """Every table of the lake, in its order. Raises nothing for tables and state that disagree: `notes` say what the run would stop at."""
    limited = only(lake, choice.tables)
    coming = {table.name: upcoming(table, table.source, standing, max_windows=max_windows) for table in limited.sources if table.source is not None}
    sure = _work(limited, choice, standing, {name: surely_offered(name, one, standing) for name, one in coming.items()}, arriving=False)
    perhaps = _work(limited, choice, standing, {name: offered_at_most(name, one, standing) for name, one in coming.items()}, arriving=True)
    held = held_back(limited, _stopped(coming, standing))
    made = []
    for table in lake.tables:
        if table.name not in choice.tables:
            made.append(_row(table, "not planned", why="not among the tables asked for, nor needed for them"))
        elif table.name in coming:
            made.append(_of_source(table, coming[table.name], standing, held))
        else:
            made.append(_of_derived(table, choice, standing, sure, perhaps, held))
    return tuple(made)


def _stopped(coming: Mapping[str, Upcoming], standing: Standing) -> dict[str, str]:
    """Sources that would halt, as far as can be told: before they are read, or with a batch that halted before."""
    stopped = {}
    for name, one in coming.items():
        batch = halted(standing.pending[name][: len(one.batches)])
        if one.halts is not None:
            stopped[name] = one.halts
        elif batch is not None:
            stopped[name] = f"batch {batch.seq} was halted: unless its source or its contract was mended, it halts again"
    return stopped


def _of_source(table: Table, coming: Upcoming, standing: Standing, held: Mapping[str, str]) -> TableForecast:
    return TableForecast(
        table=table.name,
        stage=table.stage,
        action="read",
        certain=True,
        why="every run reads on" if standing.progress[table.name].seq else "it was never read",
        source=coming.kind,
        batches=coming.batches,
        reads_from=coming.reads_from,
        new_windows=coming.new_windows,
        new_objects=coming.new_objects,
        notes=(*([held[table.name]] if table.name in held else []), *coming.notes, *oddities(table, standing)),
    )


# ---- derived tables


def _work(limited: Lake, choice: Choice, standing: Standing, content: dict[str, int], *, arriving: bool) -> _Work:
    """`arriving`: every silver table with work changes; else only one that is taken back to its certified version is sure to."""
    certified, refresh = standing.certified, choice.full_refresh
    versions = {name: entry.version for name, entry in certified.tables.items() if not name.startswith("bronze.")}
    silver = with_work(limited, "refine", certified, versions | content, refresh=refresh, blocked=())
    moved = {name: NEW_VERSION for name in silver if arriving or taken_back(name, standing)}
    gold = with_work(limited, "stage", certified, versions | moved, refresh=refresh, blocked=())
    return _Work(todo=(*silver, *gold), offered=versions | moved | content)


def _of_derived(table: Table, choice: Choice, standing: Standing, sure: _Work, perhaps: _Work, held: Mapping[str, str]) -> TableForecast:
    entry = standing.certified.tables.get(table.name)
    notes = ((f"{held[table.name]}, if that halts",) if table.name in held else ()) + oddities(table, standing)
    if table.name not in perhaps.todo:
        return _row(table, "nothing", why="its definition and its inputs are as certified", notes=notes)
    if entry is None:
        return _row(table, "build", certain=True, why="it was never certified", notes=notes)
    if entry.definition_hash != table.definition_hash:
        return _row(table, "rebuild", certain=True, why="its definition changed since it was certified", notes=notes)
    if table.name in choice.full_refresh:
        return _row(table, "rebuild", certain=True, why="a full refresh was asked for", notes=notes)
    if table.name in sure.todo:
        moves = [_move(entry, name, sure) for name in moved_inputs(table, entry, sure.offered, sure.todo)]
        return _row(table, "update", certain=True, why="; ".join(moves), notes=notes)
    triggers = moved_inputs(table, entry, perhaps.offered, perhaps.todo)
    return _row(table, "update", why=f"only if {' or '.join(triggers)} {_moving(table)}", triggers=triggers, notes=notes)


def _move(entry: Entry, name: str, work: _Work) -> str:
    if name in work.todo:
        return f"{name} is computed in this run"
    before, after = entry.consumed.get(name), work.offered[name]
    if name.startswith("bronze."):
        first = (before or 0) + 1
        return f"{f'batch {after}' if first == after else f'batches {first} to {after}'} of {name}"
    return f"{name} went from version {before} to {after}"


def _moving(table: Table) -> str:
    """What a trigger must do: gold waits for a new version; silver that reads silver is computed with it, before anyone knows."""
    if any(name.startswith("bronze.") for name in table.inputs):
        return "brings rows"
    return "is computed" if table.layer == "silver" else "changes"


def _row(
    table: Table, action: Action, *, why: str, certain: bool = False, triggers: tuple[str, ...] = (), notes: tuple[str, ...] = ()
) -> TableForecast:
    return TableForecast(table=table.name, stage=table.stage, action=action, certain=certain, why=why, triggers=triggers, notes=notes)
