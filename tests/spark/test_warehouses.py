"""The real JDBC drivers of PostgreSQL, Redshift and Snowflake, each against what stands in for its database: the same questions, the same answers."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from py4j.protocol import Py4JJavaError
from servers import PASSWORD, REDSHIFTS_USER
from shop import column, source, table

from local.redshift_relay import RedshiftRelay
from shared.core.errors import DataRejected, MissingColumn, Terminal, WidenedColumn
from shared.spark.sources import Connection, JdbcSources, Patience
from shared.spark.sources.asking import asking
from shared.spark.sources.jdbc import _DIALECTS
from shared.spec.lake import Parallel

# The last Sunday of October: 02:00 to 03:00 happens twice in Berlin, where every session here believes to be.
TWICE = datetime(2026, 10, 25, 0, 30, 0, 123456, tzinfo=UTC)
STEP = timedelta(microseconds=1)
KINDS = ("postgres", "redshift", "snowflake")
COLUMNS = [
    column("order_id", key=1, required=True),
    column("number", "bigint"),
    column("amount", "decimal(12,2)"),
    column("paid", "boolean"),
    column("ordered_on", "date"),
    column("local_at", "timestamp"),
    column("note"),
    column("updated_at", "timestamp", required=True),
]
_CREATE = """create table sales.{name} (order_id varchar(20), number int, amount numeric(12,2), paid boolean, ordered_on date, local_at {ntz},
    internal varchar(20), updated_at {tz})"""


@dataclass
class Warehouse:
    """One kind of database, as tests fill and read it."""

    spark: object
    kind: str
    connection: Connection
    tz: str
    ntz: str
    made: list = field(default_factory=list)

    def execute(self, *statements):
        with asking(self.spark, _DIALECTS[self.kind], self.connection) as ask:
            for statement in statements:
                made = ask._connection.createStatement()
                made.execute(statement)
                made.close()

    def make(self, name, rows=()):
        """A table of orders: (order_id, number, updated_at as UTC text), …"""
        self.made.append(name)
        self.execute(_CREATE.format(name=name, tz=self.tz, ntz=self.ntz))
        for start in range(0, len(rows), 100):
            values = ", ".join(
                f"('{id}', {'null' if number is None else number}, 12.30, true, '2026-02-28', '2026-10-25 02:30:00', 'x', "
                + ("null" if at is None else f"'{at}'")
                + ")"
                for id, number, at in rows[start : start + 100]
            )
            self.execute(f"insert into sales.{name} values {values}")

    def table(self, name, columns=COLUMNS, **changes):
        made = source(relation=f"sales.{name}")
        servers = (replace(made.servers[0], type=self.kind),)
        mark = {key: changes.pop(key) for key in ("lookback", "start_at", "max_window") if key in changes}
        if "watermark" in changes:
            mark["column"] = changes.pop("watermark")
        return table("bronze.orders", "append", columns, source=replace(made, servers=servers, watermark=replace(made.watermark, **mark), **changes))

    def sources(self, **changes):
        there = replace(self.connection, **changes)
        patience = Patience(attempts=2, sleep=lambda seconds: None)
        return JdbcSources(spark=self.spark, environment="local", connect=lambda table, server: there, patience=patience)

    def drop(self):
        self.execute(*(f"drop table sales.{name}" for name in self.made))


@pytest.fixture(scope="module", params=KINDS)
def warehouse(request, spark, postgres):
    kind = request.param
    if kind == "snowflake":
        port, relay = request.getfixturevalue("fakesnow"), None
        there = Connection(
            host="127.0.0.1", port=port, database="SHOP", username="u", password=PASSWORD, schema="SALES", account="fakesnow", warehouse="WH"
        )
        made = Warehouse(spark, kind, there, "timestamp_tz", "timestamp_ntz")
        made.execute("create database if not exists shop", "create schema if not exists shop.sales")
        yield made
        made.drop()
        return
    relay = RedshiftRelay(port=postgres)
    port, user = (relay.port, REDSHIFTS_USER) if kind == "redshift" else (postgres, "owner")
    there = Connection(host="127.0.0.1", port=port, database="postgres", username=user, password=PASSWORD, schema="sales")
    made = Warehouse(spark, kind, there, "timestamptz", "timestamp")
    with relay:
        yield made
        made.drop()


def text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def seen(frame, *names):
    return sorted(tuple(row) for row in frame.select(*names).collect())


def test_a_window_is_half_open_to_the_microsecond_and_times_come_in_utc(warehouse):
    """lo is in, hi is not, also in the hour that a session in Berlin sees twice; what the contract does not name is told and not read."""
    rows = [("before", 1, text(TWICE - STEP)), ("first", 2, text(TWICE)), ("last", 3, text(TWICE + timedelta(hours=1) - STEP))]
    warehouse.make("windows", [*rows, ("next", 4, text(TWICE + timedelta(hours=1))), ("none", 5, None)])
    contract, found = warehouse.table("windows"), warehouse.sources()

    window = found.window(contract, TWICE, TWICE + timedelta(hours=1))
    read = {row["order_id"]: row for row in window.selectExpr("*", "cast(updated_at as string) as at", "cast(local_at as string) as local").collect()}

    assert {"first", "last"} == set(read)
    assert "2026-10-25 00:30:00.123456" == read["first"]["at"]
    assert "2026-10-25 02:30:00" == read["first"]["local"], "a time without zone is taken for UTC, whatever the session's zone"
    assert (2, Decimal("12.30"), True, date(2026, 2, 28), None) == tuple(read["first"][n] for n in ("number", "amount", "paid", "ordered_on", "note"))
    assert [item.name for item in COLUMNS] == window.columns
    assert ("internal",) == found.unknown_columns(contract)
    assert 1 == found.null_positions(contract)


def test_the_clock_is_the_sources_own_in_utc(warehouse):
    """Whatever the session's zone; only PostgreSQL tells its open transactions."""
    warehouse.make("clocks")
    contract = warehouse.table("clocks")

    told = warehouse.sources().clock(contract)

    assert abs(told.now - datetime.now(UTC)) < timedelta(minutes=5)
    assert (warehouse.kind == "postgres") is told.tells_open is (told.oldest_open is not None)
    assert told.highest is None


