"""Tables loaded column by column from another table: log, merge, scd2. Their contract against the table they come `from`."""

from collections.abc import Mapping

from compiler.draft import Draft, DraftColumn
from compiler.node import Node
from compiler.problems import did_you_mean
from compiler.spark_types import family
from compiler.sql import check_condition
from shared.spec.history import IS_CURRENT, OWN_COLUMNS, VALID_FROM, VALID_TO, stand_in
from shared.spec.lake import History, Load

Drafts = Mapping[str, Draft]

_ORIGINS: Mapping[Load, tuple[Load, ...]] = {"log": ("append",), "merge": ("append", "log"), "scd2": ("log",)}


def read_copy(draft: Draft, drafts: Drafts) -> None:
    """Fill origin, inputs, sequence, delete_when, history and lineage of a log, merge or scd2 table."""
    origin = _read_origin(draft, drafts)
    if origin is not None:
        draft.origin, draft.inputs = origin.name, (origin.name,)
    if draft.load == "scd2":
        _read_history(draft, origin)
    else:
        _read_sequence(draft)
        # What is made from a log asks it what a delete is: the log itself must hold what tells.
        read_delete_when(draft, draft if draft.load == "log" else origin)
        _check_copied(draft, origin, draft.columns or ())
    if origin is not None and origin.load == "log" and draft.delete_when is None:
        draft.delete_when = _written(origin, "delete_when")


def _written(draft: Draft, key: str) -> str | None:
    """A text of a table's `sluice` block, whether or not that table has been read yet."""
    found = draft.options[key].value
    return found if isinstance(found, str) else None


def read_delete_when(draft: Draft, origin: Draft | None) -> None:
    """The condition that marks a row as deleted, over the columns of the table it stands in."""
    node = draft.options["delete_when"]
    text = node.optional_text()
    if text is None:
        return
    draft.delete_when = text
    if origin is not None and origin.columns is not None:
        check_condition(node, {column.name: column.type for column in origin.columns}, origin.name)


def _read_origin(draft: Draft, drafts: Drafts) -> Draft | None:
    node, loads = draft.options["from"], _ORIGINS[draft.load or "merge"]
    name = node.text(f"Name the table it is loaded from: a table of load {' or '.join(loads)}.")
    if name is None:
        return None
    fitting = [other.name for other in drafts.values() if other.load in loads]
    if name not in drafts:
        node.refuse(f"'{name}' is not a table of this lake", did_you_mean(name, fitting))
        return None
    origin = drafts[name]
    if origin.load is not None and origin.load not in loads:
        node.refuse(f"load '{draft.load}' cannot start from {name}, which is of load '{origin.load}'", did_you_mean(name, fitting))
        return None
    return origin


def _read_sequence(draft: Draft) -> None:
    node = draft.options["sequence"]
    name = node.column(draft.names, draft.name, "Name the column that orders the states of a key: updated_at.")
    draft.sequence = name
    column = draft.column(name) if name else None
    if column is None:
        return
    if column.type is not None and family(column.type) not in ("number", "time", "text"):
        node.refuse(f"sequence '{name}' is {column.type}, which has no order", "Name a timestamp or a number.")
    if not column.required:
        node.refuse(
            f"sequence '{name}' may be NULL, and a state without place has no order", f"Write required: true at '{name}' (line {column.node.line})."
        )
    if draft.load == "log" and draft.key and column.key_position is None:
        node.refuse(f"a log keeps every state, and its key does not hold '{name}'", f"Add primaryKey: true to '{name}', after the natural key.")


def _check_copied(draft: Draft, origin: Draft | None, columns: tuple[DraftColumn, ...]) -> None:
    """Columns must be the origin's, by name and type; each is computed from its namesake."""
    if origin is None or origin.columns is None:
        return
    for column in columns:
        found = origin.column(column.name)
        if found is None:
            advice = did_you_mean(column.name, origin.names or ())
            column.node["name"].refuse(f"'{column.name}' is not a column of {origin.name}, from which {draft.name} is loaded by name", advice)
            continue
        draft.lineage[column.name] = (f"{origin.name}.{column.name}",)
        if found.type is not None and column.type is not None and found.type != column.type:
            place, advice = column.node["physicalType"], f"Write {found.type}; a derived table can cast."
            place.refuse(f"'{column.name}' is {column.type} here and {found.type} in {origin.name}", advice)


