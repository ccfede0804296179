"""How a described table can be read on: its key, the column by which windows are cut, the mark of deleted rows. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cli.add_described import Described, DescribedColumn
from cli.add_personal import suspected
from cli.add_types import spark_type
from cli.errors import Misused
from compiler.spark_types import INTEGERS

PositionKind = Literal["timestamp", "date", "integer", "snapshot"]

_CHANGED = re.compile(r"(last_?)?(updat|modif|chang|edit)\w*|mtime|sys_?mod\w*|row_?version")
_EXACT = ("updated_at", "modified_at", "last_modified_at", "last_modified", "last_updated", "changed_at", "updated_on", "modified_on", "mtime")
_NOT_OF_CHANGES = re.compile(r"birth|born|expir|due|valid|delet|start|end|sched|plan")
_FLAGS, _MOMENTS = ("is_deleted", "deleted", "is_removed", "removed"), ("deleted_at", "deleted_on", "removed_at")

TELLING_ROWS = 2  # a sample of one row makes every column look like a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How the source is read: by windows of a column, or whole, when `kind` is snapshot: then the engine fills `column` and `deleted`."""

    kind: PositionKind
    column: str
    deleted: str | None = None


def find_key(table: Described, columns: Sequence[DescribedColumn], wished: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """The key's columns, none where there is none to find, and what is to be decided of it."""
    names = {column.name for column in columns}
    if wished:
        return wished, None
    if table.key and set(table.key) <= names:
        return table.key, None
    lost = f"the source's key ({', '.join(table.key)}) holds a column that is left out" if table.key else "the source declares no key"
    required = {column.name for column in columns if column.required}
    for unique in table.uniques:
        if set(unique) <= required:
            return unique, f"{lost}; ({', '.join(unique)}) is unique and never NULL there: does it tell the rows apart for good?"
    guess = next((column.name for name in _key_names(table.name) for column in columns if column.name == name and _could_be_key(column)), None)
    if guess is not None:
        return (guess,), f"{lost}; '{guess}' is taken by its name and a sample: does it tell the rows apart?"
    return (), f"{lost}, and none was found; name it with --key, so that a silver table can be drafted"


def _key_names(table: str) -> tuple[str, ...]:
    """What the key of `orders` may be called."""
    singles = dict.fromkeys((table, re.sub(r"ies$", "y", table), re.sub(r"(es|s)$", "", table), re.sub(r"s$", "", table)))
    return ("id", *(f"{single}_{word}" for single in singles for word in ("id", "uuid", "key", "number", "no")), "uuid")


def _could_be_key(column: DescribedColumn) -> bool:
    found = column.contents
    return found is not None and found.rows >= TELLING_ROWS and found.distinct == found.rows


def find_position(table: Described, columns: Sequence[DescribedColumn], key: tuple[str, ...], wished: str | None) -> tuple[Position, str | None]:
    """By name, then an indexed time, else whole, or without a key by a counted number; and what is to be decided.

    Raises Misused for a wish that has no order.
    """
    kinds: dict[str, PositionKind] = {column.name: kind for column in columns if (kind := _kind(column)) is not None}
    if wished is not None:
        if wished not in kinds:
            raise Misused(f"'{wished}' cannot be a watermark: name a column of times, dates or whole numbers; there are {', '.join(kinds) or 'none'}")
        return Position(kind=kinds[wished], column=wished), None
    times = [name for name, kind in kinds.items() if kind == "timestamp" and not _NOT_OF_CHANGES.search(name)]
    named = [name for name in _EXACT if name in times] or [name for name in times if _CHANGED.search(name)]
    if named:
        return Position(kind="timestamp", column=named[0]), None
    indexed = [name for name in times if name in table.indexed]
    if indexed:
        return Position(kind="timestamp", column=indexed[0]), f"the watermark is '{indexed[0]}', an indexed time: does every change of a row move it?"
    counted = next((column.name for column in columns if kinds.get(column.name) == "integer" and (column.counted or key == (column.name,))), None)
    if counted and not key:
        note = f"the watermark is the number '{counted}': it brings new rows, and never a change of an old one"
        return Position(kind="integer", column=counted), note
    taken = {column.name for column in columns}
    deleted, at = (next(name for name in tried if name not in taken) for tried in (_tried("is_deleted"), _tried("seen_at")))
    note = "no column tells when a row changed: the table is read whole in every run, and a row that is absent counts as deleted; is it small enough?"
    cheaper = f" Where rows only ever come, --watermark {counted} reads the new ones alone." if counted else ""
    return Position(kind="snapshot", column=at, deleted=deleted), note + cheaper


def _tried(name: str) -> Sequence[str]:
    return (name, f"snapshot_{name}", *(f"snapshot_{name}_{number}" for number in range(2, 1000)))


def _kind(column: DescribedColumn) -> PositionKind | None:
    kind = spark_type(column.type, labels=bool(column.labels)).type
    if suspected(column.name, kind, column.type, column.contents) is not None:
        return None
    return "timestamp" if kind == "timestamp" else "date" if kind == "date" else "integer" if kind in INTEGERS else None


def find_deletes(columns: Sequence[DescribedColumn]) -> tuple[str | None, str | None]:
    """The column that marks deleted rows, and the condition."""
    kinds = {column.name: spark_type(column.type).type for column in columns}
    for name in _FLAGS:
        if kinds.get(name) == "boolean":
            return name, name
    for name in _MOMENTS:
        if kinds.get(name) in ("timestamp", "date"):
            return name, f"{name} IS NOT NULL"
    return None, None
