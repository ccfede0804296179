"""A compatible change of contracts reaches bronze, silver and gold by the next run, without a hand, and incremental still equals full."""

from dataclasses import replace

import pytest
from shop import CUSTOMERS, FACT, ORDERS, ORDERS_GIVEN, SILVER_ORDERS, Shop, at, column, order, with_columns

from shared.core.ports import InputRead

BEYOND_INT = 3_000_000_000


def widened(of, kinds, **changes):
    return replace(of, columns=tuple(replace(c, type=kinds.get(c.name, c.type)) for c in of.columns), **changes)


WIDER, WIDER_SILVER = (widened(with_columns(of, column("note")), {"quantity": "bigint", "amount": "decimal(14,2)"}) for of in (ORDERS, SILVER_ORDERS))
NOTED = with_columns(FACT, column("note"), sql=FACT.sql.replace("o.order_id,", "o.order_id, o.note,"))
COUNTED = widened(
    with_columns(CUSTOMERS, column("noted", "bigint"), sql=CUSTOMERS.sql.replace("count(*)", "count(note) AS noted, count(*)")),
    {"spent": "decimal(24,2)"},
)


@pytest.fixture
def shop(spark, tmp_path):
    """Three orders of two customers, landed and merged under the contracts as they were."""
    shop = Shop(spark, tmp_path)
    shop.create(ORDERS, SILVER_ORDERS)
    shop.land(1, [order(1, customer="C1"), order(2, customer="C2", days=0.99), order(3, customer="C2", days=0.98)], at(0), at(1))
    return shop, shop.merge(after=0, up_to=1).version


def read(table, version, consumed=None):
    return InputRead(table=table, version=version, consumed=consumed, overlay=None)


def stage(shop, of, inputs, *, version, rebuild=False):
    return shop.stage(of, inputs, version=version, rebuild=rebuild or version is None)


def publish(shop, of, inputs, *, version, rebuild=False):
    """Stage and apply; what was staged."""
    path, done = stage(shop, of, inputs, version=version, rebuild=rebuild)
    shop.publish((of, shop.ref(of, path, done, base=version)))
    return done


def test_columns_gained_and_widened_reach_every_layer_and_no_row_comes_twice(shop):
    """Rows from before hold NULL until the source shows them again; a row that the lookback shows as it was is still the same row."""
    shop, silver = shop
    shop.sources.schemas["bronze.orders"] = f"{ORDERS_GIVEN}, note string"
    new = order(4, quantity=str(BEYOND_INT), days=1.5)
    shown = [(*order(2, customer="C2", days=0.99), None), (*order(3, customer="C2", days=0.98), "gift"), (*new, "fragile")]

    publish(shop, CUSTOMERS, [read(SILVER_ORDERS, silver)], version=None)
    publish(shop, FACT, [read(CUSTOMERS, 1), read(SILVER_ORDERS, silver)], version=None)
    before = shop.merge(WIDER_SILVER, WIDER, after=0, up_to=1, rebuild=True)
    fact = publish(shop, NOTED, [read(CUSTOMERS, 1), read(WIDER_SILVER, before.version)], version=1, rebuild=True)
    landed = shop.land(2, shown, at(1), at(2), of=WIDER)
    after = shop.merge(WIDER_SILVER, WIDER, after=1, up_to=2)

    assert (0, 0, True) == (fact.upserts, fact.deletes, fact.reshapes)
    assert (3, "note") == (shop.versions(FACT), shop.read(FACT).columns[-1]), "a commit without a row, so that it can be asked for"
    assert ["run-1", "upserts"] == [shop.metadata(FACT, 2)[0][name] for name in ("run", "phase")]
    assert [("O1", None), ("O2", None), ("O3", None)] == shop.rows(SILVER_ORDERS, "order_id", "note", version=before.version)
    assert (1, 2, 0) == (landed.counts.seen, landed.counts.accepted, landed.counts.rejected)
    assert ["widen", "batch"] == [shop.metadata(ORDERS, version)[0]["kind"] for version in (landed.version - 1, landed.version)]
    assert {("bigint", "decimal(14,2)")} == {
        tuple(dict(shop.read(of).dtypes)[name] for name in ("quantity", "amount")) for of in (ORDERS, SILVER_ORDERS)
    }
    assert ("O4", "fragile", BEYOND_INT) == shop.rows(SILVER_ORDERS, "order_id", "note", "quantity")[-1]
    assert 4 == len(shop.rows(SILVER_ORDERS))

    customers = publish(shop, COUNTED, [read(WIDER_SILVER, after.version)], version=1, rebuild=True)
    publish(shop, NOTED, [read(COUNTED, 2, 1), read(WIDER_SILVER, after.version, before.version)], version=2)

    assert ["customer_id", "orders", "spent", "noted"] == shop.read(CUSTOMERS).columns
    assert ("decimal(24,2)", 4) == (dict(shop.read(CUSTOMERS).dtypes)["spent"], sum(orders for (orders,) in shop.rows(CUSTOMERS, "orders")))
    assert (2, 3, 4) == (customers.upserts, shop.versions(CUSTOMERS), len(shop.rows(FACT)))
    assert shop.merge(WIDER_SILVER, WIDER, after=0, up_to=2, rebuild=True).unchanged
    silver = read(WIDER_SILVER, after.version)
    for of, inputs, version in ((COUNTED, [silver], 2), (NOTED, [read(COUNTED, 2), silver], 3)):
        _, whole = stage(shop, of, inputs, version=version, rebuild=True)
        assert (0, 0, False) == (whole.upserts, whole.deletes, whole.reshapes), of.name


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
