"""Owns what a source's declared types mean beside the contract's: the columns that became wider than the contract allows, and how to say so."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from shared.core.errors import WidenedColumn
from shared.core.widening import is_wider
from shared.spark.sources.keys import KeyKind
from shared.spark.sources.reader import SourceColumn
from shared.spec.codec import parse_instant
from shared.spec.lake import Position, Table

# java.sql.Types; of drivers, Spark itself asks the same. FLOAT is a double there.
_PLAIN = {-6: "tinyint", 5: "smallint", 4: "int", -5: "bigint", 7: "float", 6: "double", 8: "double", 91: "date", 93: "timestamp", 2014: "timestamp"}
_NUMERIC = (2, 3)
_WHOLE = ("tinyint", "smallint", "int", "bigint")
_TEXTS, _BOOLEANS = (1, 12, -1, -9, -15, -16), (16, -7)
_LARGEST = 38


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a source says of a column: in its own words, and in Spark's spelling (None: nothing that can be compared)."""

    told: str
    type: str | None


def refuse_wider(table: Table, declared: Mapping[str, Declared]) -> None:
    """Raise WidenedColumn for every column, at once, that the source declares wider than a contract that says `widening: refuse`.

    `declared` is by name in lower case.
    """
    if table.source is None or table.source.widening == "accept":
        return
    wider = list(_wider(table, declared))
    if wider:
        raise WidenedColumn(
            f"{table.name}: {table.source.relation} is wider than {table.file}: {'; '.join(wider)}. Write widening: accept beside `reject_tolerance` "
            "(values that do not fit are then rejected, one by one), or give the contract a column of the wider type under a new name"
        )


def declared(column: SourceColumn) -> Declared:
    """By a database's driver."""
    told = f"{column.type_name}({column.precision},{column.scale})" if column.jdbc_type in _NUMERIC else column.type_name
    return Declared(told=told, type=spark_type(column))


def spark_type(column: SourceColumn) -> str | None:
    """What the source declared, in Spark's spelling; None for types without order, and for a number whose size it left open.

    Left open is a NUMERIC without precision (PostgreSQL), and NUMBER(38,0), which Snowflake makes of every INTEGER: neither says anything.
    """
    size = (column.precision, column.scale)
    if size == (_LARGEST, 0) and column.type_name.upper() == "NUMBER":
        return None
    if column.jdbc_type not in _NUMERIC:
        return _PLAIN.get(column.jdbc_type)
    return f"decimal({size[0]},{size[1]})" if 0 < size[0] <= _LARGEST and 0 <= size[1] <= size[0] else None


def position_of(column: SourceColumn, text: str) -> Position | None:
    """A value of this column, as a database writes it (`Dialect.as_text`); None for types without ranges. A fraction is rounded down."""
    kind = _PLAIN.get(column.jdbc_type)
    if column.jdbc_type in _NUMERIC or kind in _WHOLE:
        return math.floor(Decimal(text))
    if kind == "timestamp":
        return parse_instant(text)
    return date.fromisoformat(text) if kind == "date" else None


def key_kind(column: SourceColumn) -> KeyKind | None:
    """What literals compare with this column; None where a text of a value cannot be trusted to be that value again."""
    if column.jdbc_type in _TEXTS or column.type_name == "uuid":
        return "text"
    if column.jdbc_type in _BOOLEANS:
        return "boolean"
    kind = _PLAIN.get(column.jdbc_type)
    return "number" if column.jdbc_type in _NUMERIC or kind in _WHOLE else "date" if kind == "date" else None


def _wider(table: Table, declared: Mapping[str, Declared]) -> Iterable[str]:
    for item in table.columns:
        given = declared.get(item.name.lower())
        if given is not None and given.type is not None and is_wider(given.type, item.type):
            yield f"{item.name} is {given.told} at the source and {item.type} in the contract"
