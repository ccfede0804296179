"""Loading silver from bronze: latest per key, tombstones, rebuilds, restores."""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from shop import ORDERS, SILVER_ORDERS, WRITER, Shop, column, order, with_columns

from shared.core.errors import BadState, ContractError, SchemaMismatch

SEEN = ("order_id", "quantity", "_deleted")


@pytest.fixture
def shop(spark, tmp_path):
    shop = Shop(spark, tmp_path)
    shop.create(ORDERS, SILVER_ORDERS)
    return shop


def metrics(shop, table, version):
    _, info = shop.metadata(table, version)
    return tuple(int(info["operationMetrics"][f"numTargetRows{effect}"]) for effect in ("Inserted", "Updated", "Deleted"))


def test_a_key_keeps_its_latest_state_whatever_order_batches_bring_it(shop):
    """A late row never overwrites a newer one; a delete beats an upsert of the same time, and a later upsert revives."""
    shop.lay(1, [order(1, quantity="1", days=0.2), order(1, quantity="2", days=0.4), order(2, days=0.3), order(3, days=0.3)])
    first = shop.merge(after=0, up_to=1)
    assert shop.rows(SILVER_ORDERS, *SEEN) == [("O1", 2, False), ("O2", 1, False), ("O3", 1, False)]

    late, deleted = order(1, quantity="9", days=0.95), order(2, quantity="7", days=1.5, deleted=True)
    shop.lay(2, [late, deleted, order(2, quantity="8", days=1.5), order(3, days=1.1, deleted=True)])
    second = shop.merge(after=1, up_to=2)
    assert shop.rows(SILVER_ORDERS, *SEEN) == [("O1", 9, False), ("O2", 7, True), ("O3", 1, True)]

    shop.lay(3, [order(3, quantity="5", days=2.1)])
    third = shop.merge(after=2, up_to=3)

    assert shop.rows(SILVER_ORDERS, *SEEN) == [("O1", 9, False), ("O2", 7, True), ("O3", 5, False)]
    for done in (first, second, third):
        counts = done.counts
        assert metrics(shop, SILVER_ORDERS, done.version) == (counts.inserted, counts.updated, counts.deleted)
    meta, _ = shop.metadata(SILVER_ORDERS, third.version)
    assert (meta["kind"], meta["digest"], meta["run"]) == ("merge", third.digest, "run-1")


def test_what_changes_nothing_writes_no_version(shop):
    """An older state, or one already there, leaves table and log as they were."""
    shop.lay(1, [order(1, quantity="2", days=0.5)])
    done = shop.merge(after=0, up_to=1)
    again = shop.merge(after=0, up_to=1)
    whole = shop.merge(after=0, up_to=1, rebuild=True)

    assert (again.unchanged, again.version, again.digest, again.counts.unchanged) == (True, done.version, None, 1)
    assert (whole.unchanged, whole.version) == (True, done.version)
    assert shop.versions(SILVER_ORDERS) == 2


def test_a_rebuild_holds_what_its_batches_give_and_nothing_else(shop):
    """Rows that no longer come out are deleted, in one commit."""
    shop.lay(1, [order(1), order(2)])
    shop.lay(2, [order(3, days=1.5)])
    shop.merge(after=0, up_to=2)

    done = shop.merge(after=0, up_to=1, rebuild=True)

    assert shop.rows(SILVER_ORDERS, "order_id") == [("O1",), ("O2",)]
    assert metrics(shop, SILVER_ORDERS, done.version) == (0, 0, 1)
    assert done.counts.unchanged == 2


def test_a_changed_contract_rebuilds_schema_and_content_in_one_commit(shop):
    """Readers see the old table or the new one."""
    shop.lay(1, [order(1), order(2, deleted=True)])
    shop.merge(after=0, up_to=1)
    wider = with_columns(SILVER_ORDERS, column("currency"))
    with pytest.raises(SchemaMismatch, match="currency"):
        shop.merge(wider, after=1, up_to=1)

    done = shop.merge(wider, after=0, up_to=1, rebuild=True)

    assert shop.rows(SILVER_ORDERS, "order_id", "currency", "_deleted") == [("O1", "USD", False), ("O2", "USD", True)]
    assert (done.counts.inserted, done.version) == (2, 2)
    _, info = shop.metadata(SILVER_ORDERS, done.version)
    assert info["operationMetrics"]["numOutputRows"] == "2"


def test_batches_in_pieces_give_what_one_rebuild_gives(shop):
    """Incremental equals full, on a random history with deletes, repeats, ties and late events."""
    dice = random.Random(7)
    for seq in range(1, 4):
        rows = [
            order(dice.randrange(8), quantity=str(dice.randrange(9)), days=seq - 1 + dice.choice((0.25, 0.5, 0.75)), deleted=dice.random() < 0.3)
            for _ in range(12)
        ]
        shop.lay(seq, rows)
    for after, up_to in ((0, 2), (2, 2), (2, 3)):
        shop.merge(after=after, up_to=up_to)
    pieces = shop.rows(SILVER_ORDERS)

    whole = shop.merge(after=0, up_to=3, rebuild=True)

    assert whole.unchanged
    assert shop.rows(SILVER_ORDERS) == pieces
    assert {row[1] for row in shop.rows(SILVER_ORDERS, "order_id", "_deleted")} == {True, False}


def test_a_log_keeps_every_distinct_state_once(shop):
    """History is built of it: a state that comes again, in the batch or later, is not new."""
    log = replace(SILVER_ORDERS, name="silver.changes", load="log", delete_when=None, rules=())
    shop.create(log)
    shop.lay(1, [order(1, days=0.2), order(1, days=0.4), order(1, days=0.2, address="elsewhere")])
    shop.lay(2, [order(1, days=1.2)])

    done = shop.merge(log, after=0, up_to=1)
    more = shop.merge(log, after=0, up_to=2)

    assert (done.counts.inserted, more.counts.inserted, more.counts.unchanged) == (2, 1, 2)
    assert len(shop.rows(log)) == 3


def test_a_restore_brings_back_a_versions_content_and_says_so(shop):
    """What a dead run left is taken back before work begins; restoring what is there commits nothing."""
    shop.lay(1, [order(1)])
    base = shop.merge(after=0, up_to=1).version
    shop.lay(2, [order(1, quantity="5", days=1.5)])
    shop.merge(after=1, up_to=2)

    version = shop.tables.restore(SILVER_ORDERS, base, WRITER, shop.guard)

    assert shop.rows(SILVER_ORDERS, *SEEN) == [("O1", 1, False)]
    meta, _ = shop.metadata(SILVER_ORDERS, version)
    assert (meta["kind"], meta["restored_to"]) == ("restore", base)
    assert shop.tables.restore(SILVER_ORDERS, version, WRITER, shop.guard) == version
    assert shop.spark.conf.get("spark.databricks.delta.commitInfo.userMetadata", None) is None


def test_commits_side_by_side_carry_each_its_own_metadata(shop):
    """Of two tables, both about to commit at the same moment: a MERGE beside a MERGE, and a RESTORE beside one."""
    other = replace(SILVER_ORDERS, name="silver.other")
    shop.create(other)
    shop.lay(1, [order(1)])
    shop.lay(2, [order(2, days=1.5)])
    ready = threading.Barrier(2, timeout=60)

    def merge(of, after):
        more = {"after_seq": after, "up_to_seq": after + 1, "rebuild": False}
        return shop.tables.merge(of, ORDERS, **more, writer=WRITER, guard=ready.wait).version

    def told(of, version):
        meta, _ = shop.metadata(of, version)
        return meta["table"], meta["kind"]

    with ThreadPoolExecutor(2) as pool:
        first, its = pool.map(lambda of: merge(of, 0), (SILVER_ORDERS, other))
        restored = pool.submit(shop.tables.restore, SILVER_ORDERS, 0, WRITER, ready.wait)
        merged = pool.submit(merge, other, 1)

        assert [("silver.orders", "merge"), ("silver.other", "merge")] == [told(SILVER_ORDERS, first), told(other, its)]
        assert [("silver.orders", "restore"), ("silver.other", "merge")] == [told(SILVER_ORDERS, restored.result()), told(other, merged.result())]


def test_a_table_is_created_once_with_its_feed_and_our_metadata(shop):
    """Version 0 is ours by its metadata; tools that read plain Delta can read it."""
    meta, info = shop.metadata(SILVER_ORDERS, 0)

    assert (meta["kind"], meta["table"]) == ("create", "silver.orders")
    assert info["operation"] in ("CREATE TABLE", "WRITE")
    detail = shop.spark.sql(f"DESCRIBE DETAIL delta.`{shop.root}/silver/orders`").first()
    assert detail["properties"]["delta.enableChangeDataFeed"] == "true"
    assert detail["properties"]["delta.enableDeletionVectors"] == "false"
    assert shop.read(SILVER_ORDERS).columns[0] == "_deleted"
    with pytest.raises(BadState, match="there is a table"):
        shop.tables.create(SILVER_ORDERS, WRITER, shop.guard)


def test_checks_count_live_rows_alone(shop):
    """Tombstones are not the table's rows."""
    counted = replace(SILVER_ORDERS, rules=(*SILVER_ORDERS.rules,))
    shop.lay(1, [order(1), order(2, deleted=True)])
    done = shop.merge(after=0, up_to=1)

    (unique,) = shop.tables.check(counted, done.version, consumed={})

    assert (unique.rule, unique.elements, unique.missing, unique.unexpected) == ("order_id.unique", 1, 0, 0)


def test_a_silver_table_must_hold_what_orders_it(shop):
    """Later batches are compared with what is stored."""
    with pytest.raises(ContractError, match="sequence 'seen_at' must be one of its columns"):
        shop.merge(replace(SILVER_ORDERS, sequence="seen_at"), after=0, up_to=0)


def test_a_log_is_kept_for_a_table_that_waits_for_months(shop):
    """Delta cleans its log whenever it writes a checkpoint; what a halted table goes on from, and all since, is still there."""
    table = f"delta.`{shop.root}/silver/orders`"
    shop.spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    shop.lay(1, [order(1)])
    shop.merge(after=0, up_to=1)
    log = shop.root / "silver" / "orders" / "_delta_log"
    for path in log.iterdir():
        os.utime(path, (time.time() - 90 * 86_400,) * 2)

    shop.lay(2, [order(2)])
    last = shop.merge(after=1, up_to=2).version

    assert list(log.glob(f"{last:020d}.checkpoint*.parquet"))
    assert [f"{version:020d}.json" for version in range(last + 1)] == sorted(path.name for path in log.glob("*.json"))
