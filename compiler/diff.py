"""Two compiled lakes compared: what changed in each contract, which version that asks for, and what downstream it reaches. Pure.

A breaking change asks for a new major version, a compatible one for a new minor one, other words for a new patch (semver.org). What a change
reaches is read off the lineage of both lakes: of the old one for what is gone, of the new one for what came.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compiler.diff_tables import Change, Weight, changes_of
from shared.spec.lake import Lake, Table

_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)([-+][0-9A-Za-z.+-]+)?")
_RANK: Mapping[Weight, int] = {"words": 1, "compatible": 2, "breaking": 3}
_MOVED = (3, 2, 1)  # what a version says whose first moved number is its major, minor, patch

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """One change and the downstream columns (`layer.table.column`) computed from what it touches."""

    change: Change
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """One table's changes. `before` and `after` are versions, None where there is no such table.

    `needs` is the least version that its changes ask for; None where `before` cannot be counted on from. `met`: the contract has it.
    `readers` are the tables that are loaded from or select from it, through others too: they may join or filter by what lineage does not show.
    """

    table: str
    before: str | None
    after: str | None
    changes: tuple[Reached, ...]
    readers: tuple[str, ...]
    needs: str | None
    met: bool

    @property
    def weight(self) -> Weight | None:
        """Of its heaviest change; None where only the version moved."""
        return max((reached.change.weight for reached in self.changes), key=lambda weight: _RANK[weight], default=None)

    @property
    def breaks(self) -> bool:
        """A breaking change whose version does not say so, or a table that is gone."""
        return self.weight == "breaking" and not self.met


def compare_lakes(base: Lake, lake: Lake) -> tuple[TableDiff, ...]:
    """Every table that changed, in the order of `lake`, then those that are gone."""
    had, has = {table.name: table for table in base.tables}, {table.name: table for table in lake.tables}
    flow = _Flow((*base.tables, *lake.tables))
    names = [*has, *(name for name in had if name not in has)]
    came = tuple(has[name] for name in has if name not in had)
    return tuple(found for name in names if (found := _compare(had.get(name), has.get(name), flow, came)) is not None)


def least_version(before: str, weight: Weight) -> str | None:
    """The next version after `before` that says `weight`; None where `before` is not MAJOR.MINOR.PATCH."""
    found = _parsed(before)
    if found is None:
        return None
    major, minor, patch = found
    told = {"breaking": (major + 1, 0, 0), "compatible": (major, minor + 1, 0), "words": (major, minor, patch + 1)}[weight]
    return ".".join(map(str, told))


def says(before: str, after: str, weight: Weight) -> bool:
    """Whether going from `before` to `after` says at least `weight`. A version that goes back, or is not MAJOR.MINOR.PATCH, says nothing."""
    old, new = _parsed(before), _parsed(after)
    if old is None or new is None or new <= old:
        return False
    moved = next(place for place in range(3) if new[place] != old[place])
    return _MOVED[moved] >= _RANK[weight]


def _compare(old: Table | None, new: Table | None, flow: "_Flow", came: tuple[Table, ...]) -> TableDiff | None:
    if old is None or new is None:
        return _whole(old, new, flow, came)
    changes = changes_of(old, new)
    if not changes and old.version == new.version:
        return None
    own = tuple(dict.fromkeys(column.name for table in (old, new) for column in table.columns))
    reached = tuple(
        Reached(change=change, columns=() if change.weight == "words" else flow.columns(new.name, change.columns or own)) for change in changes
    )
    weight = max((change.weight for change in changes), key=lambda item: _RANK[item], default=None)
    return TableDiff(
        table=new.name,
        before=old.version,
        after=new.version,
        changes=reached,
        readers=flow.readers(new.name),
        needs=old.version if weight is None else least_version(old.version, weight),
        met=not says(new.version, old.version, "words") if weight is None else says(old.version, new.version, weight),
    )


def _whole(old: Table | None, new: Table | None, flow: "_Flow", came: tuple[Table, ...]) -> TableDiff | None:
    """A table that came or is gone. None has a version that could say so, so one that is gone is never met."""
    table = new or old
    if table is None:
        return None
    shape = [(column.name, column.type) for column in table.columns]
    twin = next((other.name for other in came if new is None and [(column.name, column.type) for column in other.columns] == shape), None)
    hint = None if twin is None else f"looks renamed to {twin}, which has the same columns; to a reader that is a removal and an addition"
    change = Change(weight="compatible" if old is None else "breaking", what=f"table {'added' if old is None else 'removed'}", why=hint)
    own = tuple(column.name for column in table.columns)
    return TableDiff(
        table=table.name,
        before=None if old is None else old.version,
        after=None if new is None else new.version,
        changes=(Reached(change=change, columns=flow.columns(table.name, own)),),
        readers=flow.readers(table.name),
        needs=None,
        met=old is None,
    )


def _parsed(version: str) -> Version | None:
    found = _VERSION.fullmatch(version.strip())
    return None if found is None else (int(found[1]), int(found[2]), int(found[3]))


class _Flow:
    """Who reads what, by table and by column, over the tables of both lakes."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables: dict[str, set[str]] = {}
        self._columns: dict[str, set[str]] = {}
        for table in tables:
            for name in table.inputs:
                self._tables.setdefault(name, set()).add(table.name)
            for column in table.columns:
                for source in column.lineage:
                    self._columns.setdefault(source, set()).add(f"{table.name}.{column.name}")

    def readers(self, table: str) -> tuple[str, ...]:
        return tuple(sorted(_after({table}, self._tables)))

    def columns(self, table: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(_after({f"{table}.{name}" for name in names}, self._columns)))


def _after(start: set[str], edges: Mapping[str, set[str]]) -> set[str]:
    """Everything downstream of `start`, itself left out."""
    found, waiting = set(start), list(start)
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in found:
                found.add(name)
                waiting.append(name)
    return found - start
