"""Spark's types, spelled as Spark spells them. What a contract may use, and which types are the same family."""

import re
from typing import Literal

Family = Literal["number", "text", "flag", "time", "bytes", "nested"]

SCALARS = (
    *("boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(p,s)"),
    *("string", "binary", "date", "timestamp", "timestamp_ntz"),
)
INTEGERS = ("tinyint", "smallint", "int", "bigint")
LOGICAL = {
    "string": ("text", "bytes"),  # ODCS has no word for bytes, and demands one
    "integer": ("number",),
    "number": ("number",),
    "boolean": ("flag",),
    "date": ("time",),
    "timestamp": ("time",),
    "array": ("nested",),
    "object": ("nested",),
}

_MEANT = {
    "int": "integer",
    "bigint": "long int8",
    "smallint": "short",
    "tinyint": "byte",
    "float": "real",
    "boolean": "bool",
    "string": "text varchar char",
    "decimal(p,s)": "number numeric decimal",
    "timestamp": "timestamptz datetime timestamp_ltz timestamp_tz",
}
_ALIASES = {alias: name for name, aliases in _MEANT.items() for alias in aliases.split()}
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_ARRAY = re.compile(r"array<(.+)>")
_STRUCT = re.compile(r"struct<(.+)>")


def spelled(text: str) -> str | None:
    """Spark's own spelling of a type a contract may use; None when it is not one. Maps are none: Spark cannot compare them."""
    plain = re.sub(r"\s+", "", text.lower())
    if plain in SCALARS and plain != "decimal(p,s)":
        return plain
    if decimal := _DECIMAL.fullmatch(plain):
        precision, scale = int(decimal[1]), int(decimal[2])
        return plain if 1 <= precision <= 38 and scale <= precision else None
    if array := _ARRAY.fullmatch(plain):
        inner = spelled(array[1])
        return f"array<{inner}>" if inner else None
    return _spelled_struct(plain)


def advice(text: str) -> str:
    """What to write instead of a type that is not Spark's."""
    head = re.split(r"[(<\s]", text.strip().lower())[0]
    if head == "map":
        return "Write array<struct<key:string,value:string>>: Spark cannot compare maps, so changes in one cannot be found."
    meant = _ALIASES.get(head)
    return f"Write {meant}." if meant else f"Spark's types are {', '.join(SCALARS)}, array<...>, struct<...>."


def family(spark_type: str) -> Family:
    """Types of different families are never the same by accident of arithmetic."""
    head = re.split(r"[(<]", spark_type)[0]
    if head in (*INTEGERS, "float", "double", "decimal"):
        return "number"
    if head in ("date", "timestamp", "timestamp_ntz"):
        return "time"
    found: dict[str, Family] = {"string": "text", "boolean": "flag", "binary": "bytes"}
    return found.get(head, "nested")


def _spelled_struct(plain: str) -> str | None:
    struct = _STRUCT.fullmatch(plain)
    if struct is None:
        return None
    fields = []
    for part in _split(struct[1]):
        name, colon, kind = part.partition(":")
        inner = spelled(kind) if colon and re.fullmatch(r"[a-z_]\w*", name) else None
        if inner is None:
            return None
        fields.append(f"{name}:{inner}")
    return f"struct<{','.join(fields)}>"


def _split(text: str) -> list[str]:
    """Split on the commas that stand outside of brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "<(") - (char in ">)")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts
