"""A described table as a bronze contract and its silver table: types, key, watermark, masks, rules, and what somebody must decide. Pure.

What cannot stand in a contract is left out and said; what is doubtful is masked and said.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cli.add_described import Described, DescribedColumn
from cli.add_personal import MASK_OF, suspected
from cli.add_position import TELLING_ROWS, Position, find_deletes, find_key, find_position
from cli.add_types import Said, said_by, spark_type
from cli.errors import Misused
from compiler.columns import PLAIN_NAME, RESERVED
from compiler.rules import MAX_ROW_RULES
from compiler.spark_types import family
from shared.spec.lake import Mask

_BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")


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
    key, key_note = find_key(table, usable, wishes.key)
    position, position_note = find_position(table, usable, key, wishes.watermark)
    marker, delete_when = (position.deleted, position.deleted) if position.kind == "snapshot" else find_deletes(usable)
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


# ---- columns


def _made(position: Position) -> tuple[ProposedColumn, ...]:
    """The columns that the engine fills for a snapshot."""
    if position.deleted is None:
        return ()
    return (
        ProposedColumn(name=position.deleted, type="boolean", required=True),
        ProposedColumn(name=position.column, type="timestamp", required=True),
    )


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
    if mask is None and kind == "string" and found_in is not None and found_in.filled >= TELLING_ROWS and found_in.numbers == found_in.filled:
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
