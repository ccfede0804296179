"""A compatible change of contracts reaches bronze, silver and gold by the next run, without a hand, and incremental still equals full."""

from dataclasses import replace

import pytest
from shop import CUSTOMERS, FACT, ORDERS, ORDERS_GIVEN, SILVER_ORDERS, WRITER, Shop, at, column, order, with_columns

from shared.core.messages import ChangeSetRef
from shared.core.ports import InputRead

WIDER, WIDER_SILVER = (with_columns(of, column("note")) for of in (ORDERS, SILVER_ORDERS))
COUNTED = with_columns(CUSTOMERS, column("noted", "bigint"), sql=CUSTOMERS.sql.replace("count(*)", "count(note) AS noted, count(*)"))


@pytest.fixture
def shop(spark, tmp_path):
    """Three orders of two customers, landed and brought to gold under the contracts as they were."""
    shop = Shop(spark, tmp_path)
    shop.create(ORDERS, SILVER_ORDERS)
    shop.land(1, [order(1, customer="C1"), order(2, customer="C2", days=0.99), order(3, customer="C2", days=0.98)], at(0), at(1))
    silver = shop.merge(after=0, up_to=1).version
    publish(shop, CUSTOMERS, [read(SILVER_ORDERS, silver)], version=None)
    publish(shop, FACT, [read(CUSTOMERS, 1), read(SILVER_ORDERS, silver)], version=None)
    return shop, silver


def read(table, version, consumed=None):
    return InputRead(table=table, version=version, consumed=consumed, overlay=None)


def merge_wider(shop, *, after, up_to, rebuild=False):
    return shop.tables.merge(WIDER_SILVER, WIDER, after_seq=after, up_to_seq=up_to, rebuild=rebuild, writer=WRITER, guard=shop.guard)


def stage(shop, of, inputs, *, version, rebuild=False):
    return shop.stage(of, inputs, version=version, rebuild=rebuild or version is None)


def publish(shop, of, inputs, *, version, rebuild=False):
    """Stage and apply; what was staged."""
    path, done = stage(shop, of, inputs, version=version, rebuild=rebuild)
    ref = ChangeSetRef(table=of.name, path=path, digest=done.digest, base_version=version, upserts=done.upserts, deletes=done.deletes)
    for phase in ("upserts", "deletes"):
        shop.tables.publish(of, ref, phase, meta_run="run-1", writer=WRITER, guard=shop.guard)
    return done


def test_a_column_that_the_contract_gained_reaches_every_layer_and_no_row_comes_twice(shop):
    """Rows from before hold NULL until the source shows them again; a row that the lookback shows as it was is still the same row."""
    shop, silver = shop
    shop.sources.schemas["bronze.orders"] = f"{ORDERS_GIVEN}, note string"
    again, noted, new = (*order(2, customer="C2", days=0.99), None), (*order(3, customer="C2", days=0.98), "gift"), (*order(4, days=1.5), "fragile")

    before = merge_wider(shop, after=0, up_to=1, rebuild=True)
    landed = shop.land(2, [again, noted, new], at(1), at(2), of=WIDER)
    after = merge_wider(shop, after=1, up_to=2)

    assert (1, 2, 0) == (landed.counts.seen, landed.counts.accepted, landed.counts.rejected)
    assert [("O1", None), ("O2", None), ("O3", None)] == shop.rows(SILVER_ORDERS, "order_id", "note", version=before.version)
    assert {"O1": None, "O2": None, "O4": "fragile"}.items() <= dict(shop.rows(SILVER_ORDERS, "order_id", "note")).items()
    assert 4 == len(shop.rows(SILVER_ORDERS))

    customers = publish(shop, COUNTED, [read(WIDER_SILVER, after.version)], version=1, rebuild=True)
    fact = publish(shop, FACT, [read(COUNTED, 2, 1), read(WIDER_SILVER, after.version, silver)], version=1)

    assert ["customer_id", "orders", "spent", "noted"] == shop.read(CUSTOMERS).columns
    assert 4 == sum(orders for (orders,) in shop.rows(CUSTOMERS, "orders"))
    assert (2, 4) == (customers.upserts, len(shop.rows(FACT)))
    assert fact.upserts > 0
    assert merge_wider(shop, after=0, up_to=2, rebuild=True).unchanged
    for of, inputs, version in ((COUNTED, [read(WIDER_SILVER, after.version)], 2), (FACT, [read(COUNTED, 2), read(WIDER_SILVER, after.version)], 2)):
        _, whole = stage(shop, of, inputs, version=version, rebuild=True)
        assert (0, 0) == (whole.upserts, whole.deletes), of.name


def test_a_looser_rule_lets_in_what_it_kept_out_and_changes_no_table_that_is_there(shop):
    """The schema, the rows and the versions of silver stay; the next batch is judged by the new words."""
    shop, silver = shop
    pounds = order(5, currency="GBP", days=1.5)
    looser = replace(
        ORDERS,
        rules=tuple(replace(r, kwargs={**r.kwargs, "value_set": ["USD", "EUR", "GBP"]}) if r.id == "currency_known" else r for r in ORDERS.rules),
    )

    refused = shop.land(2, [pounds], at(1), at(2))
    landed = shop.land(2, [pounds], at(1), at(2), of=looser, holds_rows=True)

    assert (0, 1) == (refused.counts.accepted, refused.counts.rejected)
    assert (1, 0) == (landed.counts.accepted, landed.counts.rejected)
    assert shop.merge(after=1, up_to=1).unchanged
    done = shop.merge(after=1, up_to=2)
    assert (silver + 1, 1) == (done.version, done.counts.inserted)
