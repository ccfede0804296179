"""How a source is cut into windows [lo, hi) of its watermark column. Pure.

A position is an instant, a date or a number (`shared.spec.lake.Position`). What bounds a window differs:

timestamp   the source's clock: up to its oldest open transaction where it tells, else less the safety lag
date        the day of that instant in UTC, less the safety lag: a day is read when it is over, for it grows until then
integer     the greatest number that is committed. One taken earlier may be committed later, and the source cannot tell: only the lookback,
            which counts in numbers, catches those. The compiler demands one, or the word that says the source commits in order
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.core.errors import SchemaMismatch
from shared.core.layout import batch_id
from shared.core.messages import Batch, Progress
from shared.core.ports import SourceClock
from shared.spec.lake import Position, Table, Watermark, kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezer:
    """Who freezes windows, and when."""

    run: str
    fence: int
    at: datetime


def upper_bound(clock: SourceClock, watermark: Watermark) -> Position:
    """The latest `hi` that loses no row.

    Where the source tells its oldest open transaction, a row that commits later cannot carry an earlier time than that one's start, so
    the safety lag is not needed for instants; elsewhere the lag is all there is. For dates it also says how long after midnight UTC the
    clocks that write them may still be in the day before. A source without a row gives no number: nothing to read.
    """
    if watermark.kind == "integer":
        return watermark.start_at if clock.highest is None else clock.highest + 1
    lag = timedelta(seconds=watermark.safety_lag_seconds)
    settled = min(clock.now, clock.oldest_open or clock.now) if clock.tells_open else clock.now - lag
    if watermark.kind == "timestamp":
        return settled
    return (settled - lag if clock.tells_open else settled).date()


def next_batch(table: Table, progress: Progress, pending: Sequence[Batch], bound: Position, freezer: Freezer) -> Batch | None:
    """The window after the last pending or committed one, at most `max_window` long; None when `bound` leaves nothing to read."""
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    mark = table.source.watermark
    lo = reached(mark, progress, pending)
    seq = (pending[-1].seq if pending else progress.seq) + 1
    hi = _earlier(bound, moved(lo, mark.max_window))
    if not before(lo, hi):
        return None
    return Batch(batch_id=batch_id(table, seq), seq=seq, lo=lo, hi=hi, ingest_time=freezer.at, run=freezer.run, fence=freezer.fence, outcome=None)


def reached(mark: Watermark, progress: Progress, pending: Sequence[Batch]) -> Position:
    """Where the next window begins."""
    if pending:
        return pending[-1].hi
    return mark.start_at if progress.position is None else progress.position


def looked_back(mark: Watermark, lo: Position) -> Position:
    """Where reading begins for a window that begins at `lo`."""
    return moved(lo, -mark.lookback)


def edge_of_lookback(mark: Watermark, lo: Position) -> Position:
    """The end of the oldest tenth (rounded up) of what is read again before `lo`. A row caught before it says that later ones may be missed."""
    return moved(looked_back(mark, lo), -(-mark.lookback // 10))


def behind(table: Table, progress: Progress, pending: Sequence[Batch], bound: Position) -> str | None:
    """What to warn of when the source gives a bound before what was already read; None when it does not, and before the first window."""
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    mark = table.source.watermark
    lo = reached(mark, progress, pending)
    if (progress.position is None and not pending) or not before(bound, lo):
        return None
    there = f"was read up to {position_text(lo)} and its source is at {position_text(bound)} now"
    if mark.kind == "integer":
        return f"{there}: rows were deleted there, or numbers began anew. New rows are read from {position_text(moved(lo, -mark.lookback))} on"
    return (
        f"{there}: its clock was set back, or it does not tell its open transactions any more. Nothing is read until it is past that. What is "
        f"written meanwhile is read then, as far as the lookback reaches; if it will not, raise watermark.lookback in {table.file} until it has"
    )


def moved(position: Position, by: int) -> Position:
    """`by` seconds, days or numbers later, as the position is an instant, a date or a number."""
    if isinstance(position, int):
        return position + by
    return position + (timedelta(seconds=by) if isinstance(position, datetime) else timedelta(days=by))


def cuts(lowest: Position, highest: Position, parts: int) -> tuple[Position, ...]:
    """At most `parts` - 1 positions, ascending, that divide [lowest, highest] evenly; none where there is nothing to divide."""
    width = _width(lowest, highest)
    edges = dict.fromkeys(width * part // parts for part in range(1, parts))
    return tuple(_stepped(lowest, edge) for edge in edges if edge > 0)


def before(one: Position, other: Position) -> bool:
    """Whether `one` is strictly earlier. Positions of one column only: two kinds do not compare."""
    if kind_of(one) != kind_of(other):
        raise ValueError(f"{one!r} and {other!r} are not positions of one column")
    return one < other  # type: ignore[operator]  # of one kind, as just seen


def refuse_other_kind(table: Table, progress: Progress, pending: Sequence[Batch]) -> None:
    """Raise SchemaMismatch when the table was read by positions of another kind than its contract has now."""
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    kind = table.source.watermark.kind
    for position in (progress.position, *(batch.lo for batch in pending)):
        if position is not None and kind_of(position) != kind:
            raise SchemaMismatch(
                f"{table.name} was read up to {position_text(position)}, and the watermark of {table.file} is {_ARTICLE[kind]} now: nobody can tell "
                "which rows are left. Give the table a new name, or take the change back"
            )


def position_text(position: Position) -> str:
    """To the second, for reading; instants are UTC."""
    if isinstance(position, int):
        return f"{position:,}"
    return f"{position:%Y-%m-%d %H:%M:%S}" if isinstance(position, datetime) else position.isoformat()


_ARTICLE = {"timestamp": "a timestamp", "date": "a date", "integer": "an integer"}


def _width(lowest: Position, highest: Position) -> int:
    """Numbers, days or microseconds from one to the other."""
    if isinstance(lowest, int) and isinstance(highest, int):
        return highest - lowest
    if isinstance(lowest, datetime) and isinstance(highest, datetime):
        return (highest - lowest) // timedelta(microseconds=1)
    if isinstance(lowest, date) and isinstance(highest, date):
        return (highest - lowest).days
    raise ValueError(f"{lowest!r} and {highest!r} are not positions of one column")


def _stepped(position: Position, steps: int) -> Position:
    return position + timedelta(microseconds=steps) if isinstance(position, datetime) else moved(position, steps)


def _earlier(one: Position, other: Position) -> Position:
    return one if before(one, other) else other
