"""How a source is cut into windows [lo, hi) of its watermark column. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.core.layout import batch_id, window_key
from shared.core.messages import Batch, Progress
from shared.core.ports import SourceClock
from shared.spec.lake import Table, Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class Freezer:
    """Who freezes windows, and when."""

    run: str
    fence: int
    at: datetime


def upper_bound(clock: SourceClock, watermark: Watermark) -> datetime:
    """The latest `hi` that loses no row.

    Where the source tells its oldest open transaction, a row that commits later cannot carry an earlier time than that one's start, so
    the safety lag is not needed; elsewhere the lag is all there is.
    """
    if clock.tells_open:
        return min(clock.now, clock.oldest_open or clock.now)
    return clock.now - timedelta(seconds=watermark.safety_lag_seconds)


def next_batch(table: Table, progress: Progress, pending: Sequence[Batch], bound: datetime, freezer: Freezer) -> Batch | None:
    """The window after the last pending or committed one, at most `max_window` long; None when `bound` leaves nothing to read."""
    if table.source is None:
        raise ValueError(f"{table.name} has no source")
    mark = table.source.windows
    lo = pending[-1].hi if pending else progress.position or mark.start_at
    seq = (pending[-1].seq if pending else progress.seq) + 1
    hi = min(bound, lo + timedelta(seconds=mark.max_window_seconds))
    if hi <= lo:
        return None
    return Batch(batch_id=batch_id(table, seq), seq=seq, lo=lo, hi=hi, ingest_time=freezer.at, run=freezer.run, fence=freezer.fence, outcome=None)


def next_files(table: Table, progress: Progress, pending: Sequence[Batch], freezer: Freezer) -> Batch:
    """The batch of files after the last pending or committed one, with its manifest's key. A clock that jumped back does not move `hi` back."""
    before = _before(progress, pending)
    batch = _frozen_at(table, progress, pending, freezer.at if before is None else max(freezer.at, before), freezer)
    return replace(batch, manifest=window_key(table.name, freezer.run, freezer.fence, batch.batch_id))


def next_snapshot(table: Table, progress: Progress, pending: Sequence[Batch], now: datetime, freezer: Freezer) -> Batch | None:
    """The snapshot after the last one, at the source's own time `now`; None when its clock has not moved on since."""
    before = _before(progress, pending)
    return None if before is not None and now <= before else _frozen_at(table, progress, pending, now, freezer)


def _before(progress: Progress, pending: Sequence[Batch]) -> datetime | None:
    return pending[-1].hi if pending else progress.position


def _frozen_at(table: Table, progress: Progress, pending: Sequence[Batch], hi: datetime, freezer: Freezer) -> Batch:
    """A batch that no column cuts: it stands at one instant, and `lo` is where the one before it stood."""
    before, seq = _before(progress, pending), (pending[-1].seq if pending else progress.seq) + 1
    lo = hi if before is None else before
    return Batch(batch_id=batch_id(table, seq), seq=seq, lo=lo, hi=hi, ingest_time=freezer.at, run=freezer.run, fence=freezer.fence, outcome=None)
