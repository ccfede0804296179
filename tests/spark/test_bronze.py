"""Landing a batch: lanes, reasons, masks, seen rows, replacement."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from costs import cost_of
from shop import KEY, ORDERS, WRITER, Shop, at, batch, order

from shared.core.errors import SchemaMismatch, SecretMissing
from shared.core.messages import CommitMeta
from shared.spark.tables import SparkTables
from shared.spec.codec import from_json
from shared.spec.lake import Lake

LO, HI = at(0), at(1)


@pytest.fixture
def shop(spark, tmp_path):
    shop = Shop(spark, tmp_path)
    shop.create(ORDERS)
    return shop


def rules(evidence):
    return {result.rule: (result.elements, result.missing, result.unexpected, result.observed) for result in evidence.rules}


def test_every_row_read_is_accepted_rejected_or_seen_with_its_reasons(shop):
    """read = accepted + rejected + seen, and a reject says everything that is wrong with it."""
    rows = [
        order(1),
        order(2, currency="XXX", quantity="three"),
        order(3, customer=None, amount="-5.00"),
        order(None),
        order(4),
        order(4),
        order(5, quantity=None),
    ]

    evidence = shop.land(1, rows, LO, HI)

    counts = evidence.counts
    assert (counts.read, counts.accepted, counts.rejected, counts.seen) == (7, 3, 4, 0)
    assert evidence.reasons == {"currency_known": 1, "quantity.type": 1, "order_id.required": 1, "exact_copy": 1, "quantity.required": 1}
    found = rules(evidence)
    assert found["quantity.type"] == (7, 1, 1, None)
    assert found["quantity.required"] == (7, 0, 1, None)
    assert found["customer_id.pattern"] == (7, 1, 0, None)
    assert found["amount.minimum"] == (7, 0, 1, None)
    assert found["order_id.unique"] == (3, 0, 0, None)
    assert found["enough"] == (3, 0, 0, 3)
    assert found["turnover"] == (3, 0, 0, 15.0)
    assert found["freshness"] == (3, 0, 0, "2026-11-01T12:00:00.000000Z")
    assert shop.rows(ORDERS, "_lane", "_reasons") == sorted(
        [("accepted", [])] * 3
        + [
            ("rejected", ["quantity.type", "currency_known"]),
            ("rejected", ["order_id.required"]),
            ("rejected", ["exact_copy"]),
            ("rejected", ["quantity.required"]),
        ],
        key=repr,
    )


def test_run_columns_come_first_and_the_commit_holds_the_whole_evidence(shop):
    """Delta keeps statistics of the first columns; evidence can be issued again from the log alone."""
    evidence = shop.land(1, [order(1), order(2, currency="XXX")], LO, HI)

    front = ["_run_date", "_batch_id", "_lane", "_row_id", "_ingest_ts", "_source_system", "_run_id", "_reasons", "_clear_reasons", "_original"]
    assert shop.read(ORDERS).columns == front + [column.name for column in ORDERS.columns]
    text, info = shop.metadata(ORDERS, evidence.version)
    meta = from_json(CommitMeta, text)
    assert replace(meta.batch, version=evidence.version) == evidence
    assert (meta.kind, meta.digest, meta.run, meta.fence) == ("batch", evidence.digest, "run-1", 1)
    assert info["operationMetrics"]["numOutputRows"] == "2"
    assert {row[0].isoformat() for row in shop.rows(ORDERS, "_run_date")} == {"2026-12-11"}


def test_masked_columns_hold_pythons_hmac_and_nothing_clear_reaches_the_disk(shop, tmp_path):
    """The table can be joined on the digest; no file under the root has the clear value, rejects neither."""
    rows = [order(1, customer="C77"), order(2, customer="bad Ünïcode 😀", card="123"), order(3, customer=None, address=None, card=None)]

    evidence = shop.land(1, rows, LO, HI)
    shop.tables.write_errors(ORDERS, batch(ORDERS, 1, LO, HI), "_errors/x", rejected=1)

    def digest(text):
        return hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()

    assert evidence.reasons == {"customer_id.pattern": 1}
    assert shop.rows(ORDERS, "order_id", "customer_id", "address", "card") == [
        ("O1", digest("C77"), "[redacted]", "************1111"),
        ("O2", digest("bad Ünïcode 😀"), "[redacted]", "***"),
        ("O3", None, None, None),
    ]
    original = json.loads(shop.read(ORDERS).where("_lane = 'rejected'").first()["_original"])
    assert (original["customer_id"], original["address"], original["card"]) == (digest("bad Ünïcode 😀"), "[redacted]", "***")
    for file in tmp_path.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert b"C77" not in content
            assert "Ünïcode".encode() not in content
            assert b"Main St" not in content


def test_an_unparsable_value_is_visible_in_the_rejects(shop):
    """Whoever mends the source sees what it sent."""
    shop.land(1, [order(1, quantity="three")], LO, HI)

    original = json.loads(shop.read(ORDERS).first()["_original"])

    assert original["quantity"] == "three"
    assert original["updated_at"] == "2026-11-01 12:00:00"


def test_a_batch_landed_again_is_replaced_by_what_the_source_holds_now(shop):
    """A job that died after its commit may do it again; a halted batch is read again because somebody mended the source. Others stay."""
    shop.land(2, [order(9, days=1.5)], at(1), at(2))
    for _ in range(2):
        shop.land(1, [order(1), order(2, currency="XXX")], LO, HI, holds_rows=True)
    assert shop.rows(ORDERS, "order_id", "_lane") == [("O1", "accepted"), ("O2", "rejected"), ("O9", "accepted")]

    mended = shop.land(1, [order(1), order(2)], LO, HI, holds_rows=True)

    assert shop.rows(ORDERS, "order_id", "_lane") == [("O1", "accepted"), ("O2", "accepted"), ("O9", "accepted")]
    assert mended.version == 4


def test_lookback_rows_are_never_written_twice(shop):
    """Rows of the lookback that a lower batch holds, accepted or rejected, are counted as seen; those it does not hold are late and land."""
    early = [order(1, days=0.95), order(2, days=0.95, currency="XXX")]
    shop.land(1, early, LO, HI)

    rows = [*early, order(3, days=0.96), order(5, days=0.92), order(6, days=0.92, currency="XXX"), order(4, days=1.5), order(4, days=1.5)]
    second = shop.land(2, rows, at(1), at(2))
    again = shop.land(2, rows, at(1), at(2), holds_rows=True)

    counts = second.counts
    assert (counts.read, counts.accepted, counts.rejected, counts.seen) == (7, 3, 2, 2)
    assert (second.late, second.late_at_edge) == (3, 2), "only the lookback caught them; two lie in its oldest tenth"
    assert second.reasons == {"exact_copy": 1, "currency_known": 1}
    assert shop.rows(ORDERS, "order_id", "_batch_id") == [
        ("O1", "bronze.orders-0000000001"),
        ("O2", "bronze.orders-0000000001"),
        ("O3", "bronze.orders-0000000002"),
        ("O4", "bronze.orders-0000000002"),
        ("O4", "bronze.orders-0000000002"),
        ("O5", "bronze.orders-0000000002"),
        ("O6", "bronze.orders-0000000002"),
    ]
    assert {result.elements for result in second.rules if result.rule == "quantity.type"} == {5}
    assert again.counts == second.counts, "a batch does not take its own earlier commit for seen"
    assert again.late == 3
    assert again.digest == second.digest


def test_before_the_first_window_nothing_is_late_and_unknown_columns_are_told(shop):
    """What lies before start_at was never to be read; a column nobody named is evidence, by its name alone."""
    shop.sources.unknown = ("loyalty_points",)

    first = shop.land(1, [order(1, days=-0.05), order(2)], LO, HI)

    assert (first.counts.accepted, first.late, first.late_at_edge, first.unknown_columns) == (2, 0, 0, ("loyalty_points",))


def test_an_empty_window_makes_no_commit_unless_it_empties_a_batch(shop):
    """A run with nothing new leaves no version behind."""
    nothing = shop.land(1, [], LO, HI)
    assert (nothing.version, nothing.digest, nothing.counts.read) == (None, None, 0)
    assert shop.versions(ORDERS) == 1
    assert rules(nothing)["enough"] == (0, 0, 0, 0)

    shop.land(1, [order(1)], LO, HI)
    emptied = shop.land(1, [], LO, HI, holds_rows=True)

    assert emptied.version == 2
    assert emptied.digest is not None
    assert shop.rows(ORDERS) == []


def test_the_guard_is_asked_before_the_commit_and_can_stop_it(shop):
    """A job whose fence is old writes nothing."""

    def refuse():
        raise RuntimeError("stale")

    shop.sources.rows["bronze.orders"] = [order(1)]
    with pytest.raises(RuntimeError, match="stale"):
        shop.tables.land(ORDERS, batch(ORDERS, 1, LO, HI), holds_rows=False, writer=WRITER, guard=refuse)

    assert shop.versions(ORDERS) == 1


def test_two_different_unparsable_rows_do_not_hide_a_good_one(shop):
    """A row is a copy only of one that is broken in the same way: the accepted one is not taken for a copy of a reject."""
    optional = replace(ORDERS, columns=tuple(replace(c, required=False) for c in ORDERS.columns), rules=())
    bad, good = order(1, quantity="three"), order(1, quantity=None)

    evidence = shop.land(1, [bad, good, good], LO, HI, of=optional)

    assert evidence.reasons == {"quantity.type": 1, "exact_copy": 1}
    assert evidence.counts.accepted == 1


def test_a_table_without_a_mask_key_is_not_landed(spark, tmp_path):
    """No key, no run."""

    def absent():
        raise SecretMissing("sluice/local/mask-key")

    shop = Shop(spark, tmp_path)
    shop.create(ORDERS)
    tables = SparkTables(spark=spark, root=str(tmp_path), lake=Lake(tables=(ORDERS,), environments={}), sources=shop.sources, mask_key=absent)
    shop.sources.rows["bronze.orders"] = [order(1)]
    with pytest.raises(SecretMissing):
        tables.land(ORDERS, batch(ORDERS, 1, LO, HI), holds_rows=False, writer=WRITER, guard=shop.guard)


def test_a_contract_may_gain_a_column_and_not_change_one(shop):
    """Bronze is history: what is there must stay readable."""
    shop.land(1, [order(1)], LO, HI)
    note = replace(ORDERS.columns[6], name="note")
    shop.sources.schemas["bronze.orders"] += ", note string"
    wider = replace(ORDERS, columns=(*ORDERS.columns, note))

    shop.land(2, [(*order(2, days=1.5), "fragile")], at(1), at(2), of=wider)

    assert shop.rows(ORDERS, "order_id", "note") == [("O1", None), ("O2", "fragile")]
    other = replace(wider, columns=tuple(replace(c, type="smallint") if c.name == "quantity" else c for c in wider.columns))
    with pytest.raises(SchemaMismatch, match="quantity: int instead of smallint"):
        shop.land(3, [], at(2), at(3), of=other)
    with pytest.raises(SchemaMismatch, match="note: string instead of nothing"):
        shop.land(3, [], at(2), at(3))


def test_rejects_are_files_that_are_replaced_together(shop, tmp_path):
    """The files of a batch are what its commit holds, beside those of other batches."""
    first, second = batch(ORDERS, 1, LO, HI), batch(ORDERS, 2, at(1), at(2))
    folder = tmp_path / "_errors/bronze/orders/dt=2026-12-11/run_id=run-1"

    def lines(stem):
        return [json.loads(line) for file in sorted(folder.glob(f"{stem}*.json")) for line in file.read_text().splitlines()]

    shop.land(1, [order(1, currency="XXX"), order(2, quantity="x")], LO, HI)
    shop.land(2, [order(3, currency="XXX", days=1.5)], at(1), at(2))
    prefix = "_errors/bronze/orders/dt=2026-12-11/run_id=run-1"
    for of, rejected in ((first, 2), (second, 1), (first, 2)):
        shop.tables.write_errors(ORDERS, of, prefix, rejected=rejected)
    assert sorted(line["original"]["order_id"] for line in lines(first.batch_id)) == ["O1", "O2"]
    assert lines(second.batch_id)[0]["reasons"] == ["currency_known"]
    assert set(lines(second.batch_id)[0]) == {"reasons", "original", "table", "batch_id", "run_id", "row_id"}

    shop.land(1, [order(1), order(2)], LO, HI, holds_rows=True)
    shop.tables.write_errors(ORDERS, first, prefix, rejected=0)

    assert lines(first.batch_id) == []
    assert len(lines(second.batch_id)) == 1
    assert not list(folder.glob("_draft*"))


def test_a_landing_stays_within_its_budget(shop, spark):
    """Small batches cost jobs and questions to the JVM, not rows: a pass more per rule would show here, and a call more per operator."""
    shop.land(1, [order(n, days=0.95) for n in range(20)], LO, HI)

    jobs, asked = cost_of(spark, lambda: shop.land(2, [order(n, days=1.2) for n in range(20)], at(1), at(1) + timedelta(hours=9)))

    assert jobs <= 8
    assert asked <= 1100
