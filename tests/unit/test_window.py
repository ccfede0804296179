"""How a source is cut into windows: nothing left out, nothing read twice, never past what the source can still change."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core.messages import Progress
from shared.core.ports import SourceClock
from shared.core.window import Freezer, next_batch, upper_bound
from shared.spec.lake import Source, Tolerance, Watermark
from tests.machine import table

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
FREEZER = Freezer(run="r", fence=1, at=NOON)


def watermark(**changes):
    made = {"column": "at", "lookback": 60, "safety_lag_seconds": 300, "start_at": NOON - timedelta(days=9), "max_window": 86400}
    return Watermark(**made | changes)


def orders(**changes):
    source = Source(relation="orders", watermark=watermark(**changes), reject_tolerance=Tolerance(share=0, rows=0), servers=())
    return table("bronze.orders", "append", source=source)


def clock(*, oldest_open=None, tells_open=True):
    return SourceClock(now=NOON, oldest_open=oldest_open, tells_open=tells_open)


def test_the_oldest_open_transaction_bounds_the_window_and_the_lag_is_not_applied():
    """What it will commit cannot carry an earlier time than its start."""
    assert NOON - timedelta(hours=1) == upper_bound(clock(oldest_open=NOON - timedelta(hours=1)), watermark())
    assert NOON == upper_bound(clock(), watermark())


def test_a_source_that_cannot_tell_is_bounded_by_the_safety_lag():
    """The lag is all there is."""
    assert NOON - timedelta(minutes=5) == upper_bound(clock(tells_open=False), watermark())


def test_the_first_window_begins_where_the_contract_says():
    """And is at most max_window long."""
    batch = next_batch(orders(), Progress(position=None, seq=0), [], NOON, FREEZER)

    assert (1, NOON - timedelta(days=9), NOON - timedelta(days=8)) == (batch.seq, batch.lo, batch.hi)
    assert "bronze.orders-0000000001" == batch.batch_id


@given(max_window=st.integers(1, 400_000), ahead=st.integers(-1000, 900_000))
def test_windows_follow_each_other_without_gap_or_overlap_up_to_the_bound(max_window, ahead):
    """Catching up over several batches covers every moment once; a clock that jumped back gives no window at all."""
    contract = orders(max_window=max_window, start_at=NOON)
    bound, pending = NOON + timedelta(seconds=ahead), []

    while len(pending) < 50 and (batch := next_batch(contract, Progress(position=NOON, seq=4), pending, bound, FREEZER)) is not None:
        pending.append(batch)

    edges = [NOON, *(batch.hi for batch in pending)]
    assert edges[:-1] == [batch.lo for batch in pending]
    assert list(range(5, 5 + len(pending))) == [batch.seq for batch in pending]
    assert all(timedelta(0) < batch.hi - batch.lo <= timedelta(seconds=max_window) for batch in pending)
    assert len(pending) == 50 or max(NOON, bound) == edges[-1]
