"""Which objects a batch of files freezes: each content once, whatever arrives, changes, goes and comes back."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core import files
from shared.core.files import FileObject, matching, next_manifest, standing, static_folder
from shared.core.messages import Progress
from shared.core.window import Freezer, next_files, next_snapshot
from shared.spec.lake import Files
from tests.machine import table

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def thing(key, etag="1", *, size=1, minutes=0):
    return FileObject(key=key, etag=etag, size_bytes=size, modified=NOON + timedelta(minutes=minutes))


def frozen(listed, inventory=None, most=100):
    return next_manifest(Files(pattern="**", max_objects=most), listed, inventory or {})


def test_a_pattern_means_what_a_shell_means_and_nothing_hidden():
    """A star stays in its folder; what Spark would not read is not promised."""
    keys = ["a.csv", "in/a.csv", "in/deep/b.csv", "in/_tmp.csv", "in/.a.csv", "in/a.csv.bak", "in/a+csv", "_in/c.csv"]

    assert {"a.csv"} == matching("*.csv", keys)
    assert {"in/a.csv"} == matching("in/?.csv", keys)
    assert {"a.csv", "in/a.csv", "in/deep/b.csv", "_in/c.csv"} == matching("**/*.csv", keys)
    assert {"in/deep/b.csv"} == matching("in/**/b.csv", keys)
    assert {"in/a.csv", "in/deep/b.csv", "in/a.csv.bak", "in/a+csv"} == matching("in/**", keys)
    assert ["", "in", "in/deep", "in", ""] == [static_folder(p) for p in ("*.csv", "in/*.csv", "in/deep/a?.csv", "in/a.csv", "a*/b.csv")]


def test_a_batch_takes_the_oldest_first_and_no_more_than_it_may_hold(monkeypatch):
    """Catching up takes several batches; one object is never too many."""
    monkeypatch.setattr(files, "MOST_BYTES", 10)
    listed = [thing("c", size=50), thing("b", size=4, minutes=-1), thing("z", size=6, minutes=-1), thing("d", minutes=1)]

    first = frozen(listed)
    second = frozen(listed, first.inventory)
    third = frozen(listed, second.inventory)

    assert [["b", "z"], ["c"], ["d"]] == [[item.key for item in manifest.objects] for manifest in (first, second, third)]
    assert () == frozen(listed, third.inventory).objects


LISTINGS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("123")), min_size=1, max_size=8)


@given(listings=LISTINGS, most=st.integers(1, 3))
def test_every_content_that_is_listed_is_frozen_once_each_time_it_appears(listings, most):
    """Followed to the end after each listing: what was frozen is exactly what a plain diff of the listings finds; the inventory is the listing."""
    inventory, before = {}, {}

    for listing in listings:
        listed, taken = [thing(key, etag) for key, etag in listing.items()], []
        while (manifest := frozen(listed, inventory, most)).objects:
            assert len(manifest.objects) <= most
            taken += [(item.key, item.etag) for item in manifest.objects]
            inventory = manifest.inventory
        inventory = manifest.inventory

        assert sorted(set(listing.items()) - set(before.items())) == sorted(taken)
        assert listing == inventory
        before = listing


def test_frozen_objects_stand_have_changed_or_are_gone():
    """By ETag; size and time do not matter."""
    same, changed, gone = standing([thing("a"), thing("b"), thing("c")], {"a": "1", "b": "2", "d": "1"})

    assert (["a"], ("b",), ("c",)) == ([item.key for item in same], changed, gone)


def test_batches_of_files_and_snapshots_follow_each_other_in_time_even_if_the_clock_does_not():
    """A file batch stands still with a clock that jumped back; a snapshot, whose instant orders states, waits for it."""
    of = table("bronze.rates", "append")
    freezer = Freezer(run="r", fence=3, at=NOON)
    first = next_files(of, Progress(position=None, seq=0), [], freezer)
    back = Freezer(run="r", fence=3, at=NOON - timedelta(hours=1))

    second = next_files(of, Progress(position=None, seq=0), [first], back)

    assert (1, NOON, NOON) == (first.seq, first.lo, first.hi)
    assert "_windows/bronze.rates/r/3/bronze.rates-0000000001.json" == first.manifest
    assert (2, NOON, NOON) == (second.seq, second.lo, second.hi)
    assert None is next_snapshot(of, Progress(position=NOON, seq=4), [], NOON, freezer)
    after = next_snapshot(of, Progress(position=NOON, seq=4), [], NOON + timedelta(seconds=1), freezer)
    assert (5, NOON, NOON + timedelta(seconds=1), None) == (after.seq, after.lo, after.hi, after.manifest)
