"""One contract file: its first level, its columns, the load kind and what every kind may say."""

import re
from collections.abc import Mapping

from compiler.columns import PLAIN_NAME, read_columns, sluice_blocks
from compiler.draft import Draft
from compiler.node import Node
from compiler.odcs import API_VERSION, check_shape
from shared.spec.lake import Layer, Load

LAYERS_OF: Mapping[Load, tuple[Layer, ...]] = {
    "append": ("bronze",),
    "log": ("silver",),
    "merge": ("silver",),
    "scd2": ("silver", "gold"),
    "derive": ("silver", "gold"),
    "replace": ("silver", "gold"),
}
KEYS_OF: Mapping[Load, tuple[str, ...]] = {
    "append": ("source", "watermark", "snapshot", "files", "reject_tolerance", "delete_when", "parallel", "widening"),
    "log": ("from", "sequence", "delete_when"),
    "merge": ("from", "sequence", "delete_when"),
    "scd2": ("from", "natural_key", "surrogate_key", "tracked", "first_valid_from"),
    "derive": (),
    "replace": (),
}
_INDEXED_COLUMNS = 32  # Delta keeps statistics of these alone, and refuses Z-order elsewhere

_UNSUPPORTED = {
    "physicalName": "The table is called what its file is called.",
    "relationships": "Write a relationship at the column: relationships: [{type: foreignKey, to: table.column}].",
}


def read_contract(draft: Draft) -> None:
    """Fill a draft with what its own file says, apart from rules and from what needs other tables."""
    root = draft.root
    check_shape(root.doc)
    _check_identity(draft)
    draft.title = root["name"].text("Say in a few words what the table is.") or ""
    draft.version = root["version"].text("Write the contract's version: 1.0.0.") or ""
    draft.owner = _owner(root)
    schema = the_schema(draft)
    if schema is not None:
        draft.columns = read_columns(schema, draft.layer)
    _read_options(draft)
    if draft.layer != "bronze" and draft.columns and not draft.key:
        (schema or root)["properties"].refuse(f"{draft.name} has no primary key", "Mark the columns that tell its rows apart with primaryKey: true.")


def the_schema(draft: Draft) -> Node | None:
    """The one element of `schema`."""
    root = draft.root
    schemas = list(root["schema"].items())
    if len(schemas) != 1:
        place = schemas[1] if schemas else root["schema"]
        place.refuse(f"a contract describes one table, and here are {len(schemas)}", "Keep one element under 'schema'; one file per table.")
    return schemas[0] if schemas else None


def _check_identity(draft: Draft) -> None:
    root = draft.root
    if root["apiVersion"].text(f"Write apiVersion: {API_VERSION}.") not in (None, API_VERSION):
        root["apiVersion"].refuse(f"apiVersion {root['apiVersion'].value} is not read here", f"Write apiVersion: {API_VERSION}.")
    if root["kind"].text("Write kind: DataContract.") not in (None, "DataContract"):
        root["kind"].refuse(f"kind '{root['kind'].value}' is not a table's contract", "Write kind: DataContract.")
    found = root["id"].text(f"Write id: {draft.name}.")
    if found is not None and found != draft.name:
        root["id"].refuse(f"id '{found}' is not this file's table", f"Write id: {draft.name}, or move the file.")
    schemas = list(root["schema"].items())
    if schemas:
        name = schemas[0]["name"].text(f"Write name: {draft.stem}.")
        if name is not None and name != draft.stem:
            schemas[0]["name"].refuse(f"the schema is called '{name}' and the table '{draft.stem}'", f"Write name: {draft.stem}.")
        for key, fix in _UNSUPPORTED.items():
            if not schemas[0][key].absent:
                schemas[0][key].refuse(f"'{key}' of a table is not supported by this version", fix)
        for block in sluice_blocks(schemas[0]):
            block.refuse("the table's sluice block stands in its schema", "Move it to customProperties at the document's first level.")
    if not PLAIN_NAME.fullmatch(draft.stem):
        root.refuse(f"'{draft.stem}' cannot be a table's name", "Name the file with lower-case letters, digits and _, a letter first.")


def _owner(root: Node) -> str:
    team = root["team"]
    if not team.absent and not isinstance(team.value, dict):
        team.refuse("'team' must say the team's name", "Write team: {name: ...}.")
        return ""
    if not team.absent:
        return team["name"].text("Name the team that answers for this table.") or ""
    if not root["domain"].absent:
        return root["domain"].optional_text() or ""
    root.refuse("nobody owns this table", "Write team: {name: ...} (or at least a domain): it is who hears of failures.")
    return ""


def _read_options(draft: Draft) -> None:
    blocks = sluice_blocks(draft.root)
    if not blocks or not isinstance(blocks[0].value, dict):
        draft.root["customProperties"].refuse(
            "the contract does not say how the table is loaded", "Add customProperties: [{property: sluice, value: {load: ...}}]."
        )
        return
    options = draft.options = blocks[0]
    load = next((kind for kind in LAYERS_OF if kind == options["load"].word(tuple(LAYERS_OF), "Say how the table is loaded.")), None)
    if load is None:
        return
    if draft.layer not in LAYERS_OF[load]:
        fitting = [kind for kind, layers in LAYERS_OF.items() if draft.layer in layers]
        options["load"].refuse(f"load '{load}' makes no {draft.layer} table", f"In {draft.layer} there is {', '.join(fitting)}.")
        return
    draft.load = load
    options.only(("load", "group", *(() if draft.layer == "bronze" else ("optimize",)), *KEYS_OF[load]), what=f"the sluice block of load {load}")
    draft.group = options["group"].optional_text() or "main"
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", draft.group):
        options["group"].refuse(f"'{draft.group}' cannot be a group's name", "Use lower-case letters, digits and _, at most 32.")
    if draft.layer != "bronze":
        draft.zorder = _read_zorder(draft, options["optimize"])
        if not draft.root["servers"].absent:
            draft.root["servers"].refuse(f"load '{load}' reads no server", "Leave 'servers' out: only bronze tables have a source.")


def _read_zorder(draft: Draft, optimize: Node) -> tuple[str, ...]:
    if optimize.absent:
        return ()
    optimize.only(("zorder",), what="optimize")
    found = optimize["zorder"].columns(draft.names, draft.name, "Write zorder: [column, ...].")
    hidden = 1 if draft.load == "merge" else 0
    for item in optimize["zorder"].items() if draft.columns is not None else ():
        column = draft.column(item.value)
        if column is None or draft.columns is None:
            continue
        if column.partition_position is not None:
            item.refuse(f"'{column.name}' is a partition column: its files are apart already", "Z-order by another one.")
        if draft.columns.index(column) + hidden >= _INDEXED_COLUMNS:
            item.refuse(
                f"'{column.name}' is past the first {_INDEXED_COLUMNS} columns, of which alone Delta keeps statistics",
                "Move the column up in the contract.",
            )
    return found
