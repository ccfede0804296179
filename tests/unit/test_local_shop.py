"""The demo shop's rows: plausible, reproducible, within their time; faults are exactly what the ledger says."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from local.shop_faults import KINDS, plant
from local.shop_rows import CURRENCIES, STATUSES, Period, make_customers, make_orders, make_products, make_rates

END = datetime(2026, 3, 31, 12, tzinfo=UTC)
PERIOD = Period(start=END - timedelta(days=30), end=END)


def orders(count, seed="s"):
    random = Random(seed)
    products = [(row.product_id, row.price) for row in make_products(random, range(1, 11), PERIOD)]
    return make_orders(random, range(1, count + 1), customers=["C000000001", "C000000002"], products=products, period=PERIOD)


def test_the_same_seed_gives_the_same_rows():
    """A run can be repeated."""
    assert orders(50) == orders(50)
    assert orders(50) != orders(50, seed="other")


def test_nothing_is_dated_after_the_moment_of_filling():
    """A row of the future would never be inside a window."""
    rows = [*orders(500), *make_customers(Random(1), range(1, 50), PERIOD), *make_products(Random(1), range(1, 50), PERIOD)]

    assert all(PERIOD.start <= row.updated_at <= END for row in rows)
    assert all(row.ordered_at <= row.updated_at for row in orders(500))


def test_orders_are_sound():
    """Without planted faults nothing is rejected."""
    for row in orders(300):
        assert row.currency in CURRENCIES
        assert row.status in STATUSES
        assert int(row.quantity) >= 1
        assert Decimal(row.amount) > 0


def test_every_day_has_a_rate_for_every_currency():
    """An amount of any day can be converted; a dollar is a dollar."""
    rates = make_rates(Random(1), PERIOD)

    assert {(PERIOD.start.date() + timedelta(days=n), currency) for n in range(31) for currency in CURRENCIES} == {
        (r.rate_date, r.currency) for r in rates
    }
    assert {Decimal(1)} == {rate.rate_to_usd for rate in rates if rate.currency == "USD"}
    assert all(PERIOD.start <= rate.updated_at <= END for rate in rates)


def test_faults_are_planted_as_told_and_nothing_else_changes():
    """The ledger must equal the rejects, row for row."""
    sound = orders(100)

    rows, planted = plant(Random(1), sound, each=3)

    assert Counter(dict.fromkeys(KINDS, 3)) == Counter(fault.kind for fault in planted)
    assert Counter(rows) - Counter(sound) == Counter(fault.row for fault in planted)
    assert 12 == sum((Counter(sound) - Counter(rows)).values())


@pytest.mark.parametrize(
    ("kind", "reason", "column", "value"),
    [
        ("bad_enum", "currency_known", "currency", "XXX"),
        ("unparsable_number", "quantity.type", "quantity", "three"),
        ("missing_key", "order_id.required", "order_id", None),
    ],
)
def test_a_fault_is_recorded_with_what_must_reject_it(kind, reason, column, value):
    """The line identifies the row, and holds nobody's address."""
    _, planted = plant(Random(1), orders(20), each=1)

    entry = next(fault.entry() for fault in planted if fault.kind == kind)

    assert (reason, value) == (entry["reason"], entry[column])
    assert "shipping_address" not in entry


def test_a_negative_amount_is_the_same_amount_below_zero():
    """Only the sign is wrong."""
    sound = {row.order_id: row for row in orders(20)}
    _, planted = plant(Random(1), list(sound.values()), each=1)

    fault = next(fault for fault in planted if fault.kind == "negative_amount")

    assert f"-{sound[fault.row.order_id].amount}" == fault.row.amount


def test_too_few_orders_take_no_faults():
    """A tiny day is not all faults."""
    assert (orders(4), []) == plant(Random(1), orders(4), each=2)
