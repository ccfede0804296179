"""How a source is cut into batches: windows [lo, hi) of its watermark column; of files and snapshots, instants. Pure.

A position is an instant, a date or a number (`shared.spec.lake.Position`). What bounds a window differs:

timestamp   the source's clock: up to its oldest open transaction where it tells, else less the safety lag
date        the day of that instant in UTC, less the safety lag: a day is read when it is over, for it grows until then
integer     the greatest number that is committed. One taken earlier may be committed later, and the source cannot tell: only the lookback,
            which counts in numbers, catches those. The compiler demands one, or the word that says the source commits in order
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from shared.core.errors import SchemaMismatch
from shared.core.layout import batch_id, window_key
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
    mark = table.source.windows
    lo = reached(mark, progress, pending)
    seq = (pending[-1].seq if pending else progress.seq) + 1
    hi = _earlier(bound, moved(lo, mark.max_window))
    if not before(lo, hi):
        return None
    return Batch(batch_id=batch_id(table, seq), seq=seq, lo=lo, hi=hi, ingest_time=freezer.at, run=freezer.run, fence=freezer.fence, outcome=None)


def next_files(table: Table, progress: Progress, pending: Sequence[Batch], freezer: Freezer) -> Batch:
    """The batch of files after the last pending or committed one, with its manifest's key. A clock that jumped back does not move `hi` back."""
    stood = _stood(progress, pending)
    batch = _frozen_at(table, progress, pending, freezer.at if stood is None else max(freezer.at, stood), freezer)
    return replace(batch, manifest=window_key(table.name, freezer.run, freezer.fence, batch.batch_id))


def next_snapshot(table: Table, progress: Progress, pending: Sequence[Batch], now: datetime, freezer: Freezer) -> Batch | None:
    """The snapshot after the last one, at the source's own time `now`; None when its clock has not moved on since."""
    stood = _stood(progress, pending)
    return None if stood is not None and now <= stood else _frozen_at(table, progress, pending, now, freezer)


def known_manifest(progress: Progress, pending: Sequence[Batch]) -> str | None:
    """The document that holds what is known of a table's files after its last frozen batch; None where nothing is."""
    return next((batch.manifest for batch in reversed(pending) if batch.manifest is not None), progress.manifest)


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
    """What to warn of when the source gives a bound (of snapshots: its time) before what was already read; None when it does not, and before the
    first window."""
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    lo = pending[-1].hi if pending else progress.position
    if lo is None or not before(bound, lo):
        return None
    mark, there = table.source.watermark, f"was read up to {position_text(lo)} and its source is at {position_text(bound)} now"
    if mark is None:
        return f"{there}: its clock was set back. No snapshot is taken until it is past that; the next one has all that changed meanwhile"
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
    """Raise SchemaMismatch when the table was read by positions of another kind than its contract has now, or from files and is not now.

    Windows or snapshots may turn to files: of those nothing is known, and all are read.
    """
    source = table.source
    if source is None:
        raise ValueError(f"{table.name} has no source")
    kind = "timestamp" if source.watermark is None else source.watermark.kind
    now = "files" if source.files else "a snapshot" if source.snapshot else f"cut by {_ARTICLE[kind]}"
    reads = [(progress.position, progress.manifest), *((batch.hi, batch.manifest) for batch in pending)]
    for position, manifest in reads:
        if position is not None and (kind_of(position) != kind or (manifest is not None and source.files is None)):
            once = "from files until" if manifest else "up to"
            raise SchemaMismatch(
                f"{table.name} was read {once} {position_text(position)}, and {table.file} says it is {now} now: "
                "nobody can tell which rows are left. Give the table a new name, or take the change back"
            )


def position_text(position: Position) -> str:
    """To the second, for reading; instants are UTC."""
    if isinstance(position, int):
        return f"{position:,}"
    return f"{position:%Y-%m-%d %H:%M:%S}" if isinstance(position, datetime) else position.isoformat()


_ARTICLE = {"timestamp": "a timestamp", "date": "a date", "integer": "an integer"}


def _stood(progress: Progress, pending: Sequence[Batch]) -> datetime | None:
    """The instant of the last batch of files, or snapshot."""
    last = pending[-1].hi if pending else progress.position
    if last is None or isinstance(last, datetime):
        return last
    raise ValueError(f"{last!r} is no instant")


def _frozen_at(table: Table, progress: Progress, pending: Sequence[Batch], hi: datetime, freezer: Freezer) -> Batch:
    """A batch that no column cuts: it stands at one instant, and `lo` is where the one before it stood."""
    stood, seq = _stood(progress, pending), (pending[-1].seq if pending else progress.seq) + 1
    lo = hi if stood is None else stood
    return Batch(batch_id=batch_id(table, seq), seq=seq, lo=lo, hi=hi, ingest_time=freezer.at, run=freezer.run, fence=freezer.fence, outcome=None)


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
