"""How a contract cuts its source into windows: the watermark column, which decides the unit of everything beside it."""

from collections.abc import Mapping
from datetime import date, datetime

from compiler.draft import Draft
from compiler.node import Node
from compiler.spark_types import INTEGERS
from shared.spec.codec import CodecError, NoTimeZone, parse_instant
from shared.spec.lake import Position, PositionKind, Watermark

WATERMARK_KEYS = ("column", "lookback", "safety_lag", "start_at", "max_window")

POSITION_KINDS: Mapping[str, PositionKind] = {
    "timestamp": "timestamp",
    "timestamp_ntz": "timestamp",
    "date": "date",
    **dict.fromkeys(INTEGERS, "integer"),
}
_MAX_WINDOWS: Mapping[PositionKind, str] = {"timestamp": "31d", "date": "31d", "integer": "1000000"}
_DAY = 86400
_IN_ORDER = "none"  # the word for "this source commits its numbers in order"


def read_watermark(draft: Draft, node: Node) -> Watermark | None:
    """None, with the problems written down, when something does not hold, or when the column's own type could not be read."""
    node.only(WATERMARK_KEYS, what="watermark")
    name = node["column"].column(draft.names, draft.name, "Name the column that grows with every change: updated_at.")
    column = draft.column(name) if name else None
    if column is None or column.type is None:
        return None
    kind = POSITION_KINDS.get(column.type)
    if kind is None:
        node["column"].refuse(
            f"the watermark '{column.name}' is {column.type}, and windows are cut in time or in whole numbers",
            "Name a timestamp, date or integer column.",
        )
        return None
    lookback, lag = _read_lookback(node["lookback"], kind), _read_lag(node["safety_lag"], kind)
    start_at, max_window = _read_start(node["start_at"], kind), _read_length(node["max_window"], kind, _MAX_WINDOWS[kind])
    if max_window == 0:
        node["max_window"].refuse("a window of no length never gets anywhere", f"Write how much one batch may cover: {_MAX_WINDOWS[kind]}.")
    if lookback is None or lag is None or start_at is None or not max_window:
        return None
    return Watermark(column=column.name, lookback=lookback, safety_lag_seconds=lag, start_at=start_at, max_window=max_window)


def _read_lookback(node: Node, kind: PositionKind) -> int | None:
    """A number is taken when its transaction begins and seen when it ends: without a lookback the late ones are lost, so 0 needs a word."""
    if kind != "integer":
        return _read_length(node, kind, "2h" if kind == "timestamp" else "2d")
    if node.value == _IN_ORDER:
        return 0
    found = node.integer(0, required=True)
    if found == 0:
        node.refuse(
            "a number that is committed late would be lost: the source's greatest number says nothing of those still open",
            f"Write how far back to read again, as in lookback: 10000, or lookback: {_IN_ORDER} when this source commits its numbers in order.",
        )
    return found or None


def _read_lag(node: Node, kind: PositionKind) -> int | None:
    if kind != "integer":
        return node.seconds(example="5m" if kind == "timestamp" else "12h")
    if not node.absent:
        node.refuse("numbers have no clock to hold back", "Leave 'safety_lag' out: 'lookback' catches what is committed late.")
        return None
    return 0


def _read_length(node: Node, kind: PositionKind, example: str) -> int | None:
    """In the position's unit: seconds, days, numbers."""
    if kind == "integer":
        return node.integer(0, required=True)
    seconds = node.seconds(example=example)
    if seconds is None or kind == "timestamp":
        return seconds
    if seconds % _DAY:
        node.refuse(f"'{node.value}' is not a number of days, and the watermark is a date", f"Write whole days, as in {example}.")
        return None
    return seconds // _DAY


def _read_start(node: Node, kind: PositionKind) -> Position | None:
    if kind == "integer":
        return node.integer(-(2**63), 2**63 - 1, required=True)
    return _read_date(node) if kind == "date" else _read_instant(node)


def _read_date(node: Node) -> date | None:
    text = node.text("Write the first day to read: '2024-01-01'.")
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  # a day has no zone
    except ValueError:
        node.refuse(f"'{text}' is not a date", "Write the first day to read, as the watermark is a date: '2024-01-01'.")
    return None


def _read_instant(node: Node) -> datetime | None:
    text = node.text("Write the instant to read from: '2024-01-01T00:00:00Z'.")
    if text is None:
        return None
    try:
        return parse_instant(text)
    except NoTimeZone:
        node.refuse(f"'{text}' has no time zone", f"Write '{text.strip()}{'' if 'T' in text else 'T00:00:00'}Z' for UTC, or an offset.")
    except CodecError:
        node.refuse(f"'{text}' is not an instant", "Write ISO 8601 with its zone: '2024-01-01T00:00:00Z'.")
    return None