@pytest.mark.parametrize("warehouse", ["postgres", "redshift"], indirect=True)  # fakesnow has one zone
def test_a_session_is_in_utc_although_its_user_is_not(warehouse):
    """Redshift's clock is told in the session's zone: in a zone with summer time one hour of the year would be told wrong."""
    with asking(warehouse.spark, _DIALECTS[warehouse.kind], warehouse.connection) as ask:
        assert "UTC" == ask.row("show timezone")["timezone"]


def test_a_window_of_a_time_without_zone_is_cut_in_utc(warehouse):
    """The column says no zone and the session's is another: neither moves the window."""
    warehouse.make("locals", [("a", 1, text(TWICE))])
    contract, at = warehouse.table("locals", watermark="local_at"), datetime(2026, 10, 25, 2, 30, tzinfo=UTC)
    found = warehouse.sources()

    assert ["a"] == [row["order_id"] for row in found.window(contract, at, at + STEP).collect()]
    assert [] == found.window(contract, at - timedelta(hours=2), at).collect()


def test_windows_are_cut_by_numbers_and_by_dates_too(warehouse):
    """The greatest committed number is the source's to tell; an empty table has none."""
    warehouse.make("numbers", [("a", 7, None), ("b", 8, None), ("c", 9, None), ("d", None, None)])
    warehouse.make("no_numbers")
    numbers, days = warehouse.table("numbers", watermark="number", start_at=0), warehouse.table("numbers", watermark="ordered_on", start_at=date.min)
    empty = warehouse.table("no_numbers", watermark="number", start_at=0)
    numbers, days, empty = (
        replace(of, columns=tuple(replace(c, required=c.name == "order_id") for c in of.columns)) for of in (numbers, days, empty)
    )
    found = warehouse.sources()

    assert ("a", "b") == tuple(sorted(row["order_id"] for row in found.window(numbers, 7, 9).collect()))
    assert 4 == found.window(days, date(2026, 2, 28), date(2026, 3, 1)).count()
    assert 0 == found.window(days, date(2026, 2, 27), date(2026, 2, 28)).count()
    assert 9 == found.clock(numbers).highest
    assert found.clock(empty).highest is None


@pytest.mark.parametrize("by", ["number", "ordered_on", "updated_at"])
def test_a_parallel_read_gives_what_one_connection_gives(warehouse, by):
    """Every row of the window once, those without a value of the column among them, in as many ranges as the values allow."""
    if "parts" not in warehouse.made:
        rows = [(f"O{n:03}", None if n % 7 == 0 else n * n, text(TWICE + timedelta(minutes=n))) for n in range(60)]
        warehouse.make("parts", rows)
        days = " ".join(f"when number < {n * n} then cast('2026-03-{n % 28 + 1:02}' as date)" for n in range(1, 60, 5))
        warehouse.execute(f"update sales.parts set ordered_on = case {days} end")
    lo, hi = TWICE + timedelta(minutes=3), TWICE + timedelta(minutes=55)
    whole = warehouse.sources().window(warehouse.table("parts"), lo, hi)

    parted = warehouse.sources().window(warehouse.table("parts", parallel=Parallel(column=by, parts=4)), lo, hi)

    assert (1, 4) == (whole.rdd.getNumPartitions(), parted.rdd.getNumPartitions())
    assert seen(whole, "order_id", "number", "updated_at") == seen(parted, "order_id", "number", "updated_at")
    assert 52 == parted.count()
    sizes = [row["count"] for row in parted.selectExpr("spark_partition_id() as part").groupBy("part").count().collect()]
    assert len(sizes) > 1, "the ranges divide the rows"


def test_a_parallel_read_of_nothing_is_one_read(warehouse):
    """Without rows there are no ranges; one value makes one range."""
    warehouse.make("nothing")
    contract = warehouse.table("nothing", parallel=Parallel(column="number", parts=4))

    assert [] == warehouse.sources().window(contract, TWICE, TWICE + STEP).collect()


