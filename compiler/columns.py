"""The columns of a contract: names, Spark types, key and partition positions, classification and masks."""

import re
from collections.abc import Iterator

from compiler.draft import DraftColumn
from compiler.node import Node
from compiler.problems import did_you_mean
from compiler.spark_types import LOGICAL, advice, family, spelled
from shared.spec.lake import LEVELS, Layer, Mask

MASKS: tuple[Mask, ...] = ("hmac", "redact", "partial")
PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]*")

# ODCS keys that would change what a column means and that nothing here acts upon.
_UNSUPPORTED = {
    "physicalName": "Name the column as the source does, or rename it in a silver SQL.",
    "properties": "Give physicalType struct<name:type,...> instead.",
    "items": "Give physicalType array<type> instead.",
    "map": "Give physicalType array<struct<key:string,value:string>> instead.",
    "encryptedName": "Use classification and a mask instead.",
    "enum": "Use quality: [{id: ..., metric: invalidValues, arguments: {validValues: [...]}, mustBe: 0}].",
    "semanticType": "Leave it out: every column here is a column.",
}
# Names cannot be quoted in SQL that serves several databases, so these cannot be column names of a source.
_RESERVED_WORDS = (
    "all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create current_date current_role "
    "current_time current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign from grant group "
    "having in initially intersect into lateral leading limit localtime localtimestamp not null offset on only or order placing primary "
    "references returning select session_user some symmetric table then to trailing true union unique user using variadic when where window with "
    "start connect qualify sample regexp rlike ilike minus rows row set trigger update values view whenever tag"
)
RESERVED = frozenset(_RESERVED_WORDS.split())


def read_columns(schema: Node, layer: Layer) -> tuple[DraftColumn, ...] | None:
    """All columns of a table in their order; None when a name could not be read."""
    nodes = list(schema["properties"].items())
    if not nodes:
        schema["properties"].refuse("the table has no columns", "List them under 'properties'.")
        return None
    columns = [column for node in nodes if (column := _read_column(node, layer)) is not None]
    _check_names(columns)
    _check_positions(columns, "primaryKey", "primaryKeyPosition", {c.name: c.key_position for c in columns})
    _check_positions(columns, "partitioned", "partitionKeyPosition", {c.name: c.partition_position for c in columns})
    return tuple(columns) if len(columns) == len(nodes) else None


def sluice_blocks(owner: Node) -> list[Node]:
    """The values of the custom properties named `sluice`; a name that is nearly that is refused."""
    found = []
    for item in owner["customProperties"].items():
        name = item["property"].optional_text()
        if name == "sluice":
            found.append(item["value"])
        elif name is not None and did_you_mean(name, ["sluice"]) == "Did you mean 'sluice'?":
            item["property"].refuse(f"unknown custom property '{name}'", "Did you mean 'sluice'?")
    if len(found) > 1:
        found[1].refuse("a second custom property 'sluice'", "Put all its keys into the first one.")
    return found


def _read_column(node: Node, layer: Layer) -> DraftColumn | None:
    name = node["name"].text("Give the column its name.")
    if name is None:
        return None
    _check_name(name, node, layer)
    for key, fix in _UNSUPPORTED.items():
        if not node[key].absent:
            node[key].refuse(f"'{key}' of a column is not supported by this version", fix)
    spark_type = _read_type(node, layer)
    column = DraftColumn(
        name=name,
        type=spark_type,
        required=node["required"].flag(),
        unique=node["unique"].flag(),
        key_position=_position(node, "primaryKey", "primaryKeyPosition"),
        partition_position=_position(node, "partitioned", "partitionKeyPosition"),
        classification=node["classification"].word(LEVELS, "") if not node["classification"].absent else None,
        mask=_read_mask(node),
        node=node,
    )
    _check_mask(column, layer)
    if layer == "bronze" and column.partition_position is not None:
        node["partitioned"].refuse("bronze is partitioned by its run columns", "Leave 'partitioned' out; partition silver or gold.")
    return column


