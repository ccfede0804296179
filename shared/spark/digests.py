"""Owns the canonical text of a row and the digests made of it: row ids, content digests of frames. Pure DataFrame and Column work."""

import hashlib
from collections.abc import Sequence
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, MapType, StructType

_PARTS = 4  # of 60 bits each; their sums do not depend on the order of rows
_PART_HEX = 15


def row_digest(frame: DataFrame, columns: Sequence[str]) -> Column:
    """SHA-256 (hex) of `columns` of each row. Two rows have the same text only if every value is the same, NULL being a value of its own.

    Values stand with their column's name, in the order of names, NULLs left out: a column added to a contract leaves older rows' digests
    as they were while it is NULL.
    """
    types = {field.name: field.dataType for field in frame.schema.fields}
    return F.expr(f"sha2(concat_ws('', {', '.join(_named_text(name, types[name]) for name in sorted(columns))}), 256)")


def digest_aggregates(digest: str, *, among: str = "true") -> list[Column]:
    """Aggregates whose values `content_digest` turns into one text: the number of rows and order-free sums of the parts of their digests, which
    are in the column `digest`. Counted are rows where `among`, a condition in SQL, holds."""
    parts = [f"cast(conv(substring({digest}, {1 + part * _PART_HEX}, {_PART_HEX}), 16, 10) AS decimal(20,0))" for part in range(_PARTS)]
    sums = [f"sum(CASE WHEN {among} THEN {text} END) AS _digest_{part}" for part, text in enumerate(parts)]
    return [F.expr(text) for text in (f"count_if({among}) AS _digest_rows", *sums)]


def content_digest(*counted: Row | dict[str, Any], salt: str = "") -> str:
    """One SHA-256 of one or more `digest_aggregates` results, each in its place; `salt` tells apart what is counted."""
    texts = [":".join(str(row[name] or 0) for name in ("_digest_rows", *(f"_digest_{part}" for part in range(_PARTS)))) for row in counted]
    return hashlib.sha256("|".join([salt, *texts]).encode()).hexdigest()


def _named_text(name: str, kind: DataType) -> str:
    text = _text(f"`{name}`", kind)
    return f"CASE WHEN {text} IS NOT NULL THEN concat('{name}=', cast(length({text}) AS string), ':', {text}, ';') END"


def _text(value: str, kind: DataType) -> str:
    if isinstance(kind, BinaryType):
        return f"hex({value})"
    if isinstance(kind, (ArrayType, MapType, StructType)):
        return f"CASE WHEN {value} IS NOT NULL THEN to_json(named_struct('v', {value}), map('ignoreNullFields', 'false')) END"
    return f"cast({value} AS string)"
