"""What a run is asked for: limited to some tables, some computed anew, rejects of one replayed. Refuses words and names that it cannot take. Pure."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.core.errors import RequestRefused
from shared.core.events import PlanRequest, RunRequest
from shared.core.graph import needed_for
from shared.core.messages import Replay
from shared.spec.codec import CodecError, from_json, instant_text, parse_instant, to_json
from shared.spec.lake import Lake, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """`tables`: every table of the run, in the lake's order. `full_refresh`: those of them to compute from all of their inputs."""

    tables: tuple[str, ...]
    full_refresh: tuple[str, ...]
    why: str | None  # of a table that was not named itself; None when the run is not limited


def plan_request(started: RunRequest) -> PlanRequest:
    """What an execution's input asks for. Raises RequestRefused for a word that it may not hold: passed over, a misspelt `tables` would be a run of
    every table."""
    nothing_asked = to_json(PlanRequest(run=started.run, machine=started.machine))
    words = [name for name in nothing_asked if name not in ("run", "machine")]
    if not isinstance(started.input, dict):
        raise RequestRefused(f"the execution's input is no object but {type(started.input).__name__}; write {{}} for a run of every table")
    unknown = [word for word in started.input if word not in words]
    if unknown:
        raise RequestRefused(f"the execution's input holds {', '.join(map(repr, unknown))}; a run takes {', '.join(words)} and nothing else")
    try:
        request = from_json(PlanRequest, nothing_asked | started.input)
        # two spellings of one instant are one strike
        return request if request.scheduled is None else replace(request, scheduled=instant_text(parse_instant(request.scheduled)))
    except CodecError as odd:
        said = str(odd).removeprefix("PlanRequest.")
        raise RequestRefused(
            f'the execution\'s input: {said}; tables are named in lists, as in {{"tables": ["gold.sales"]}}, and the schedule gives its own time, '
            "as 2026-11-23T04:00:00Z"
        ) from odd


def choose(lake: Lake, *, tables: Sequence[str], full_refresh: Sequence[str], replay: Replay | None = None) -> Choice:
    """A run without `tables` is a run of all. With some, it is limited to them, to those to refresh, to that of a replay, and to what they need.

    Raises RequestRefused for a name that is not of this lake, and for a bronze table to refresh.
    """
    replayed = () if replay is None else (replay.table,)
    for name in (*tables, *full_refresh, *replayed):
        table_named(lake, name)
    for name in full_refresh:
        _refuse_source(lake, name)
    refreshed = tuple(table.name for table in lake.tables if table.name in full_refresh)
    if not tables:
        return Choice(tables=tuple(table.name for table in lake.tables), full_refresh=refreshed, why=None)
    asked = dict.fromkeys((*tables, *full_refresh, *replayed))
    return Choice(tables=needed_for(lake, asked), full_refresh=refreshed, why=f"limited to {', '.join(asked)} and what that needs")


def table_named(lake: Lake, name: str) -> Table:
    """Raises RequestRefused naming the nearest there is."""
    known = {table.name: table for table in lake.tables}
    if name not in known:
        raise RequestRefused(f"'{name}' is not a table of this lake.{nearest(name, known)}")
    return known[name]


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?`, or the choices when none is near; the end of a refusal."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f" Did you mean '{near[0]}'?" if near else f" There are {', '.join(choices) or 'none'}."


def _refuse_source(lake: Lake, name: str) -> None:
    if lake.table(name).layer == "bronze":
        readers = [table.name for table in lake.tables if name in table.inputs]
        instead = f"rebuild what reads it: {', '.join(readers)}" if readers else "nothing reads it yet"
        raise RequestRefused(f"{name} cannot be refreshed: bronze keeps what its source said, batch by batch, and has no input but that; {instead}")
