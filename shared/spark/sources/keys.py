"""Owns asking a database for rows by key: conditions with typed literals that every dialect reads alike, in parts of a bounded length. Pure."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

KeyKind = Literal["text", "number", "date", "boolean"]

KEYS_AT_ONCE = 500
_NO_ROW = "1 = 0"
_DIGITS = 76  # more than any database's numbers have
_SPECIAL = re.compile(r"['\\\x00-\x1f\x7f]")
_PARTS = re.compile(rf"{_SPECIAL.pattern}|[^'\\\x00-\x1f\x7f]+")


def key_conditions(names: Sequence[str], kinds: Sequence[KeyKind | None], keys: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Conditions that together select the rows with one of `keys` (texts of the columns `names`, whose kinds are `kinds`).

    A key with a text that is no value of its column's kind, or of none (None) that has literals, is no row's, and is left out. Always gives at
    least one condition.
    """
    written = [literals for literals in (_literals(kinds, key) for key in keys) if literals is not None]
    if not written:
        yield _NO_ROW
    for start in range(0, len(written), KEYS_AT_ONCE):
        part = written[start : start + KEYS_AT_ONCE]
        if len(names) == 1:
            yield f"{names[0]} in ({', '.join(key[0] for key in part)})"
        else:
            yield " or ".join(f"({' and '.join(f'{name} = {value}' for name, value in zip(names, key, strict=True))})" for key in part)


def _literals(kinds: Sequence[KeyKind | None], key: Sequence[str]) -> list[str] | None:
    found = [_literal(kind, text) for kind, text in zip(kinds, key, strict=True)]
    return None if None in found else [text for text in found if text is not None]


def _literal(kind: KeyKind | None, text: str) -> str | None:
    """The SQL literal of a value that a column of a kind gave as `text`; None where there can be none."""
    if kind == "text":
        return _text(text)
    if kind == "number":
        return _number(text)
    if kind == "boolean":
        return text if text in ("true", "false") else None
    if kind == "date":
        try:
            return f"date '{date.fromisoformat(text).isoformat()}'"
        except ValueError:
            return None
    return None


def _number(text: str) -> str | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return f"{value:f}" if value.is_finite() and abs(value.adjusted()) <= _DIGITS else None


def _text(text: str) -> str | None:
    """Characters that some database reads as an escape stand as chr(n), joined."""
    if "\0" in text:
        return None  # no database holds it in a text
    parts = [f"chr({ord(part)})" if _SPECIAL.fullmatch(part) else f"'{part}'" for part in _PARTS.findall(text)]
    return "''" if not parts else parts[0] if len(parts) == 1 else f"({' || '.join(parts)})"
