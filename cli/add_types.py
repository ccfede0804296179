"""A database's types as Spark's, and what its CHECK constraints say of one column. Pure."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

_PLAIN = {
    **dict.fromkeys(("smallint", "int2", "smallserial"), "smallint"),
    **dict.fromkeys(("integer", "int", "int4", "serial"), "int"),
    **dict.fromkeys(("bigint", "int8", "bigserial"), "bigint"),
    **dict.fromkeys(("real", "float4"), "float"),
    **dict.fromkeys(("double precision", "float8"), "double"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    **dict.fromkeys(("text", "character varying", "varchar", "character", "char", "bpchar", "name", "citext", "uuid"), "string"),
    "date": "date",
    "bytea": "binary",
    **dict.fromkeys(("timestamp with time zone", "timestamptz"), "timestamp"),
}
_NUMERIC = re.compile(r"(?:numeric|decimal)(?:\((\d+)(?:,\s*(-?\d+))?\))?")
_SIZED = re.compile(r"(?:character varying|varchar|character|char|bpchar)\((\d+)\)")
_MIRRORED: Mapping[type[exp.Expr], type[exp.Expr]] = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE}
_BOUNDS = {exp.GT: "exclusiveMinimum", exp.GTE: "minimum", exp.LT: "exclusiveMaximum", exp.LTE: "maximum"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkType:
    """`note` is what somebody must decide, where the two types are not the same."""

    type: str
    note: str | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that a constraint says of a column: an ODCS option, its values, or that it is required."""

    column: str
    option: str  # minimum, pattern, maxLength, …; values; required
    value: Any


def spark_type(source: str, *, labels: bool = False) -> SparkType:
    """The Spark type that holds every value of a database's type; string where there is none of its kind."""
    plain = re.sub(r"\s+", " ", source.strip().lower())
    if labels:
        return SparkType(type="string")
    if sized := _SIZED.fullmatch(plain):
        return SparkType(type="string", length=int(sized[1]))
    if numeric := _NUMERIC.fullmatch(plain):
        return _decimal(numeric[1], numeric[2], plain)
    if re.fullmatch(r"timestamp(\(\d\))? with time zone", plain):
        return SparkType(type="timestamp")
    if re.fullmatch(r"timestamp(\(\d\))?( without time zone)?", plain):
        return SparkType(type="timestamp", note="the source writes it without a time zone, and it is read as UTC; is it?")
    if plain in _PLAIN:
        return SparkType(type=_PLAIN[plain])
    return SparkType(type="string", note=f"the source's type is {source}; read as text, does it say all?")


def said_by(check: str) -> tuple[Said, ...] | None:
    """What a CHECK expression says of single columns; None when part of it says something else."""
    try:
        parsed = sqlglot.parse_one(check, dialect="postgres")
    except SqlglotError:
        return None
    found = [_said(part) for part in _conjuncts(parsed)]
    return None if None in found else tuple(said for said in found if said is not None)


def _decimal(precision: str | None, scale: str | None, source: str) -> SparkType:
    if precision is None:
        return SparkType(type="decimal(38,18)", note="the source keeps any number of digits; how many are there, before and after the point?")
    digits, places = int(precision), int(scale or 0)
    if digits <= 38 and 0 <= places <= digits:
        return SparkType(type=f"decimal({digits},{places})")
    return SparkType(type="string", note=f"no Spark number holds all of {source}; read as text, is that enough?")


def _conjuncts(parsed: exp.Expr) -> Iterator[exp.Expr]:
    inner = parsed.unnest()
    if isinstance(inner, exp.And):
        yield from _conjuncts(inner.left)
        yield from _conjuncts(inner.right)
    else:
        yield inner


def _said(part: exp.Expr) -> Said | None:
    if isinstance(part, exp.Is):
        name = _column(part.this) if isinstance(part.expression, exp.Null) and part.args.get("negate") else None
        return None if name is None else Said(column=name, option="required", value=True)
    if isinstance(part, exp.In) and not part.args.get("query"):
        return _values(part.this, part.expressions)
    if isinstance(part, exp.EQ) and isinstance(part.expression, exp.Any):
        listed = part.expression.this.unnest()
        inner = listed.this.unnest() if isinstance(listed, exp.Cast) else listed
        return _values(part.this, inner.expressions) if isinstance(inner, exp.Array) else None
    if isinstance(part, exp.RegexpLike):
        name, pattern = _column(part.this), _literal(part.expression)
        return Said(column=name, option="pattern", value=pattern) if name and isinstance(pattern, str) and _is_shared(pattern) else None
    return _bound(part)


def _values(of: exp.Expr, listed: list[exp.Expr]) -> Said | None:
    name, values = _column(of), [_literal(value) for value in listed]
    if name is None or not values or None in values:
        return None
    return Said(column=name, option="values", value=tuple(dict.fromkeys(values)))


def _bound(part: exp.Expr) -> Said | None:
    if type(part) not in _BOUNDS or not isinstance(part, exp.Binary):
        return None
    kind, left, right = type(part), part.left, part.right
    if _literal(left) is not None:
        kind, left, right = _MIRRORED[kind], right, left  # type: ignore[assignment]  # one comparison for another
    limit, inner = _literal(right), left.unnest()
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        return None
    if isinstance(inner, exp.Length):
        name = _column(inner.this)
        return None if name is None or not isinstance(limit, int) else _length(name, kind, limit)
    name = _column(left)
    return None if name is None else Said(column=name, option=_BOUNDS[kind], value=limit)


def _length(name: str, kind: type[exp.Expr], limit: int) -> Said | None:
    moved = limit + (kind is exp.GT) - (kind is exp.LT)
    return Said(column=name, option="minLength" if kind in (exp.GT, exp.GTE) else "maxLength", value=moved) if moved >= 0 else None


def _column(part: exp.Expr) -> str | None:
    inner = part.unnest()
    while isinstance(inner, exp.Cast):
        inner = inner.this.unnest()
    return inner.name if isinstance(inner, exp.Column) and not inner.table else None


def _literal(part: exp.Expr) -> str | int | float | None:
    inner = part.unnest()
    while isinstance(inner, exp.Cast):
        inner = inner.this.unnest()
    if isinstance(inner, exp.Neg):
        positive = _literal(inner.this)
        return -positive if isinstance(positive, (int, float)) else None
    if not isinstance(inner, exp.Literal):
        return None
    if inner.is_string:
        return str(inner.this)
    number = int(inner.this) if re.fullmatch(r"\d+", inner.this) else float(inner.this)
    return number if math.isfinite(number) else None


def _is_shared(pattern: str) -> bool:
    """Whether a pattern of PostgreSQL means the same in Spark and Python: no bracket names, no embedded options."""
    if re.search(r"\[[:.=]|\(\?|\\[mMyYAZ<>uUN]|\*\*\*", pattern):
        return False
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True
