"""The demo lake's joins through time, run by DuckDB: they mean what a plain replay in Python means, and their affected keys miss none."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler import compile_lake
from tests.histories import replayed

LAKE = compile_lake(Path(__file__).parents[2] / "lake")
COMPUTED = ("silver.customer_activity", "gold.fact_behavior", "gold.fact_sales")
INPUTS = sorted({name for table in COMPUTED for name in LAKE.table(table).inputs} - set(COMPUTED))
START = datetime(2026, 11, 1, tzinfo=UTC).replace(tzinfo=None)  # DuckDB's timestamps have no zone
MOMENTS = st.integers(0, 5).map(lambda number: START + timedelta(hours=number))
DAYS = st.sampled_from((0, 1, 7, 8, 15)).map(lambda number: (START + timedelta(days=number)).date())  # on both sides of a week
NAMES = {name: st.sampled_from(values) for name, values in {"customer_id": "AB", "country": ("DE", "US"), "tier": ("gold", "silver")}.items()}
CURRENCIES = st.sampled_from(("EUR", "GBP"))


def rows(key, **columns):
    """At most seven rows, each key once."""
    return st.lists(st.fixed_dictionaries(columns), max_size=7, unique_by=lambda row: tuple(row[name] for name in key))


EVENTS = rows(["event_id"], event_id=st.sampled_from("123456789"), customer_id=NAMES["customer_id"], occurred_at=MOMENTS)
CHANGES = rows(
    ["customer_id", "updated_at", "country", "tier", "is_deleted"], **NAMES, updated_at=MOMENTS, is_deleted=st.sampled_from((False, False, True))
)
ORDERS = rows(
    ["order_id"],
    order_id=st.sampled_from("123456789"),
    customer_id=NAMES["customer_id"],
    product_id=st.sampled_from("PQ"),
    ordered_at=MOMENTS,
    order_date=DAYS,
    currency=CURRENCIES,
    amount=st.just(Decimal("10.00")),
)
RATES = rows(["currency", "rate_date"], currency=CURRENCIES, rate_date=DAYS, rate_to_usd=st.integers(1, 9).map(Decimal))
PRODUCTS = st.lists(st.sampled_from("PQ"), unique=True).map(lambda ids: [{"product_id": name, "product_sk": ord(name)} for name in ids])


@st.composite
def lakes(draw):
    """Rows of every input, those that are made from others made from them."""
    given = {"silver.customer_behavior": draw(EVENTS), "silver.customer_changes": draw(CHANGES), "silver.orders": draw(ORDERS)}
    given |= {"silver.fx_rates": draw(RATES), "gold.dim_product": draw(PRODUCTS), "gold.dim_customer": customers(given["silver.customer_changes"])}
    return given


def customers(changes):
    events = [change | {"updated_at": change["updated_at"].replace(tzinfo=UTC)} for change in changes]
    versions = replayed(
        events, natural=("customer_id",), tracked=("country", "tier"), latest=(), at="updated_at", is_delete=lambda event: event["is_deleted"]
    )
    return [
        {name: value.replace(tzinfo=None) if isinstance(value, datetime) else value for name, value in version.items() if name != "opened"}
        | {"customer_sk": ord(version["customer_id"]) * 100 + version["opened"].hour + 1}
        for version in versions
    ]


@pytest.fixture(scope="module")
def engine():
    with closing(duckdb.connect()) as connection:
        connection.execute("ATTACH ':memory:' AS changed")
        for catalog in ("memory", "changed"):
            connection.execute(f"CREATE SCHEMA {catalog}.silver; CREATE SCHEMA {catalog}.gold")
            for name in {*INPUTS, *COMPUTED}:
                columns = ", ".join(f"{column.name} {column.type}" for column in LAKE.table(name).columns)
                connection.execute(f"CREATE TABLE {catalog}.{name} ({columns})")
        yield connection


def filled(engine, name, rows):
    engine.execute(f"DELETE FROM {name}")
    if rows:
        given = pa.Table.from_pylist(rows)
        engine.register("given", given)
        engine.execute(f"INSERT INTO {name} BY NAME SELECT * FROM given")


def feed(engine, name, old, new):
    """What `changed` says of a table: rows as they were and as they are."""
    filled(engine, f"changed.{name}", [row for row in old if row not in new] + [row for row in new if row not in old])


def asked(engine, sql):
    found = engine.execute(in_duckdb(sql))
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


@cache
def in_duckdb(sql):
    return sqlglot.transpile(sql, read="spark", write="duckdb")[0]


def computed(engine, lake):
    """Every computed table by its key, in order, each from the ones before."""
    made = {}
    for name in INPUTS:
        filled(engine, name, lake[name])
    for name in COMPUTED:
        found = asked(engine, LAKE.table(name).sql)
        made[name] = {row[LAKE.table(name).key[0]]: row for row in found}
        assert len(found) == len(made[name]), f"{name}: a key comes out twice"
        filled(engine, name, found)
    return made


@settings(max_examples=40)
@given(lake=lakes())
def test_an_event_knows_what_its_customer_was_and_had_ordered_at_that_moment(engine, lake):
    """Changes and orders at one time, deletes and returns, events before the first change: none doubles an event or shows it the future."""
    activity = computed(engine, lake)["silver.customer_activity"]

    expected = {}
    for event in lake["silver.customer_behavior"]:
        state = state_at(lake["silver.customer_changes"], event["customer_id"], event["occurred_at"]) or {}
        times = [order["ordered_at"] for order in lake["silver.orders"] if order["customer_id"] == event["customer_id"]]
        before = [time for time in times if time <= event["occurred_at"]]
        expected[event["event_id"]] = (state.get("country"), state.get("tier"), len(before), max(before, default=None))
    assert expected == {key: (row["country"], row["tier"], row["orders_so_far"], row["last_ordered_at"]) for key, row in activity.items()}


@settings(max_examples=40)
@given(lake=lakes())
def test_an_event_in_gold_points_at_the_version_that_silver_saw(engine, lake):
    """Activity and history are cut from one log by two ways; only states of one time, which neither source nor log can order, may part them."""
    made = computed(engine, lake)
    versions = {row["customer_sk"]: row for row in lake["gold.dim_customer"]} | {0: {"country": None, "tier": None}}
    living = [(row["customer_id"], row["updated_at"]) for row in lake["silver.customer_changes"] if not row["is_deleted"]]
    ordered = {name for name in "AB" if len({at for of, at in living if of == name}) == sum(of == name for of, _ in living)}

    for key, event in made["silver.customer_activity"].items():
        version = versions[made["gold.fact_behavior"][key]["customer_sk"]]
        assert (event["country"] is None) == (version["country"] is None)
        if event["customer_id"] in ordered:
            assert (version["country"], version["tier"]) == (event["country"], event["tier"])


@settings(max_examples=40)
@given(lake=lakes())
def test_an_order_is_worth_the_last_rate_of_the_seven_days_before(engine, lake):
    """A weekend's order takes Friday's rate; a currency that is published no more gives no amount, and no order is lost or doubled by it."""
    sales = computed(engine, lake)["gold.fact_sales"]

    expected = {}
    for order in lake["silver.orders"]:
        rates = {row["rate_date"]: row["rate_to_usd"] for row in lake["silver.fx_rates"] if row["currency"] == order["currency"]}
        days = [day for day in rates if timedelta(0) <= order["order_date"] - day <= timedelta(days=7)]
        expected[order["order_id"]] = order["amount"] * rates[max(days)] if days else None
    assert expected == {key: row["amount_usd"] for key, row in sales.items()}


@settings(max_examples=40)
@given(before=lakes(), after=lakes(), moved=st.sets(st.sampled_from(INPUTS), min_size=1, max_size=2))
def test_every_key_whose_row_changes_is_among_the_affected(engine, before, after, moved):
    """Whatever moves in whichever inputs, a late rate or a dimension cut anew among them: what is not recomputed would not have changed."""
    after = before | {name: rows for name, rows in after.items() if name in moved}

    was, now = computed(engine, before), computed(engine, after)
    for name in INPUTS:
        feed(engine, name, before[name], after[name])
    for name in COMPUTED:
        old, new = was[name], now[name]
        feed(engine, name, list(old.values()), list(new.values()))
        affected = {next(iter(row.values())) for row in asked(engine, LAKE.table(name).affected_sql)}
        assert {key for key in old | new if old.get(key) != new.get(key)} <= affected, name


def state_at(changes, customer, moment):
    """Of a customer's changes: the last one up to then, unless it is a delete; before the first living state, that one."""
    mine = sorted((row for row in changes if row["customer_id"] == customer), key=lambda row: [row[name] for name in ORDERED_BY])
    heard = list({row["updated_at"]: row for row in mine}.values())
    living = [row for row in heard if not row["is_deleted"]]
    if not living or moment < living[0]["updated_at"]:
        return living[0] if living else None
    last = [row for row in heard if row["updated_at"] <= moment][-1]
    return None if last["is_deleted"] else last


ORDERED_BY = ("updated_at", "is_deleted", "country", "tier")
