"""A real PostgreSQL behind JDBC: windows, clock, types, refusals."""

import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg
import pytest
from servers import PASSWORD, dsn
from shop import column, source, table

from shared.core.errors import DataRejected, MissingColumn, SourceUnavailable, Terminal
from shared.spark.sources import Connection, JdbcSources, Patience

NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)
ORDERS = table(
    "bronze.orders",
    "append",
    [
        column("order_id", key=1, required=True),
        column("amount", "decimal(12,2)"),
        column("ordered_on", "date"),
        column("note"),
        column("updated_at", "timestamp", required=True),
    ],
    source=source(relation="sales.orders"),
)


@pytest.fixture(scope="module")
def port(postgres):
    with psycopg.connect(dsn(postgres), autocommit=True) as connection:
        connection.execute("create table sales.orders (order_id text, amount numeric, ordered_on date, updated_at timestamptz, internal jsonb)")
        connection.execute("grant usage on schema sales to reader")
        connection.execute("grant select on sales.orders to reader")
    yield postgres
    with psycopg.connect(dsn(postgres), autocommit=True) as connection:
        connection.execute("drop table sales.orders cascade")
        connection.execute("revoke pg_read_all_stats from reader")


def sources(spark, port, *, user="owner", password=PASSWORD, waits=None):
    there = Connection(host="127.0.0.1", port=port, database="postgres", username=user, password=password)
    patience = Patience(attempts=2, first_wait_seconds=1.5, sleep=(waits if waits is not None else []).append)
    return JdbcSources(spark=spark, environment="local", connect=lambda table, server: there, patience=patience)


def test_a_window_is_half_open_to_the_microsecond_and_typed(spark, port):
    """lo is in, hi is not; numbers, dates and NULLs arrive as they are; a column the contract does not name is not read."""
    step = timedelta(microseconds=1)
    with psycopg.connect(dsn(port), autocommit=True) as connection:
        connection.execute("truncate sales.orders")
        rows = [
            ("before", NOON - step),
            ("first", NOON),
            ("last", NOON + timedelta(hours=1) - step),
            ("next", NOON + timedelta(hours=1)),
            ("none", None),
        ]
        for name, when in rows:
            connection.execute("insert into sales.orders values (%s, 12.345, '2026-02-28', %s, '{}')", (name, when))
    found = sources(spark, port)

    window = found.window(ORDERS, NOON, NOON + timedelta(hours=1))
    seen = {row["order_id"]: row for row in window.withColumn("at", window["updated_at"].cast("string")).collect()}

    assert set(seen) == {"first", "last"}
    assert seen["first"]["at"] == "2026-11-01 12:00:00.123456"
    assert (seen["first"]["amount"], str(seen["first"]["ordered_on"]), seen["first"]["note"]) == (Decimal("12.345"), "2026-02-28", None)
    assert window.columns == [item.name for item in ORDERS.columns]
    assert found.null_positions(ORDERS) == 1
    assert found.system(ORDERS) == "laptop"


def test_the_clock_tells_the_oldest_open_transaction_or_that_it_cannot(spark, port):
    """A transaction that has only read holds the bound back too: it may still write. Without the right to see others nothing is told."""
    with psycopg.connect(dsn(port)) as open_one:
        began = open_one.execute("select now()").fetchone()[0]
        told = sources(spark, port).clock(ORDERS)
        hidden = sources(spark, port, user="reader").clock(ORDERS)
        with psycopg.connect(dsn(port), autocommit=True) as connection:
            connection.execute("grant pg_read_all_stats to reader")
            granted = sources(spark, port, user="reader").clock(ORDERS)

    after = sources(spark, port).clock(ORDERS)

    assert (told.tells_open, told.oldest_open) == (True, began)
    assert told.now > began
    assert (hidden.tells_open, hidden.oldest_open) == (False, None)
    assert (granted.tells_open, granted.oldest_open) == (True, began)
    assert after.oldest_open > began


def test_a_source_that_lacks_a_required_column_is_refused_by_name(spark, port):
    """Table, column and relation are in the message; an optional one would be NULL."""
    strict = replace(ORDERS, columns=tuple(replace(c, required=True) for c in ORDERS.columns))

    with pytest.raises(MissingColumn, match=r"bronze\.orders: sales\.orders has no column note, which lake/bronze/orders\.yaml requires"):
        sources(spark, port).window(strict, NOON, NOON)


def test_a_source_that_is_down_is_asked_again_and_then_given_up(spark):
    """Waiting helps there; not where it says no."""
    waits = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = free.getsockname()[1]

    with pytest.raises(SourceUnavailable, match="did not answer 2 times"):
        sources(spark, nobody, waits=waits).clock(ORDERS)

    assert waits == [1.5]


def test_a_source_that_says_no_is_not_asked_again_and_no_text_holds_the_password(spark, port):
    """Wrong credentials stop the run, a relation that is not there halts its table; plans and errors are silent about the password."""
    waits = []
    with pytest.raises(Terminal, match="refuses the credentials") as wrong:
        sources(spark, port, password="another secret", waits=waits).clock(ORDERS)
    nowhere = replace(ORDERS, source=replace(ORDERS.source, relation="sales.nowhere"))
    with pytest.raises(DataRejected, match='relation "sales.nowhere" does not exist'):
        sources(spark, port, waits=waits).window(nowhere, NOON, NOON)
    window = sources(spark, port).window(ORDERS, NOON, NOON)
    there = Connection(host="h", port=1, database="d", username="u", password=PASSWORD)

    assert waits == []
    assert "another secret" not in str(wrong.value)
    for text in (window._jdf.queryExecution().toString(), window._jdf.queryExecution().optimizedPlan().toJSON(), repr(there), str(there)):
        assert PASSWORD not in text


def test_a_refusal_that_would_show_a_value_gives_its_sqlstate_alone(spark, port):
    """The database writes the value it cannot read into its sentence; it would stand in the evidence and the alert."""
    with psycopg.connect(dsn(port), autocommit=True) as connection:
        connection.execute(
            "create view sales.broken as select (order_id || '@example.com')::int::text as order_id, amount, ordered_on, updated_at from sales.orders"
        )
        connection.execute("insert into sales.orders values ('ann', 1, '2026-02-28', %s, '{}')", (NOON,))
    broken = replace(ORDERS, source=replace(ORDERS.source, relation="sales.broken"))
    found = sources(spark, port)

    with pytest.raises(DataRejected, match=r"refuses the query; it said: SQLSTATE 22P02\.") as refused:
        found.patiently(broken, lambda: found.window(broken, NOON, NOON + timedelta(days=1)).collect())

    assert "ann@" not in str(refused.value)
