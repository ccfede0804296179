"""Rejected rows of certified bronze, as `sluice rejects` asks for them: counted by what they were rejected for, or row by row."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cli.errors import Misused
from cli.lakes import OpenLake
from cli.queries import resolve
from shared.core.messages import Replay
from shared.core.replay import BROKEN_LINE, COPY, POINTER
from shared.spec.lake import Lake, Table

State = Literal["open", "replayed", "copy"]
STATES: tuple[State, ...] = ("open", "replayed", "copy")

# One row per rejected row. Rows of a replay, in any lane, have an `_original` that says which reject they were.
_REJECTS = f"""
with told as (select _batch_id || '/' || _row_id as pointer, _run_id as run, _lane, _reasons as reasons, _clear_reasons as clear_reasons, _original,
                     json_extract_string(_original, '$.{POINTER}') as replayed_from
              from {{table}} where _original is not null),
     rejects as (select *, case when list_contains(reasons, '{COPY}') then 'copy'
                                when pointer in (select replayed_from from told where replayed_from is not null) then 'replayed'
                                else 'open' end as state
                 from told where _lane = 'rejected')
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rejects of one run, alike in their reasons and in what became of them."""

    reasons: tuple[str, ...]
    clear_reasons: tuple[str, ...]  # those of a rule that saw the clear value of a masked column
    run: str | None
    state: State
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All rejects of a table."""

    table: str
    groups: tuple[Group, ...]

    @property
    def states(self) -> Mapping[str, int]:
        return {state: sum(group.rows for group in self.groups if group.state == state) for state in STATES}

    def selected(self, replay: Replay) -> tuple[Group, ...]:
        """The open ones that a replay asks for. Raises Misused for a rule or run that none of them has."""
        rest = [group for group in self.groups if group.state == "open" and BROKEN_LINE not in group.reasons]
        _refuse_unknown(self.table, "rule", replay.rules, {reason for group in rest for reason in group.reasons})
        _refuse_unknown(self.table, "run", replay.runs, {group.run for group in rest if group.run is not None})
        by_rule = [group for group in rest if not replay.rules or set(replay.rules) & set(group.reasons)]
        return tuple(group for group in by_rule if not replay.runs or group.run in replay.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One rejected row; `original` is what the source gave, as texts, masked. `replayed_from`: the reject it was, if a replay rejected it again."""

    pointer: str
    run: str | None
    state: State
    reasons: tuple[str, ...]
    replayed_from: str | None
    original: Mapping[str, str | None]


def source_of(lake: Lake, name: str) -> Table:
    """Raises Misused with what there is."""
    known = {table.name: table for table in lake.sources}
    if name not in known:
        near = difflib.get_close_matches(name, [*known, *(table.split(".", 1)[1] for table in known)], n=1)
        hint = f"Did you mean {near[0] if near[0] in known else 'bronze.' + near[0]}? " if near else ""
        raise Misused(f"sluice rejects: {name} is not a bronze table of this lake. {hint}There are {', '.join(known)}")
    return known[name]


def account_of(lake: OpenLake, table: Table) -> Account:
    """What the certified batches of a source hold in rejects; none before its first."""
    text = "select reasons, clear_reasons, run, state, count(*) as rows from rejects group by all order by all"
    groups = (
        Group(reasons=tuple(reasons), clear_reasons=tuple(clear or ()), run=run, state=state, rows=rows)
        for reasons, clear, run, state, rows in _ask(lake, table, text)
    )
    return Account(table=table.name, groups=tuple(groups))


def rows_of(lake: OpenLake, table: Table, rules: Sequence[str], runs: Sequence[str], *, limit: int, every: bool) -> tuple[Rejected, ...]:
    """The first rejects by batch and row."""
    where = ["true" if every else "state = 'open'"]
    where += [f"list_has_any(reasons, {_texts(rules)})"] if rules else []
    where += [f"list_contains({_texts(runs)}, run)"] if runs else []
    columns = "pointer, run, state, reasons, replayed_from, _original"
    text = f"select {columns} from rejects where {' and '.join(where)} order by pointer, reasons limit {limit}"
    return tuple(
        Rejected(pointer=pointer, run=run, state=state, reasons=tuple(reasons), replayed_from=replayed_from, original=_given(original))
        for pointer, run, state, reasons, replayed_from, original in _ask(lake, table, text)
    )


def _ask(lake: OpenLake, table: Table, text: str) -> tuple[tuple[Any, ...], ...]:
    if table.name not in lake.state.certified().tables:
        return ()
    query = resolve(_REJECTS.format(table=table.name) + text, lake=lake.lake, state=lake.state, dialect=lake.bronze.dialect)
    return lake.bronze.run(query).rows


def _given(original: str) -> Mapping[str, str | None]:
    return {name: value for name, value in json.loads(original).items() if name != POINTER}


def _texts(words: Sequence[str]) -> str:
    """A list of SQL texts."""
    doubled = (word.replace("'", "''") for word in words)
    return "[" + ", ".join(f"'{word}'" for word in doubled) + "]"


def _refuse_unknown(table: str, what: str, words: Sequence[str], known: set[str]) -> None:
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            there = ", ".join(sorted(known)) or "none"
            raise Misused(f"sluice rejects: no open reject of {table} is of {what} {word}. {hint}There are {there}")
