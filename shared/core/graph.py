"""What follows from what between tables: what a table needs, what a stopped one holds back, which gold tables stand or fall together, what has work
to do. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from shared.core.messages import Certified, Entry
from shared.spec.lake import Lake, Stage, Table


def needed_for(lake: Lake, chosen: Iterable[str]) -> tuple[str, ...]:
    """The tables of a run limited to `chosen`, in the lake's order: those and all they are computed from.

    A gold table brings along those tied to it by relationships, with what they need: the star stays whole.
    """
    needed = set(chosen)
    while True:
        inputs = {name for table in lake.tables if table.name in needed for name in table.inputs}
        tied = {name for pair in _ties(lake) if needed.intersection(pair) for name in pair}
        if inputs | tied <= needed:
            return tuple(table.name for table in lake.tables if table.name in needed)
        needed |= inputs | tied


def only(lake: Lake, names: Collection[str]) -> Lake:
    """The lake without its other tables. What the rest reads must be among `names`."""
    return replace(lake, tables=tuple(table for table in lake.tables if table.name in names))


def held_back(lake: Lake, stopped: Mapping[str, str]) -> dict[str, str]:
    """Every table that must wait because of the `stopped` ones (table -> why), those included.

    A table waits for its inputs. Gold tables tied by relationships stop together, so that no visible fact points at a dimension row that
    its own run did not publish.
    """
    held = dict(stopped)
    while True:
        more = _waiting(lake, held) | _tied(lake, held)
        if not more:
            return held
        held |= more


def has_work(table: Table, certified: Certified, inputs: Mapping[str, int], todo: Collection[str]) -> bool:
    """Whether a derived or merged table must be computed: it is new, was redefined, or an input moved or is about to.

    `inputs` holds what each input offers now: a Delta version, or of a bronze table the seq of the last batch that its readers must take (0: none).
    """
    entry = certified.tables.get(table.name)
    if entry is None or entry.definition_hash != table.definition_hash:
        return True
    return bool(moved_inputs(table, entry, inputs, todo))


def moved_inputs(table: Table, entry: Entry, inputs: Mapping[str, int], todo: Collection[str]) -> tuple[str, ...]:
    """The inputs that are no longer what the table consumed, or are about to be computed."""
    return tuple(name for name in table.inputs if name in todo or _moved(entry, name, inputs[name]))


def with_work(
    lake: Lake, stage: Stage, certified: Certified, offered: Mapping[str, int], *, refresh: Collection[str], blocked: Collection[str]
) -> tuple[str, ...]:
    """The tables of a stage that must be computed, in dependency order. `refresh`: those that must be whether or not something moved."""
    todo: list[str] = []
    for table in lake.of_stage(stage):
        if table.name not in blocked and (table.name in refresh or has_work(table, certified, offered, todo)):
            todo.append(table.name)
    return tuple(todo)


def groups_of(lake: Lake, stage: Stage, tables: Collection[str]) -> tuple[str, ...]:
    """The groups of a stage that have one of the tables, in dependency order, each once."""
    return tuple(dict.fromkeys(table.group for table in lake.of_stage(stage) if table.name in tables))


def needs_among(tables: Sequence[Table]) -> dict[str, frozenset[str]]:
    """What each of some tables must wait for among them: what it reads, and what it points at by a relationship.

    `tables` are in dependency order; the answer is too, and what the longest chain of others waits for comes first in it.
    """
    chosen = frozenset(table.name for table in tables)
    needs = {table.name: chosen.intersection((*table.inputs, *(link.to_table for link in table.relationships))) - {table.name} for table in tables}
    behind = dict.fromkeys(needs, 0)  # the longest chain of tables that wait for this one
    for name in reversed(needs):
        for needed in needs[name]:
            behind[needed] = max(behind[needed], 1 + behind[name])
    return {name: needs[name] for name in sorted(needs, key=lambda name: -behind[name])}


def content_seq(certified: Certified, bronze: str) -> int:
    """The seq of a source's last certified batch that accepted rows or deleted some; 0 before the first. Kept in its own CERTIFIED entry."""
    entry = certified.tables.get(bronze)
    return 0 if entry is None else entry.consumed[bronze]


def settled(entries: Mapping[str, Entry], versions: Mapping[str, int]) -> dict[str, Entry]:
    """An intent's entries with gold's versions as they came out: those tables' own, and what their readers consumed of them."""
    closed = dict(entries)
    for name, version in versions.items():
        consumed = {read: versions.get(read, seen) for read, seen in closed[name].consumed.items()}
        closed[name] = replace(closed[name], version=version, consumed=consumed)
    return closed


def _moved(entry: Entry, name: str, offered: int) -> bool:
    """Batches only add up (a consumed seq past the last one that must be taken is up to date); a Delta version is equal or it moved."""
    consumed = entry.consumed.get(name)
    return consumed is None or (consumed < offered if name.startswith("bronze.") else consumed != offered)


def _waiting(lake: Lake, held: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in lake.tables:
        cause = next((name for name in table.inputs if name in held), None)
        if table.name not in held and cause is not None:
            found[table.name] = f"waits for {cause}"
    return found


def _tied(lake: Lake, held: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in _ties(lake):
        stopped = [name for name in pair if name in held]
        if len(stopped) == 1:
            other = pair[0] if stopped[0] == pair[1] else pair[1]
            found[other] = f"tied to {stopped[0]} by a relationship"
    return found


def _ties(lake: Lake) -> list[tuple[str, str]]:
    """Gold tables that stand or fall together, pair by pair."""
    return [(table.name, relationship.to_table) for table in lake.of_stage("stage") for relationship in table.relationships]
