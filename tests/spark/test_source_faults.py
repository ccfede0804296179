"""Sources as they misbehave: after the last window bronze holds the source's own rows, each once: 0 lost, 0 doubled."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from servers import PASSWORD, REDSHIFTS_USER, dsn
from shop import WRITER, Shop, column, rule, source, table

from local.redshift_relay import RedshiftRelay
from shared.core.messages import Progress
from shared.core.window import Freezer, behind, next_batch, upper_bound
from shared.spark.sources import Connection, JdbcSources
from shared.spark.tables import SparkTables
from shared.spec.lake import Lake

# A clock that the tests set, for sessions that find it first.
_CLOCK = """
create schema faults;
create table faults.clock (at timestamptz);
insert into faults.clock values (now());
create function faults.getdate() returns timestamp language sql stable as 'select at::timestamp from faults.clock';
alter role {user} set search_path = faults, pg_catalog;
create table sales.events (event_id text, number bigint, updated_at timestamptz);
"""


@dataclass
class Intake:
    """Runs of one table: freeze windows as ingest does, land them, move on."""

    shop: Shop
    tables: SparkTables
    sources: JdbcSources
    contract: object
    pending: list = field(default_factory=list)
    evidence: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    def run(self):
        """One run: up to the bound that the source gives now."""
        bound = upper_bound(self.sources.clock(self.contract), self.contract.source.watermark)
        progress = Progress(position=None, seq=0)
        odd = behind(self.contract, progress, self.pending, bound)
        if odd:
            self.warnings.append(odd)
        freezer = Freezer(run=WRITER.run, fence=1, at=datetime.now(UTC))
        while (batch := next_batch(self.contract, progress, self.pending, bound, freezer)) is not None:
            self.pending.append(batch)
            self.evidence.append(self.tables.land(self.contract, batch, holds_rows=False, writer=WRITER, guard=lambda: None))

    def landed(self):
        return Counter(row["event_id"] for row in self.shop.read(self.contract).where("_lane = 'accepted'").collect())


@pytest.fixture
def database(postgres):
    with psycopg.connect(dsn(postgres), autocommit=True) as connection:
        connection.execute(_CLOCK.format(user=REDSHIFTS_USER))
        yield connection
        connection.execute(f"drop schema faults cascade; drop table sales.events; alter role {REDSHIFTS_USER} reset search_path")


def events(kind, **mark):
    made = source(relation="sales.events")
    columns = [column("event_id", key=1, required=True), column("number", "bigint"), column("updated_at", "timestamp")]
    settings = replace(made.watermark, **mark)
    described = replace(made, servers=(replace(made.servers[0], type=kind),), watermark=settings)
    return table("bronze.events", "append", columns, source=described, rules=(rule("expect_column_values_to_not_be_null", "event_id"),))


def intake(spark, tmp_path, contract, *, port, user):
    there = Connection(host="127.0.0.1", port=port, database="postgres", username=user, password=PASSWORD)
    lake = Lake(tables=(contract,), environments={})
    sources = JdbcSources(spark=spark, environment="local", connect=lambda table, server: there)
    tables = SparkTables(spark=spark, root=str(tmp_path), lake=lake, sources=sources, mask_key=lambda: b"")
    tables.create(contract, WRITER, lambda: None)
    return Intake(Shop(spark, tmp_path, lake), tables, sources, contract)


def content(database):
    return Counter(event for (event,) in database.execute("select event_id from sales.events"))


def test_late_commits_and_equal_times_are_neither_lost_nor_doubled(spark, tmp_path, postgres, database):
    """PostgreSQL tells its oldest open transaction: a row that is committed late is before no bound that was read to. No lookback is needed."""
    start = datetime.now(UTC) - timedelta(hours=1)
    lake = intake(spark, tmp_path, events("postgres", lookback=0, start_at=start), port=postgres, user="owner")
    write = "insert into sales.events select %s || n, n, now() from generate_series(1, 3) n"  # three rows of one transaction: equal times

    database.execute(write, ["early "])
    with psycopg.connect(dsn(postgres)) as slow, psycopg.connect(dsn(postgres)) as slower:
        slow.execute(write, ["slow "])
        slower.execute("select now()")  # opens its transaction, and has written nothing yet
        database.execute(write, ["meanwhile "])
        lake.run()
        slow.commit()
        database.execute(write, ["again "])
        lake.run()
        slower.execute(write, ["slower "])
        lake.run()
    database.execute(write, ["last "])
    lake.run()

    assert content(database) == lake.landed()
    assert 18 == sum(lake.landed().values())
    assert 0 == sum(evidence.late for evidence in lake.evidence)
    assert [] == lake.warnings


def test_a_night_with_two_hours_of_the_same_name_and_a_clock_that_jumps_back(spark, tmp_path, postgres, database):
    """Redshift tells nothing of open transactions, its clock is a month behind ours, set back by 40 minutes in the night Berlin repeats an hour.

    What lag and lookback reach is caught, counted as late, and warned of at the lookback's edge.
    """
    night = datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    contract = events("redshift", lookback=3600, safety_lag_seconds=300, start_at=night)
    with RedshiftRelay(port=postgres) as relay:
        lake = intake(spark, tmp_path, contract, port=relay.port, user=REDSHIFTS_USER)

        def at(minute, *stamped):
            """The source's clock shows this minute of the night; rows stamped with minutes are committed now."""
            database.execute("update faults.clock set at = %s", [night + timedelta(minutes=minute)])
            for number, stamp in enumerate(stamped):
                event = (f"{stamp} at {minute}, {number}", number, night + timedelta(minutes=stamp))
                database.execute("insert into sales.events values (%s, %s, %s)", event)
            lake.run()

        at(60, 5, 5, 30, 59)  # two equal times; the last is within the lag
        at(100, 54, 61, 96)  # 54 was committed after 55 had been read to: late
        at(60, 62, 63)  # 40 minutes back; its rows are stamped before what was read to
        at(160, 36, 99, 150)  # 36 is late by most of the lookback: at its edge
        at(165, 150, 160)
        at(240)

    assert content(database) == lake.landed()
    assert 14 == sum(lake.landed().values())
    (warning,) = lake.warnings
    assert "was read up to 2026-10-25 00:35:00 and its source is at 2026-10-24 23:55:00 now" in warning
    late = [(evidence.late, evidence.late_at_edge) for evidence in lake.evidence]
    assert [(0, 0), (1, 0), (3, 1), (1, 0), (0, 0)] == late


def test_numbers_that_are_committed_late_are_caught_by_the_lookback(spark, tmp_path, postgres, database):
    """A sequence gives its numbers before they are committed: the greatest committed one says nothing of those still open."""
    lake = intake(spark, tmp_path, events("postgres", column="number", lookback=10, start_at=0, max_window=100), port=postgres, user="owner")
    write = "insert into sales.events select 'event ' || n, n, null from generate_series(%s::int, %s::int) n"

    lake.run()
    database.execute(write, [1, 5])
    with psycopg.connect(dsn(postgres)) as slow:
        slow.execute(write, [6, 8])
        database.execute(write, [9, 12])
        lake.run()
    lake.run()
    database.execute(write, [13, 13])
    lake.run()

    assert {f"event {n}": 1 for n in range(1, 14)} == dict(lake.landed())
    assert [(0, 13), (13, 14)] == [(batch.lo, batch.hi) for batch in lake.pending]
    assert [0, 3] == [evidence.late for evidence in lake.evidence]
