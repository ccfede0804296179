"""Snapshots: what is new or differs is a change, what is absent is a deletion, and a snapshot cut short changes nothing."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import KEY, WRITER, Shop, at, batch, column, rule, source, table

from shared.core.errors import SnapshotTooSmall
from shared.core.messages import CommitMeta
from shared.spark.snapshots import known_state
from shared.spark.tables import SparkTables
from shared.spec.codec import from_json
from shared.spec.lake import Lake, Snapshot

STOCK = table(
    "bronze.stock",
    "append",
    [
        column("item", key=1, required=True),
        column("quantity", "int", required=True),
        column("keeper", mask="hmac"),
        column("is_deleted", "boolean", required=True),
        column("seen_at", "timestamp", required=True),
    ],
    rules=(
        rule("expect_column_values_to_be_between", "quantity", id="not_negative", min_value=0),
        rule("expect_table_row_count_to_be_between", id="rows", kind="table", min_value=0),
    ),
    source=replace(source(), watermark=None, snapshot=Snapshot(min_share=0.5, deleted="is_deleted", at="seen_at")),
)
GIVEN = "item string, quantity string, keeper string"
SILVER = table(
    "silver.stock",
    "merge",
    [column("item", key=1), column("quantity", "int"), column("keeper"), column("seen_at", "timestamp", required=True)],
    origin="bronze.stock",
    inputs=("bronze.stock",),
    sequence="seen_at",
    delete_when="is_deleted",
)


class Store(Shop):
    def __init__(self, spark, root):
        super().__init__(spark, root, Lake(tables=(STOCK, SILVER), environments={}))
        self.sources.schemas[STOCK.name] = GIVEN
        self.create(STOCK)

    def take(self, seq, *rows, of=STOCK, holds_rows=False):
        return self.land(seq, [row if len(row) == 3 else (*row, None) for row in rows], at(seq), at(seq), of=of, holds_rows=holds_rows)

    def accepted(self):
        found = self.read(STOCK).where("_lane = 'accepted'")
        return sorted((r["item"], r["quantity"], r["is_deleted"], int(r["_batch_id"][-4:]), str(r["seen_at"])[:10]) for r in found.collect())


@pytest.fixture
def store(spark, tmp_path):
    return Store(spark, tmp_path)


def counted(evidence):
    counts = evidence.counts
    return counts.read, counts.accepted, counts.rejected, counts.seen, counts.deleted


def test_only_what_changed_is_written_and_what_is_absent_is_deleted_once(store):
    """Unchanged rows are seen; a deletion carries the last known values and its instant; a key that comes back is a change. So `merge` reads them."""
    store.create(SILVER)

    def silver(after, up_to):
        store.tables.merge(SILVER, STOCK, after_seq=after, up_to_seq=up_to, rebuild=False, writer=WRITER, guard=store.guard)
        return [row[:2] for row in store.rows(SILVER, "item", "quantity", "_deleted") if not row[2]]

    assert (3, 3, 0, 0, 0) == counted(store.take(1, ("bolt", "1"), ("nut", "2"), ("cog", "3")))

    second = store.take(2, ("bolt", "1"), ("nut", "5"))
    assert [("bolt", 1), ("nut", 5)] == silver(0, 2)
    third = store.take(3, ("bolt", "1"), ("nut", "5"))
    fourth = store.take(4, ("bolt", "1"), ("nut", "5"), ("cog", "3"))
    assert [("bolt", 1), ("cog", 3), ("nut", 5)] == silver(2, 4)

    assert (2, 1, 0, 1, 1) == counted(second)
    assert ((2, 0, 0, 2, 0), None) == (counted(third), third.version)
    assert (3, 1, 0, 2, 0) == counted(fourth)
    assert [
        ("bolt", 1, False, 1, "2026-11-02"),
        ("cog", 3, False, 1, "2026-11-02"),
        ("cog", 3, False, 4, "2026-11-05"),
        ("cog", 3, True, 2, "2026-11-03"),
        ("nut", 2, False, 1, "2026-11-02"),
        ("nut", 5, False, 2, "2026-11-03"),
    ] == store.accepted()
    text, _ = store.metadata(STOCK, second.version)
    assert replace(from_json(CommitMeta, text).batch, version=second.version) == second
    assert {(1, 0, 1)} == {(result.elements, result.unexpected, result.observed) for result in second.rules if result.rule == "rows"}


def test_a_snapshot_cut_short_halts_and_says_the_numbers(store):
    """Half a table is not a table from which half was deleted."""
    store.take(1, *((f"item {n}", "1") for n in range(8)))

    with pytest.raises(SnapshotTooSmall, match=r"holds 3 rows and 8 are known \(37\.5%\); below min_share 0\.5 nothing is written"):
        store.take(2, *((f"item {n}", "2") for n in range(3)))

    assert 2 == store.versions(STOCK)
    assert (4, 0, 0, 4, 4) == counted(store.take(2, *((f"item {n}", "1") for n in range(4))))
    assert (2, 0, 0, 2, 2) == counted(store.take(3, *((f"item {n}", "1") for n in range(2)))), "measured against what is live, not what ever was"


def test_a_row_that_breaks_the_contract_is_rejected_once_and_its_key_is_not_gone(store):
    """It is there, whatever is wrong with it; unchanged it is seen, mended it is a change, and a looser contract lets it in."""
    store.take(1, ("bolt", "1"), ("nut", "2"))
    second = store.take(2, ("bolt", "1"), ("nut", "many"))
    third = store.take(3, ("bolt", "1"), ("nut", "many"))
    fourth = store.take(4, ("bolt", "1"), ("nut", "lots"))
    fifth = store.take(5, ("bolt", "1"), ("nut", "2"))

    assert [(2, 0, 1, 1, 0), (2, 0, 0, 2, 0), (2, 0, 1, 1, 0), (2, 0, 0, 2, 0)] == [counted(e) for e in (second, third, fourth, fifth)]
    assert {"quantity.type": 1} == second.reasons
    assert {} == third.reasons
    original = json.loads(store.read(STOCK).where("_batch_id like '%2' and _lane = 'rejected'").first()["_original"])
    assert {"item": "nut", "quantity": "many", "keeper": None} == original
    store.take(6, ("bolt", "1"), ("nut", "-1"))
    looser = replace(STOCK, rules=STOCK.rules[1:], contract_hash="looser")
    assert (2, 1, 0, 1, 0) == counted(store.take(7, ("bolt", "1"), ("nut", "-1"), of=looser))


def test_two_rows_of_one_key_are_both_rejected(store):
    """Neither is known to be its state; the key keeps the one it had, and copies are no rivals."""
    store.take(1, ("bolt", "1"), ("nut", "2"))

    evidence = store.take(2, ("bolt", "3"), ("bolt", "4"), ("nut", "2"), ("nut", "2"))

    assert {"same_key": 2, "exact_copy": 1} == evidence.reasons
    assert (4, 0, 3, 1, 0) == counted(evidence)


def test_masked_values_are_compared_masked(store):
    """A change under a mask is a change, and nobody needs the clear value for it."""
    store.take(1, ("bolt", "1", "Ann"), ("nut", "2", "Bob"))

    evidence = store.take(2, ("bolt", "1", "Ann"), ("nut", "2", "Cid"))

    assert (2, 1, 0, 1, 0) == counted(evidence)


def test_a_snapshot_landed_again_is_compared_with_lower_batches_alone(store):
    """Its own earlier commit is not what it is measured by, nor is a later one."""
    store.take(1, ("bolt", "1"), ("nut", "2"))
    first = store.take(2, ("bolt", "2"))

    again = store.take(2, ("bolt", "2"), holds_rows=True)

    assert (first.counts, first.digest) == (again.counts, again.digest)
    assert 4 == len(store.accepted())


def test_a_column_that_the_contract_gained_is_no_change_while_it_is_null(store):
    """Old batches do not have it; a value in it is a change."""
    store.take(1, ("bolt", "1"), ("nut", "2"))
    store.sources.schemas[STOCK.name] = f"{GIVEN}, shelf string"
    wider = replace(STOCK, columns=(*STOCK.columns, column("shelf")))

    store.sources.rows[STOCK.name] = [("bolt", "1", None, None), ("nut", "2", None, "A")]
    evidence = store.tables.land(wider, batch(STOCK, 2, at(2), at(2)), holds_rows=False, writer=WRITER, guard=store.guard)

    assert (2, 1, 0, 1, 0) == counted(evidence)


def test_what_is_known_of_a_key_is_its_accepted_row_of_the_highest_batch(spark):
    """Whatever its content; rejects are not known, and a batch from before the contract had the two columns deletes nothing."""
    rows = [("bolt", n, f"b{n}", f"id {9 - n}", "accepted" if n < 4 else "rejected") for n in range(1, 6)] + [("nut", 7, "b1", "id", "accepted")]
    lower = spark.createDataFrame(rows, "item string, quantity int, _batch_id string, _row_id string, _lane string")

    known = known_state(lower, STOCK).select("_was.item", "_was.quantity", "_was_deleted").collect()

    assert [("bolt", 3, False), ("nut", 7, False)] == sorted(map(tuple, known))


STATES = st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["1", "2", "x"]), min_size=1, max_size=4), min_size=2, max_size=3)


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=STATES)
def test_replaying_the_changes_gives_every_snapshot(spark, tmp_path_factory, states):
    """After each one, the latest accepted row per key is what the source held; what it holds and breaks the contract keeps its last good state."""
    root = tmp_path_factory.mktemp("stock")
    any_size = replace(STOCK, source=replace(STOCK.source, snapshot=replace(STOCK.source.snapshot, min_share=0.0)))
    store = Store(spark, root)
    store.tables = SparkTables(
        spark=spark, root=str(root), lake=Lake(tables=(any_size,), environments={}), sources=store.sources, mask_key=lambda: KEY
    )
    wanted: dict[str, int] = {}

    for seq, state in enumerate(states, start=1):
        evidence = store.take(seq, *state.items(), of=any_size)
        counts = evidence.counts
        assert counts.read == counts.accepted + counts.rejected + counts.seen == len(state)
        wanted = {key: int(state[key]) if state[key] != "x" else wanted[key] for key in state if state[key] != "x" or key in wanted}

        latest: dict[str, tuple[int, int, bool]] = {}
        for item, quantity, deleted, batch_seq, _ in sorted(store.accepted(), key=lambda row: row[3]):
            latest[item] = (quantity, batch_seq, deleted)
        assert wanted == {item: quantity for item, (quantity, _, deleted) in latest.items() if not deleted}
