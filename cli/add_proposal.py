"""A described table as a bronze contract and its silver table: types, key, watermark, masks, rules, and what somebody must decide. Pure.

What cannot stand in a contract is left out and said; what is doubtful is masked and said.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cli.add_described import Described, DescribedColumn
from cli.add_personal import MASK_OF, suspected
from cli.add_types import Said, said_by, spark_type
from cli.errors import Misused
from compiler.columns import PLAIN_NAME, RESERVED
from compiler.rules import MAX_ROW_RULES
from compiler.spark_types import INTEGERS, family
from shared.spec.lake import Mask

PositionKind = Literal["timestamp", "date", "integer", "snapshot"]

_CHANGED = re.compile(r"(last_?)?(updat|modif|chang|edit)\w*|mtime|sys_?mod\w*|row_?version")
_EXACT = ("updated_at", "modified_at", "last_modified_at", "last_modified", "last_updated", "changed_at", "updated_on", "modified_on", "mtime")
_NOT_OF_CHANGES = re.compile(r"birth|born|expir|due|valid|delet|start|end|sched|plan")
_FLAGS, _MOMENTS = ("is_deleted", "deleted", "is_removed", "removed"), ("deleted_at", "deleted_on", "removed_at")
_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
_TELLING_ROWS = 2  # a sample of one row makes every column look like a key


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says instead of leaving it to the proposal."""

    name: str | None = None
    key: tuple[str, ...] = ()
    watermark: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedColumn:
    """One column of the drafts. `notes` are what somebody must decide."""

    name: str
    type: str
    required: bool = False
    key_position: int | None = None
    unique: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    values: tuple[Any, ...] = ()
    mask: Mask | None = None
    description: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def row_rules(self) -> int:
        """How many of the 60 that a table may have."""
        kinds = ({"pattern"}, set(_BOUNDS), {"minLength", "maxLength"})
        return self.required + (self.type != "string") + bool(self.values) + sum(bool(kind & set(self.options)) for kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How the source is read: by windows of a column, or whole, when `kind` is snapshot: then the engine fills `column` and `deleted`."""

    kind: PositionKind
    column: str
    deleted: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One source table. Without a key there is no silver table to draft."""

    stem: str
    relation: str
    title: str
    comment: str | None
    columns: tuple[ProposedColumn, ...]
    left_out: tuple[tuple[str, str], ...]
    position: Position
    delete_when: str | None
    marker: str | None  # the column that delete_when looks at
    uniques: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        keyed = [column for column in self.columns if column.key_position is not None]
        return tuple(column.name for column in sorted(keyed, key=lambda column: column.key_position or 0))

    @property
    def decisions(self) -> tuple[str, ...]:
        """Everything that somebody must decide, as the files say it."""
        of_columns = tuple(f"{column.name}: {note}" for column in self.columns for note in column.notes)
        return (*self.notes, *of_columns, *(f"{name} is left out: {why}" for name, why in self.left_out))


def propose(table: Described, wishes: Wishes) -> Proposal:
    """Raises Misused when the table cannot be read by its plain name, has no column that can, or a wish names none."""
    stem = wishes.name or table.name
    if not PLAIN_NAME.fullmatch(stem):
        raise Misused(f"'{stem}' cannot be a table's name here; give another with --name: lower-case letters, digits and _, a letter first")
    usable, left_out = _usable(table.columns)
    if not usable:
        raise Misused(f"{table.relation} has no column that can be read unquoted; offer a view with plain names at the source")
    names = [column.name for column in usable]
    for wish in (*wishes.key, *([wishes.watermark] if wishes.watermark else [])):
        if wish not in names:
            raise Misused(f"'{wish}' is not a column of {table.relation} that can be read; there are {', '.join(names)}")
    key, key_note = _key(table, usable, wishes.key)
    position, position_note = _position(table, usable, key, wishes.watermark)
    marker, delete_when = (position.deleted, position.deleted) if position.kind == "snapshot" else _deletes(usable)
    columns, unsaid = _constrained(tuple(_column(column, key, position) for column in usable), table.checks)
    columns, too_many = _within_limit((*columns, *_made(position)), {*key, position.column})
    kept = {column.name for column in columns}
    silent = None if delete_when else "rows that the source removes are never seen; a column that marks them, or a snapshot, would show them"
    notes = (key_note, position_note, silent, *(f"the source checks {check}, which is not drafted; write it as a rule?" for check in unsaid))
    return Proposal(
        stem=stem,
        relation=table.relation,
        title=_title(stem),
        comment=table.comment,
        columns=tuple(replace(column, unique=(column.name,) in table.uniques and key != (column.name,)) for column in columns),
        left_out=(*left_out, *too_many),
        position=position,
        delete_when=delete_when,
        marker=marker,
        uniques=tuple(unique for unique in table.uniques if len(unique) > 1 and set(unique) <= kept and unique != key),
        notes=tuple(note for note in notes if note),
    )


def _usable(columns: Sequence[DescribedColumn]) -> tuple[list[DescribedColumn], tuple[tuple[str, str], ...]]:
    kept, left_out = [], []
    for column in columns:
        if not PLAIN_NAME.fullmatch(column.name):
            left_out.append((column.name, "its name must be quoted; offer it under a plain lower-case name in a view at the source"))
        elif column.name in RESERVED:
            left_out.append((column.name, "its name is a reserved SQL word; offer it under another name in a view at the source"))
        else:
            kept.append(column)
    return kept, tuple(left_out)


# ---- key and position


def _key(table: Described, columns: Sequence[DescribedColumn], wished: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
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
    return found is not None and found.rows >= _TELLING_ROWS and found.distinct == found.rows


def _position(table: Described, columns: Sequence[DescribedColumn], key: tuple[str, ...], wished: str | None) -> tuple[Position, str | None]:
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
    counted = [column.name for column in columns if kinds.get(column.name) == "integer" and (column.counted or key == (column.name,))]
    if counted:
        return Position(
            kind="integer", column=counted[0]
        ), f"the watermark is the number '{counted[0]}': it brings new rows, and never a change of an old one"
    taken = {column.name for column in columns}
    deleted, at = (next(name for name in tried if name not in taken) for tried in (_tried("is_deleted"), _tried("seen_at")))
    note = "no column tells when a row changed: the table is read whole in every run, and a row that is absent counts as deleted; is it small enough?"
    return Position(kind="snapshot", column=at, deleted=deleted), note


def _tried(name: str) -> Sequence[str]:
    return (name, f"snapshot_{name}", *(f"snapshot_{name}_{number}" for number in range(2, 1000)))


def _kind(column: DescribedColumn) -> PositionKind | None:
    kind = spark_type(column.type, labels=bool(column.labels)).type
    if suspected(column.name, kind, column.type, column.contents) is not None:
        return None
    return "timestamp" if kind == "timestamp" else "date" if kind == "date" else "integer" if kind in INTEGERS else None


def _made(position: Position) -> tuple[ProposedColumn, ...]:
    """The columns that the engine fills for a snapshot."""
    if position.deleted is None:
        return ()
    return (
        ProposedColumn(name=position.deleted, type="boolean", required=True),
        ProposedColumn(name=position.column, type="timestamp", required=True),
    )


def _deletes(columns: Sequence[DescribedColumn]) -> tuple[str | None, str | None]:
    """The column that marks deleted rows, and the condition."""
    kinds = {column.name: spark_type(column.type).type for column in columns}
    for name in _FLAGS:
        if kinds.get(name) == "boolean":
            return name, name
    for name in _MOMENTS:
        if kinds.get(name) in ("timestamp", "date"):
            return name, f"{name} IS NOT NULL"
    return None, None


# ---- columns


def _column(column: DescribedColumn, key: tuple[str, ...], position: Position) -> ProposedColumn:
    found = spark_type(column.type, labels=bool(column.labels))
    kind, notes = found.type, [found.note] if found.note else []
    suspicion = None if column.name == position.column else suspected(column.name, kind, column.type, column.contents)
    mask: Mask | None = None
    if suspicion is not None:
        mask = "hmac" if column.name in key else MASK_OF[suspicion.kind]
        held = "a person's name" if suspicion.kind == "name" else suspicion.kind.replace("_", " ")
        if not suspicion.sure:
            notes.append(f"may hold {held} ({suspicion.why}) and is masked; does it?")
        if kind != "string":
            notes.append(f"is {kind} at the source; only text can be masked, so it is read as text")
            kind = "string"
    found_in = column.contents
    if mask is None and kind == "string" and found_in is not None and found_in.filled >= _TELLING_ROWS and found_in.numbers == found_in.filled:
        notes.append("is text at the source, and a sample holds numbers alone; read it as a number, so that anything else is rejected?")
    leads = column.name in key or column.name == position.column
    if leads and not column.required:
        notes.append("may be NULL at the source; a row without it is rejected here")
    return ProposedColumn(
        name=column.name,
        type=kind,
        required=column.required or leads,
        key_position=key.index(column.name) + 1 if column.name in key else None,
        options={} if found.length is None or kind != "string" else {"maxLength": found.length},
        values=column.labels,
        mask=mask,
        description=column.comment,
        notes=tuple(notes),
    )


def _constrained(columns: tuple[ProposedColumn, ...], checks: Sequence[str]) -> tuple[tuple[ProposedColumn, ...], list[str]]:
    """The columns with what the checks say of them, and the checks that say something else."""
    by_name, unsaid = {column.name: column for column in columns}, []
    for check in checks:
        said = said_by(check)
        narrowed = None if said is None else _narrowed(by_name, said)
        if narrowed is None:
            unsaid.append(check)
        else:
            by_name = narrowed
    return tuple(by_name.values()), unsaid


def _narrowed(columns: Mapping[str, ProposedColumn], said: Sequence[Said]) -> dict[str, ProposedColumn] | None:
    found = dict(columns)
    for part in said:
        column = found.get(part.column)
        narrower = None if column is None else _with(column, part)
        if narrower is None:
            return None
        found[part.column] = narrower
    return found


def _with(column: ProposedColumn, said: Said) -> ProposedColumn | None:
    """None where the column cannot carry it, or says otherwise already."""
    kind = family(column.type)
    if said.option == "required":
        return replace(column, required=True)
    if said.option == "values":
        fits = kind == "text" if all(isinstance(value, str) for value in said.value) else kind == "number"
        same = all(isinstance(value, str) for value in said.value) or not any(isinstance(value, str) for value in said.value)
        return replace(column, values=said.value) if fits and same and not column.values else None
    if kind != ("number" if said.option in _BOUNDS else "text"):
        return None
    options = {**column.options, said.option: said.value}
    if said.option == "maxLength":
        options["maxLength"] = min(said.value, column.options.get("maxLength", said.value))
    elif said.option in column.options:
        return None
    return replace(column, options=options) if _holds_together(options) else None


def _holds_together(options: Mapping[str, Any]) -> bool:
    """Whether something is between the bounds, and no side has two."""
    if {"minimum", "exclusiveMinimum"} <= set(options) or {"maximum", "exclusiveMaximum"} <= set(options):
        return False
    low, high = options.get("minimum", options.get("exclusiveMinimum")), options.get("maximum", options.get("exclusiveMaximum"))
    strict = "exclusiveMinimum" in options or "exclusiveMaximum" in options
    if low is not None and high is not None and (low > high or (low == high and strict)):
        return False
    return bool(options.get("minLength", 0) <= options.get("maxLength", options.get("minLength", 0)))


def _within_limit(columns: tuple[ProposedColumn, ...], needed: set[str]) -> tuple[tuple[ProposedColumn, ...], tuple[tuple[str, str], ...]]:
    """A table has so many rules and no more: the least telling go first, then the last columns."""
    thinned: Sequence[Callable[[ProposedColumn], ProposedColumn]] = (
        lambda column: replace(column, options={k: v for k, v in column.options.items() if k not in ("minLength", "maxLength")}),
        lambda column: replace(column, options={}),
        lambda column: replace(column, values=()),
        lambda column: column if column.name in needed else replace(column, required=False),
        lambda column: replace(column, required=column.required and column.key_position is None),
    )
    for thin in thinned:
        if sum(column.row_rules for column in columns) > MAX_ROW_RULES:
            columns = tuple(map(thin, columns))
    left_out: list[tuple[str, str]] = []
    why = f"a table has at most {MAX_ROW_RULES} rules, and every type but text is one; split the table by views, or read some as text"
    while sum(column.row_rules for column in columns) > MAX_ROW_RULES:
        last = next((column for column in reversed(columns) if column.name not in needed and column.row_rules), None)
        if last is None:
            raise Misused(f"a key of {len(needed)} columns is more than a table's {MAX_ROW_RULES} rules can hold; name a smaller one with --key")
        columns = tuple(column for column in columns if column is not last)
        left_out.insert(0, (last.name, why))
    return columns, tuple(left_out)


def _title(stem: str) -> str:
    return f"{stem.replace('_', ' ').capitalize()} as the source records them"