def _read_history(draft: Draft, origin: Draft | None) -> None:
    options, of = draft.options, draft.name
    natural = options["natural_key"].columns(draft.names, of, "List the columns that tell the things apart: natural_key: [customer_id].")
    tracked = options["tracked"].columns(draft.names, of, "List the columns whose changes open a new version: tracked: [country, tier].")
    surrogate = options["surrogate_key"].column(draft.names, of, "Name the column of the generated key: surrogate_key: customer_sk.")
    first = None
    if not options["first_valid_from"].absent:
        first = options["first_valid_from"].column(origin.names if origin else None, origin.name if origin else "", "")
        _expect_type(options["first_valid_from"], origin.column(first) if origin and first else None, "timestamp")
    made = {*OWN_COLUMNS, *([surrogate] if surrogate else [])}
    for key, listed in (("natural_key", natural), ("tracked", tracked)):
        for name in made.intersection(listed):
            options[key].refuse(f"'{name}' is made by the history itself", f"Name columns of {origin.name if origin else 'the log'}.")
    for name in natural:
        if name in tracked:
            options["tracked"].refuse(f"'{name}' is in natural_key and tracked", "A key does not change: take it out of tracked.")
    if surrogate is not None:
        _expect_type(options["surrogate_key"], draft.column(surrogate), "bigint")
        if draft.key and draft.key != (surrogate,):
            options["surrogate_key"].refuse(f"the primary key is {', '.join(draft.key)}", f"Mark '{surrogate}' alone as primaryKey.")
    _check_validity(draft)
    _check_unknown_member(draft)
    _read_time(draft, origin)
    _check_copied(draft, origin, tuple(column for column in draft.columns or () if column.name not in made))
    _trace_versions(draft, origin, natural, surrogate, first)
    if surrogate is not None:
        draft.history = History(natural_key=natural, surrogate_key=surrogate, tracked=tracked, first_valid_from=first)


def _check_validity(draft: Draft) -> None:
    if draft.columns is None:
        return
    for name, kind in OWN_COLUMNS.items():
        column = draft.column(name)
        if column is None and name != IS_CURRENT:
            draft.options["load"].refuse(
                f"a history has a column '{name}', and {draft.name} does not", f"Add {{name: {name}, physicalType: {kind}}}."
            )
        if column is not None:
            _expect_type(column.node["physicalType"], column, kind)
    valid_to = draft.column(VALID_TO)
    if valid_to is not None and valid_to.required:
        valid_to.node["required"].refuse("'valid_to' of the current version is NULL", "Take required: true away.")


def _check_unknown_member(draft: Draft) -> None:
    for column in draft.columns or ():
        if column.required and column.type is not None and stand_in(column.type) is None:
            message = f"'{column.name}' is required and {column.type}: the unknown member has nothing to hold there"
            column.node["required"].refuse(message, "Take required: true away.")


def _read_time(draft: Draft, origin: Draft | None) -> None:
    """Versions begin and end when their log says: it must order by time."""
    draft.sequence = _written(origin, "sequence") if origin is not None else None
    column = origin.column(draft.sequence) if origin is not None and draft.sequence is not None else None
    if origin is not None and column is not None and column.type is not None and family(column.type) != "time":
        message = f"{origin.name} orders by '{column.name}', which is {column.type}: versions are valid from a time"
        draft.options["from"].refuse(message, f"Order {origin.name} by a timestamp.")


def _trace_versions(draft: Draft, origin: Draft | None, natural: tuple[str, ...], surrogate: str | None, first: str | None) -> None:
    """Keys and bounds of versions come from the natural key and from when each state began."""
    if origin is None or draft.sequence is None:
        return
    began = f"{origin.name}.{draft.sequence}"
    for name in OWN_COLUMNS:
        draft.lineage[name] = (began,)
    if first is not None:
        draft.lineage[VALID_FROM] = tuple(sorted({began, f"{origin.name}.{first}"}))
    if surrogate is not None:
        draft.lineage[surrogate] = tuple(sorted({began, *(f"{origin.name}.{name}" for name in natural)}))


def _expect_type(place: Node, column: DraftColumn | None, wanted: str) -> None:
    if column is not None and column.type not in (None, wanted):
        place.refuse(f"'{column.name}' is {column.type}", f"It must be {wanted}.")