def _check_name(name: str, node: Node, layer: Layer) -> None:
    if not PLAIN_NAME.fullmatch(name):
        node["name"].refuse(
            f"'{name}' cannot be a column name", "Use lower-case letters, digits and _, a letter first (a leading _ is Sluice's own)."
        )
    elif layer == "bronze" and name in RESERVED:
        node["name"].refuse(
            f"'{name}' is a reserved SQL word, and names are never quoted", "Offer the column under another name in a view at the source."
        )


def _read_type(node: Node, layer: Layer) -> str | None:
    text = node["physicalType"].text("Write the column's Spark type.")
    if text is None:
        return None
    spark_type = spelled(text)
    if spark_type is None:
        node["physicalType"].refuse(f"'{text}' is not a Spark type that a contract can have", advice(text))
        return None
    if layer == "bronze" and family(spark_type) == "nested":
        node["physicalType"].refuse(f"a source column cannot be {spark_type}", "Write string, and take it apart in a silver SQL.")
    logical = node["logicalType"].optional_text()
    if logical is not None and logical not in LOGICAL:
        node["logicalType"].refuse(f"unknown logicalType '{logical}'", did_you_mean(logical, LOGICAL))
    elif logical is not None and family(spark_type) not in LOGICAL[logical]:
        node["physicalType"].refuse(f"physicalType {spark_type} does not go with logicalType {logical}", "Make the two say the same.")
    return spark_type


def _position(node: Node, flag: str, position: str) -> int | None:
    if not node[flag].flag():
        if not node[position].absent:
            node[position].refuse(f"'{position}' without '{flag}: true'", f"Add {flag}: true, or leave the position out.")
        return None
    found = node[position].integer(1)
    return found if found is not None else 1


def _check_positions(columns: list[DraftColumn], flag: str, key: str, positions: dict[str, int | None]) -> None:
    cut = [column for column in columns if positions[column.name] is not None]
    if sorted(positions[column.name] or 0 for column in cut) != list(range(1, len(cut) + 1)):
        cut[-1].node[key].refuse(f"the {key}s of the {flag} columns are not 1 to {len(cut)}", f"Number {', '.join(c.name for c in cut)} from 1 on.")


def _check_names(columns: list[DraftColumn]) -> None:
    seen: dict[str, DraftColumn] = {}
    for column in columns:
        first = seen.setdefault(column.name.lower(), column)
        if first is not column:
            column.node["name"].refuse(f"column '{column.name}' is here twice (first on line {first.node['name'].line})", "Keep one of them.")


def _read_mask(node: Node) -> Mask | None:
    for block in sluice_blocks(node):
        block.only(("mask",), what="a column's sluice block")
        block["mask"].word(MASKS, f"Write mask: one of {', '.join(MASKS)}.")
        return next((mask for mask in MASKS if mask == block["mask"].value), None)
    return None


def _mask_node(column: DraftColumn) -> Node:
    return next(iter(_mask_nodes(column.node)), column.node)


def _mask_nodes(node: Node) -> Iterator[Node]:
    for item in node["customProperties"].items():
        if item["property"].value == "sluice":
            yield item["value"]["mask"]


def _check_mask(column: DraftColumn, layer: Layer) -> None:
    place, written = _mask_node(column), any(not node.absent for node in _mask_nodes(column.node))
    if layer != "bronze":
        if written:
            place.refuse(
                f"'{column.name}' has a mask above bronze", "Declare the mask where the column enters, in bronze; here its classification is enough."
            )
    elif column.level and not written:
        column.node["classification"].refuse(
            f"'{column.name}' is {column.classification} and has no mask",
            f"Add customProperties: [{{property: sluice, value: {{mask: {' | '.join(MASKS)}}}}}].",
        )
    elif written and not column.level:
        place.refuse(
            f"'{column.name}' is masked and not classified", "Add classification: restricted (or confidential), so that it stays known downstream."
        )
    if layer == "bronze" and written and column.type not in (None, "string"):
        place.refuse(f"a mask is for strings, and '{column.name}' is {column.type}", "Declare it as string, or leave the column out of the contract.")
    if layer == "bronze" and column.mask in ("redact", "partial") and column.key_position is not None:
        place.refuse(f"mask {column.mask} makes different keys '{column.name}' equal", "Use hmac on a key.")
