"""The demo shop's rows: plausible, reproducible, within their time; faults are exactly what the ledger says."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from compiler import compile_lake
from local.places import ROOT
from local.shop_faults import kinds_of, plant
from local.shop_files import BUCKET, FOLDER, Treasury, as_csv
from local.shop_rows import CURRENCIES, STATUSES, Order, Period, Rate, make_customers, make_events, make_orders, make_products, make_rates

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
    assert {Decimal(1)} == {Decimal(rate.rate_to_usd) for rate in rates if rate.currency == "USD"}
    assert all(PERIOD.start <= rate.published_at <= END for rate in rates)


def test_faults_are_planted_as_told_and_nothing_else_changes():
    """The ledger must equal the rejects, row for row."""
    sound = orders(100)

    rows, planted = plant(Random(1), sound, each=3)

    assert Counter(dict.fromkeys(kinds_of(Order), 3)) == Counter(fault.kind for fault in planted)
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


def test_events_precede_their_orders_and_are_loaded_before_anybody_reads_them():
    """Redshift does not tell what is not committed yet: what is younger than the contract's safety lag is in nobody's window."""
    bought = orders(800)

    events = make_events(Random(1), bought)

    placed = {f"E{order.order_id[1:]}{number}": order for order in bought[::4] for number in range(3)}
    assert set(placed) == {event.event_id for event in events}
    assert 600 < len(events) < 640
    for event in events:
        assert event.customer_id == placed[event.event_id].customer_id
        assert event.occurred_at < event.recorded_at <= placed[event.event_id].ordered_at - timedelta(minutes=10)


def test_an_event_that_is_sent_twice_differs_in_its_recording_alone():
    """It is accepted, and silver has the event once."""
    events = make_events(Random(1), orders(800))
    twice = [event for event, count in Counter(event.event_id for event in events).items() if count == 2]

    assert twice
    assert 600 == len({event._replace(recorded_at=END) for event in events})
    assert len(events) == len(set(events)) == 600 + len(twice)


@pytest.mark.parametrize(
    ("sound", "kind", "reason", "column", "value"),
    [
        (make_events(Random(1), orders(80)), "bad_enum", "event_type_known", "event_type", "teleport"),
        (make_events(Random(1), orders(80)), "missing_key", "event_id.required", "event_id", None),
        (make_rates(Random(1), PERIOD), "unparsable_number", "rate_to_usd.type", "rate_to_usd", "n/a"),
    ],
)
def test_events_and_rates_have_faults_of_their_own(sound, kind, reason, column, value):
    """Every source has something to reject; nobody's address is in the ledger."""
    rows, planted = plant(Random(1), sound, each=2)

    found = [fault.entry() for fault in planted if fault.kind == kind]

    assert {"Event": "customer_behavior", "Rate": "fx_rates"}[type(sound[0]).__name__] == found[0]["table"]
    assert [(reason, value)] * 2 == [(entry["reason"], entry[column]) for entry in found]
    assert Counter(rows) - Counter(sound) == Counter(fault.row for fault in planted)
    assert "ip_address" not in found[0]


class FakeS3:
    """boto3's client, as far as a bucket is filled and listed."""

    def __init__(self):
        self.objects, self.puts = {}, 0

    def create_bucket(self, *, Bucket):
        assert BUCKET == Bucket

    def put_object(self, *, Bucket, Key, Body):
        self.objects[Key], self.puts = Body, self.puts + 1

    def get_paginator(self, _name):
        return self

    def paginate(self, *, Bucket, Prefix):
        return [{}, {"Contents": [{"Key": key} for key in self.objects if key.startswith(Prefix)]}]


def test_files_are_handed_over_once_where_the_contract_reads_them():
    """A file that is put again would be a new batch; one that lies elsewhere is never read."""
    s3, text = FakeS3(), as_csv([Rate("EUR", END.date(), "1.08", END)])
    treasury = Treasury(s3)

    treasury.put({"a.csv": text})
    treasury.put({"a.csv": "other", "b.csv": text})

    table = compile_lake(ROOT / "lake").table("bronze.fx_rates")
    assert {f"s3://{BUCKET}/{FOLDER}"} == {server.location for server in table.source.servers if server.environment == "local"}
    assert {f"{FOLDER}/a.csv": text.encode(), f"{FOLDER}/b.csv": text.encode()} == s3.objects
    assert 2 == s3.puts
    assert [column.name for column in table.columns] == text.splitlines()[0].split(",")
    assert "EUR,2026-03-31,1.08,2026-03-31T12:00:00+00:00" == text.splitlines()[1]
