"""Positions of three kinds: an instant, a date, a number keep their kind through JSON, and contracts say each in its own unit."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler import compile_lake
from shared.core.errors import SchemaMismatch
from shared.core.messages import Progress
from shared.core.ports import SourceClock
from shared.core.window import before, behind, cuts, edge_of_lookback, looked_back, moved, refuse_other_kind, upper_bound
from shared.spec.codec import CodecError, from_json, to_json
from shared.spec.lake import Files, Snapshot, Watermark
from tests.unit.compiler_refusals import ORDERS, copied, edit
from tests.unit.test_window import orders

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
POSITIONS = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.dates(), st.datetimes(timezones=st.just(UTC)))


@given(position=POSITIONS)
def test_a_position_comes_back_from_json_as_what_it_was(position):
    """A date that came back as an instant would no longer compare with its column, and a run would end in the middle."""
    progress = Progress(position=position, seq=1)

    back = from_json(Progress, to_json(progress)).position

    assert (position, type(position)) == (back, type(back))


@pytest.mark.parametrize("wrong", [True, 1.5, "soon", [1]])
def test_what_is_no_position_is_refused(wrong):
    """State that nobody understands is not read as some position or other."""
    with pytest.raises(CodecError):
        from_json(Progress, {"position": wrong, "seq": 1})


WATERMARK = "{column: updated_at, lookback: 2h, safety_lag: 5m, start_at: '2024-01-01T00:00:00Z', max_window: 400d}"


@pytest.mark.parametrize(
    ("type", "written", "lookback", "lag", "start_at", "max_window"),
    [
        (
            "timestamp_ntz",
            "lookback: 2h, safety_lag: 5m, start_at: '2024-01-01T00:00:00Z', max_window: 2d",
            7200,
            300,
            datetime(2024, 1, 1, tzinfo=UTC),
            172800,
        ),
        ("date", "lookback: 2d, safety_lag: 12h, start_at: '2024-01-01', max_window: 31d", 2, 43200, date(2024, 1, 1), 31),
        ("bigint", "lookback: 500, start_at: -7, max_window: 10000", 500, 0, -7, 10000),
        ("int", "lookback: none, start_at: 0, max_window: 1", 0, 0, 0, 1),
    ],
)
def test_a_contract_says_each_kind_of_position_in_its_own_unit(tmp_path, type, written, lookback, lag, start_at, max_window):
    """Seconds of an instant, days of a date, plain numbers; and the word for a source that commits its numbers in order."""
    lake = copied(tmp_path)
    place = f"{{name: seen, logicalType: {'integer' if 'int' in type else type.removesuffix('_ntz')}, physicalType: {type}, required: true}}"
    edit(lake / ORDERS, "      - {name: is_deleted,", f"      - {place}\n      - {{name: is_deleted,")
    edit(lake / ORDERS, WATERMARK, f"{{column: seen, {written}}}")

    mark = compile_lake(lake).table("bronze.orders").source.watermark

    assert Watermark(column="seen", lookback=lookback, safety_lag_seconds=lag, start_at=start_at, max_window=max_window) == mark


def test_a_duration_that_is_not_whole_days_does_not_go_with_a_date(tmp_path):
    """Half a day back from a date is no date."""
    lake = copied(tmp_path)
    place = "{name: seen, logicalType: date, physicalType: date, required: true}"
    edit(lake / ORDERS, "      - {name: is_deleted,", f"      - {place}\n      - {{name: is_deleted,")
    edit(lake / ORDERS, WATERMARK, "{column: seen, lookback: 36h, safety_lag: 12h, start_at: '2024-01-01T00:00:00Z', max_window: 31d}")

    with pytest.raises(Exception, match="'36h' is not a number of days") as refused:
        compile_lake(lake)

    assert "'2024-01-01T00:00:00Z' is not a date" in str(refused.value)


def numbers(**changes):
    made = {"column": "at", "lookback": 10, "safety_lag_seconds": 0, "start_at": 1, "max_window": 100}
    return Watermark(**made | changes)


def clock(now=NOON, **more):
    return SourceClock(**{"now": now, "oldest_open": None, "tells_open": False} | more)


def test_numbers_are_read_up_to_the_greatest_committed_one():
    """And nothing is read of a source without a row: no number is not number 0."""
    assert 42 == upper_bound(clock(highest=41), numbers())
    assert 1 == upper_bound(clock(), numbers())


@given(
    now=st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(year=2000 + at.year % 100, day=min(at.day, 28))),
    lag=st.integers(0, 86400),
    open_for=st.integers(0, 200_000),
)
def test_a_day_is_read_only_when_it_is_over_for_every_writer(now, lag, open_for):
    """No clock that is at most the lag behind UTC, and no open transaction, can still add to a day before the bound."""
    mark = numbers(start_at=date(1999, 1, 1), safety_lag_seconds=lag)
    oldest = now - timedelta(seconds=open_for)

    told = upper_bound(clock(now, tells_open=True, oldest_open=oldest), mark)
    untold = upper_bound(clock(now), mark)

    assert told == (oldest - timedelta(seconds=lag)).date()
    assert untold == (now - timedelta(seconds=lag)).date()
    assert type(told) is type(untold) is date


@pytest.mark.parametrize("lo", [NOON, NOON.date(), 7])
def test_looking_back_and_forth_is_in_the_unit_of_the_position(lo):
    """What was moved by n and back is where it was."""
    mark = numbers(start_at=lo, lookback=3)

    earlier = looked_back(mark, lo)

    assert before(earlier, lo)
    assert lo == moved(earlier, 3)
    assert type(lo) is type(earlier)


def test_a_table_whose_watermark_became_of_another_kind_halts():
    """Dates do not say which numbers were read: going on would lose or double rows."""
    table, of_files = orders(), Progress(position=NOON, seq=3, manifest="_windows/1.json")

    refuse_other_kind(table, Progress(position=NOON, seq=3), [])
    refuse_other_kind(table, Progress(position=None, seq=0), [])
    with pytest.raises(SchemaMismatch, match=r"was read up to 2026-06-01, and .*\.yaml says it is cut by a timestamp now"):
        refuse_other_kind(table, Progress(position=NOON.date(), seq=3), [])
    with pytest.raises(SchemaMismatch, match=r"was read from files until 2026-06-01 12:00:00, and .* cut by a timestamp now"):
        refuse_other_kind(table, of_files, [])


def test_numbers_do_not_turn_to_snapshots_nor_files_to_snapshots_but_instants_turn_to_files():
    """A snapshot stands at an instant; of files nothing is known then, and all are read."""
    made = orders()
    taken = replace(made, source=replace(made.source, watermark=None, snapshot=Snapshot(min_share=0.5, deleted="gone", at="at")))
    filed = replace(made, source=replace(made.source, watermark=None, files=Files(pattern="*", max_objects=1)))

    refuse_other_kind(taken, Progress(position=NOON, seq=3), [])
    refuse_other_kind(filed, Progress(position=NOON, seq=3), [])
    for table in (taken, filed):
        with pytest.raises(SchemaMismatch, match="was read up to 7, and .* says it is (a snapshot|files) now"):
            refuse_other_kind(table, Progress(position=7, seq=3), [])
    with pytest.raises(SchemaMismatch, match="from files until"):
        refuse_other_kind(taken, Progress(position=NOON, seq=3, manifest="_windows/1.json"), [])


@pytest.mark.parametrize("lo", [NOON, NOON.date(), 700])
@given(lookback=st.integers(0, 1000))
def test_the_edge_of_the_lookback_is_its_oldest_tenth(lo, lookback):
    """At least one unit of it, and never beyond the window's own beginning."""
    mark = numbers(start_at=lo, lookback=lookback)

    edge = edge_of_lookback(mark, lo)

    assert edge == moved(lo, -lookback + (lookback + 9) // 10)
    assert not before(lo, edge)


@pytest.mark.parametrize(
    ("lo", "bound", "text"),
    [
        (NOON, NOON - timedelta(seconds=1), "its clock was set back"),
        (NOON.date(), NOON.date() - timedelta(days=1), "raise watermark.lookback in"),
        (700, 699, "numbers began anew. New rows are read from 640 on"),
    ],
)
def test_a_source_that_is_behind_what_was_read_is_warned_of(lo, bound, text):
    """There is no window then, as when there is nothing new; that it is another matter must be said."""
    table = orders(start_at=lo, lookback=60)
    read = Progress(position=lo, seq=4)

    assert text in behind(table, read, [], bound)
    assert behind(table, read, [], lo) is None
    assert behind(table, Progress(position=None, seq=0), [], bound) is None, "before start_at there is nothing to be behind of"


@given(
    bounds=st.one_of(
        st.tuples(st.integers(-(2**63), 2**63), st.integers(-(2**63), 2**63)),
        st.tuples(st.dates(), st.dates()),
        st.tuples(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC))),
    ),
    parts=st.integers(2, 64),
)
def test_ranges_for_parallel_reads_are_ascending_and_even(bounds, parts):
    """Each edge is used by two ranges, open at both ends: as many as asked where the values allow it, and none twice."""
    lowest, highest = sorted(bounds)

    edges = cuts(lowest, highest, parts)

    assert len(edges) < parts
    assert all(before(one, other) for one, other in pairwise((lowest, *edges)))
    assert not edges or not before(highest, edges[-1])
    if isinstance(lowest, int) and highest - lowest >= parts:
        widths = [other - one for one, other in pairwise((lowest, *edges, highest))]
        assert len(edges) == parts - 1
        assert max(widths) - min(widths) <= 1