def test_a_wider_source_halts_until_the_contract_accepts_it(warehouse):
    """The message has both types and what to write; a number of no declared size, and text, are conformed value by value as ever."""
    warehouse.make("widths", [("a", 1, text(TWICE))])
    narrow = [replace(c, type={"amount": "decimal(10,2)", "local_at": "date", "order_id": "int"}.get(c.name, c.type)) for c in COLUMNS]
    contract = warehouse.table("widths", narrow)

    with pytest.raises(WidenedColumn, match=r"amount is \w+\(12,2\) at the source and decimal\(10,2\) in the contract") as refused:
        warehouse.sources().window(contract, TWICE, TWICE + STEP)
    accepted = warehouse.sources().window(replace(contract, source=replace(contract.source, widening="accept")), TWICE, TWICE + STEP)

    assert "local_at is" in str(refused.value)
    assert "order_id" not in str(refused.value)
    assert "Write widening: accept beside `reject_tolerance`" in str(refused.value)
    assert 1 == accepted.count()


def test_what_the_source_lacks_and_what_it_refuses_halts_the_table(warehouse):
    """By name; not by waiting."""
    warehouse.make("lacking")
    strict = warehouse.table("lacking", [replace(c, required=True) for c in COLUMNS])
    nowhere = warehouse.table("nowhere")
    by_text = warehouse.table("lacking", parallel=Parallel(column="note", parts=2))

    with pytest.raises(MissingColumn, match=r"sales\.lacking has no column note, which lake/bronze/orders\.yaml requires"):
        warehouse.sources().window(strict, TWICE, TWICE)
    with pytest.raises(DataRejected, match=r"(?i)its source refuses the query; it said: .*nowhere"):
        warehouse.sources().window(nowhere, TWICE, TWICE)
    with pytest.raises(MissingColumn, match="note"):
        warehouse.sources().window(by_text, TWICE, TWICE)


def test_wrong_credentials_stop_the_run_and_are_in_no_text(warehouse):
    """A second try would lock the user out. The stand-in for Snowflake lets everybody in: its driver's own exception is thrown instead."""
    warehouse.make("secrets")
    contract, found = warehouse.table("secrets"), warehouse.sources(password="another secret")
    if warehouse.kind == "snowflake":
        jvm = warehouse.spark._jvm
        thrown = jvm.net.snowflake.client.api.exception.SnowflakeSQLException("Incorrect username or password was specified.", "08001", 390100)
        found.clock = lambda table: found.patiently(table, lambda: _throw(thrown))

    with pytest.raises(Terminal, match="refuses the credentials") as refused:
        found.clock(contract)

    assert "another secret" not in str(refused.value)
    assert PASSWORD not in repr(warehouse.connection)


def _throw(exception):
    raise Py4JJavaError("an error", exception)


def test_a_password_is_in_no_plan(warehouse):
    """Plans are logged."""
    warehouse.make("plans")

    window = warehouse.sources().window(warehouse.table("plans"), TWICE, TWICE)

    for told in (window._jdf.queryExecution().toString(), window._jdf.queryExecution().optimizedPlan().toJSON()):
        assert PASSWORD not in told


@pytest.mark.parametrize("warehouse", ["postgres", "redshift"], indirect=True)  # fakesnow stores 64 bits
def test_a_number_beyond_64_bits_is_one_reject_not_the_end_of_the_read(warehouse):
    """An integer of no declared size arrives as the decimal that holds all of them."""
    warehouse.made.append("large")
    warehouse.execute(f"create table sales.large (order_id varchar(20), number numeric(38,0), updated_at {warehouse.tz})")
    warehouse.execute(f"insert into sales.large values ('a', {10**20 - 1}, '{text(TWICE)}'), ('b', 2, '{text(TWICE)}')")
    columns = [column("order_id", required=True), column("number", "bigint"), column("updated_at", "timestamp")]

    read = warehouse.sources().window(warehouse.table("large", columns, widening="accept"), TWICE, TWICE + STEP)

    cast = read.selectExpr("order_id", "try_cast(number as bigint) as number").orderBy("order_id").collect()
    assert [("a", None), ("b", 2)] == [tuple(row) for row in cast]


def test_rows_are_found_by_key_wherever_they_stand_and_no_key_is_read_as_sql(warehouse):
    """A rejected row is looked up as it is now, by the texts that bronze kept of its key."""
    warehouse.make("keyed", [("O1", 1, text(TWICE)), ("O2", 2, None), ("it''s --", 3, None)])
    found = warehouse.sources()

    def by_keys(names, *keys):
        columns = [replace(item, key_position=names.index(item.name) + 1 if item.name in names else None) for item in COLUMNS]
        return seen(found.by_keys(warehouse.table("keyed", columns), keys), "order_id")

    assert [("O1",), ("it's --",)] == by_keys(["order_id"], ("O1",), ("it's --",), ("O9",), ("' or true --",))
    assert [("O2",)] == by_keys(["order_id", "number", "ordered_on", "paid"], *(("O2", number, "2026-02-28", "true") for number in ("2", "1", "two")))
    assert [] == by_keys(["updated_at"], (text(TWICE),)), "a text of a time is not trusted to be that time again"
