"""History (SCD2), latest states from a log, and facts joined as-of: against a plain replay of the log and against DuckDB."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import WRITER, FakeSources, Shop, at, column, rule, source, table

from shared.core.layout import batch_id, table_path
from shared.core.messages import ChangeSetRef
from shared.core.ports import InputRead
from shared.spark.from_log import marked
from shared.spark.history import versions
from shared.spark.invariants import broken_versions
from shared.spark.tables import SparkTables
from shared.spec.history import INVARIANTS
from shared.spec.lake import History, Lake, Relationship
from tests.histories import latest_states, replayed

STATE = [
    column("customer_id"),
    column("region"),  # with customer_id the natural key; may be NULL
    column("country"),
    column("tier"),
    column("email"),
    column("joined_at", "timestamp"),
    column("is_deleted", "boolean"),
    column("updated_at", "timestamp", required=True),
]
NAMES = tuple(item.name for item in STATE)
GIVEN = ", ".join(f"{item.name} {item.type}" for item in STATE)
CUSTOMERS = table("bronze.customers", "append", STATE, source=source("sales.customers"))
LOG = table(
    "silver.customer_changes",
    "log",
    STATE,
    inputs=("bronze.customers",),
    origin="bronze.customers",
    sequence="updated_at",
    delete_when="is_deleted",
)
FROM_LOG = {"inputs": (LOG.name,), "origin": LOG.name, "sequence": "updated_at", "delete_when": "is_deleted"}
LATEST = table(
    "silver.customers",
    "merge",
    [replace(item, key_position=position) for item, position in zip(STATE, (1, 2, None, None, None, None, None, None), strict=True)],
    **FROM_LOG,
)
HISTORY = History(natural_key=("customer_id", "region"), surrogate_key="customer_sk", tracked=("country", "tier"), first_valid_from=None)
INVARIANT_RULES = tuple(rule(name, id=name.replace("_", ".", 1), kind="history") for name in INVARIANTS)
DIM = table(
    "gold.dim_customer",
    "scd2",
    [
        column("customer_sk", "bigint", key=1, required=True),
        column("customer_id", required=True),
        column("region"),
        column("country"),
        column("tier"),
        column("email"),
        column("valid_from", "timestamp", required=True),
        column("valid_to", "timestamp"),
        column("is_current", "boolean", required=True),
    ],
    history=HISTORY,
    rules=(rule("expect_column_values_to_be_unique", "customer_sk", id="primary_key", kind="unique"), *INVARIANT_RULES),
    **FROM_LOG,
)
ORDERS = table("silver.orders", "derive", [column("order_id", "bigint", key=1), column("customer_id"), column("ordered_at", "timestamp")])
FACT = table(
    "gold.fact_sales",
    "derive",
    [column("order_id", "bigint", key=1), column("customer_sk", "bigint")],
    inputs=("gold.dim_customer", "silver.orders"),
    relationships=(Relationship(column="customer_sk", to_table="gold.dim_customer", to_column="customer_sk"),),
    rules=(rule("relationship", "customer_sk", id="customer_sk.relationship", kind="relationship"),),
    sql="""SELECT o.order_id, coalesce(c.customer_sk, 0) AS customer_sk FROM silver.orders AS o
        LEFT JOIN gold.dim_customer AS c ON c.customer_id = o.customer_id AND c.region IS NULL
        AND o.ordered_at >= c.valid_from AND (o.ordered_at < c.valid_to OR c.valid_to IS NULL)""",
    affected_sql="""SELECT order_id FROM changed.silver.orders
        UNION SELECT o.order_id FROM silver.orders AS o JOIN changed.gold.dim_customer AS c ON c.customer_id = o.customer_id""",
)
LAKE = Lake(tables=(CUSTOMERS, LOG, LATEST, ORDERS, DIM, FACT), environments={})
LONG_AGO = datetime(1850, 1, 1, tzinfo=UTC)
PURE = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))


def event(customer="C1", country="DE", tier="gold", *, days=0, region=None, email="a@x", joined=None, deleted=False):
    time = days if isinstance(days, datetime) else at(days)
    return dict(zip(NAMES, (customer, region, country, tier, email, joined, deleted, time), strict=True))


def some_events(dice, things, each):
    """Random events: few values, so that repeats, ties, returns and NULL changes are many."""
    return [
        event(
            f"C{thing}",
            dice.choice((None, "DE", "FR")),
            dice.choice((None, "gold")),
            days=dice.choice((LONG_AGO, *range(9))),
            region=dice.choice((None, "EU")) if thing % 4 == 0 else None,
            email=dice.choice((None, "a@x", "b@x")),
            joined=dice.choice((None, at(-400), at(3))),
            deleted=dice.random() < 0.25,
        )
        for thing in range(things)
        for _ in range(dice.randint(1, each))
    ]


def distinct(events):
    return list({tuple(one.values()): one for one in events}.values())


def expected(events, of=DIM):
    history, names = of.history, [item.name for item in of.columns]
    latest = tuple(name for name in ("country", "tier", "email") if name in names and name not in history.tracked)
    found = replayed(
        events,
        natural=history.natural_key,
        tracked=history.tracked,
        latest=latest,
        at="updated_at",
        is_delete=lambda one: one["is_deleted"],
        first_valid_from=history.first_valid_from,
    )
    return sorted((tuple(version[name] for name in names[1:]) for version in found), key=repr)


def utc(row):
    return tuple(value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in row)


def cut(spark, events, of=DIM, log=LOG):
    """All versions of these events, with their surrogate keys, as plain rows."""
    frame = spark.createDataFrame([tuple(one.values()) for one in events], GIVEN)
    return [utc(row) for row in versions(marked(frame, of), of, log).collect()]


def known(rows):
    """Versions without their surrogate keys, in order."""
    return sorted((row[1:] for row in rows), key=repr)


@PURE
@given(seed=st.integers(0, 2**32), since_joined=st.booleans())
def test_versions_are_those_of_a_replay_of_the_log_in_any_order(spark, seed, since_joined):
    """Deletes and returns, NULL changes, ties, repeats, several changes at once, events before 1900, untracked columns."""
    dice = random.Random(seed)
    events = distinct(some_events(dice, things=150, each=8))
    of = replace(DIM, history=replace(HISTORY, first_valid_from="joined_at")) if since_joined else DIM
    dice.shuffle(events)

    rows = cut(spark, events, of)

    assert expected(events, of) == known(rows)
    assert len(rows) == len({row[0] for row in rows} - {0})


def test_a_late_event_leaves_the_keys_of_other_versions_as_they_are(spark):
    """A surrogate key is of its thing and its event alone: facts that point at untouched versions stand."""
    early, last = event(country="DE", days=1), event(country="FR", days=5)

    before, after = cut(spark, [early, last]), cut(spark, [last, event(country="PL", days=3), early])

    keys = {row[3]: row[0] for row in before}
    assert {"DE", "FR"} == set(keys)
    assert keys == {row[3]: row[0] for row in after if row[3] != "PL"}
    assert {"DE": -5, "FR": -5} == dict.fromkeys(keys, -5)


def test_surrogate_keys_are_the_same_for_ever(spark):
    """Another hash would make every fact point at nothing after a rebuild."""
    rows = cut(spark, [event("C1", days=1), event("C1", days=1, region="EU"), event(None, days=1, region="C1")])

    assert PINNED == sorted(row[0] for row in rows)


def test_a_column_tracked_later_cuts_old_history_anew(spark):
    """What was one version becomes as many as the new column had states; the first keeps its key."""
    events = [event(email=None, days=1), event(email="a@x", days=2), event(email="b@x", days=3)]
    wider = replace(DIM, history=replace(HISTORY, tracked=("country", "tier", "email")))

    one, three = cut(spark, events), cut(spark, events, wider)

    assert ([("b@x", None)], 1) == ([(row[5], row[7]) for row in one], len(one))
    assert [(None, at(2)), ("a@x", at(3)), ("b@x", None)] == [(row[5], row[7]) for row in sorted(three, key=lambda row: row[6])]
    assert one[0][0] in {row[0] for row in three}


# ---- the invariants

ONE_CURRENT, NO_OVERLAP, NO_GAP, NEIGHBOURS_DIFFER, CURRENT_IS_OPEN, UNKNOWN_MEMBER = INVARIANTS
UNKNOWN = (0, "unknown", None, None, None, None, datetime(1900, 1, 1, tzinfo=UTC), None, True)
# Things, each by its versions (first day, last day, country), and what they break. Each was deleted on day 5.
THINGS = {
    "good": ([(1, 2, "DE"), (2, 5, "FR"), (6, None, "FR")], ()),
    "good and gone": ([(1, 5, None)], ()),
    "two without end": ([(1, None, "DE"), (2, None, "FR")], (ONE_CURRENT, NO_OVERLAP)),
    "overlapping": ([(1, 3, "DE"), (2, None, "FR")], (NO_OVERLAP,)),
    "ending before it begins": ([(7, 5, "DE")], (NO_OVERLAP,)),
    "a gap without a delete": ([(1, 2, "DE"), (3, None, "FR")], (NO_GAP,)),
    "a gap before the delete": ([(1, 4, "DE"), (6, None, "FR")], (NO_GAP,)),
    "an end without a delete": ([(1, 2, "DE")], (NO_GAP,)),
    "neighbours alike": ([(1, 4, "DE"), (4, None, "DE")], (NEIGHBOURS_DIFFER,)),
    "neighbours alike in NULL": ([(1, 4, None), (4, None, None)], (NEIGHBOURS_DIFFER,)),
    "current and ended": ([(1, 5, "DE", True)], (CURRENT_IS_OPEN,)),
    "open and not current": ([(1, None, "DE", None)], (CURRENT_IS_OPEN,)),
}


def stretch(number, thing, start, end, country, *current):
    ends = None if end is None else at(end)
    return (number, thing, None, country, None, None, at(start), ends, *(current or (end is None,)))


def test_every_way_to_break_a_history_is_counted_and_a_good_one_breaks_nothing(spark):
    """What no contract writes is asked of every history, after every run."""
    made = [(thing, one) for thing, (found, _) in THINGS.items() for one in found]
    rows = [stretch(number, thing, *one) for number, (thing, one) in enumerate(made, start=1)]
    schema = ", ".join(f"{item.name} {item.type}" for item in DIM.columns)
    gone = spark.createDataFrame([(thing, None, at(5)) for thing in THINGS], "customer_id string, region string, _at timestamp")

    def breaks(*rows):
        return broken_versions(spark.createDataFrame(rows, schema), DIM, gone)

    assert dict.fromkeys(INVARIANTS, 0) == breaks(UNKNOWN, *(row for row in rows if row[1].startswith("good")))
    wanted = Counter(invariant for _, breaking in THINGS.values() for invariant in breaking)
    assert {**wanted, UNKNOWN_MEMBER: 0} == breaks(UNKNOWN, *rows)
    assert ({**wanted, UNKNOWN_MEMBER: 1}, {**wanted, UNKNOWN_MEMBER: 1}) == (breaks(*rows), breaks(UNKNOWN, UNKNOWN, *rows))


# ---- through the tables


class Archive(Shop):
    """Bronze customers into a log, and from it all that the lake computes, as runs do it."""

    def __init__(self, spark, root):
        super().__init__(spark, root)
        sources = FakeSources(spark, {})
        self.tables = SparkTables(spark=spark, root=str(root), lake=LAKE, sources=sources, mask_key=lambda: b"")
        self.seq, self.consumed = 0, {}
        self.create(CUSTOMERS, LOG)

    def hear(self, events):
        """One batch of bronze, merged into the log."""
        self.seq += 1
        lead = {"_run_date": "DATE'2026-12-11'", "_batch_id": f"'{batch_id(CUSTOMERS, self.seq)}'", "_lane": "'accepted'", "_row_id": "uuid()"}
        rest = {"_ingest_ts": "TIMESTAMP'2026-12-11'", "_source_system": "'laptop'", "_reasons": "CAST(array() AS array<string>)"}
        given = self.spark.createDataFrame([tuple(one.values()) for one in events], GIVEN).coalesce(1)
        laid = given.selectExpr(*(f"{value} AS {name}" for name, value in (lead | rest | {"_original": "CAST(NULL AS string)"}).items()), *NAMES)
        laid.write.format("delta").mode("append").save(str(self.root / table_path(CUSTOMERS)))
        writes = {"rebuild": False, "writer": WRITER, "guard": self.guard}
        return self.tables.merge(LOG, CUSTOMERS, after_seq=self.seq - 1, up_to_seq=self.seq, **writes).version

    def reads(self, of, overlays):
        """Each input as it is now, with what `of` had of it before."""
        for name in of.inputs:
            version = self.tables._store.latest(LAKE.table(name))
            consumed = self.consumed.get(of.name, {}).get(name)
            yield InputRead(table=LAKE.table(name), version=version, consumed=consumed, overlay=overlays.get(name))

    def derive(self, of, *, rebuild=False):
        reads = tuple(self.reads(of, {}))
        done = self.tables.derive(of, reads, rebuild=rebuild, writer=WRITER, guard=self.guard)
        self.consumed[of.name] = {read.table.name: read.version for read in reads}
        return done

    def run(self, *tables, rebuild=False):
        """Stage all, then publish all; what was staged, by table. Every rule holds."""
        staged, refs, overlays = {}, {}, {}
        for of in tables:
            reads, version = list(self.reads(of, overlays)), self.tables._store.latest(of)
            path, done = self.stage(of, reads, version=version, rebuild=rebuild or version is None, overlays=overlays)
            assert {} == {result.rule: result.unexpected for result in done.rules if result.unexpected}
            assert [one.id for one in of.rules] == [result.rule for result in done.rules]
            staged[of.name], overlays[of.name] = done, path
            self.consumed[of.name] = {read.table.name: -1 if read.version is None else read.version for read in reads}
            refs[of.name] = ChangeSetRef(
                table=of.name, path=path, digest=done.digest, base_version=version, upserts=done.upserts, deletes=done.deletes
            )
        for phase, order in (("upserts", tables), ("deletes", tuple(reversed(tables)))):
            for of in order:
                self.tables.publish(of, refs[of.name], phase, meta_run="run-1", writer=WRITER, guard=self.guard)
        for of in tables:
            self.consumed[of.name] |= {name: self.tables._store.latest(LAKE.table(name)) for name in of.inputs if name.startswith("gold.")}
        return staged

    def place(self, orders):
        rows = self.spark.createDataFrame(
            [(number, customer, at(days)) for number, (customer, days) in enumerate(orders)],
            "order_id bigint, customer_id string, ordered_at timestamp",
        )
        rows.write.format("delta").mode("append").save(str(self.root / table_path(ORDERS)))


@pytest.fixture
def archive(spark, tmp_path):
    return Archive(spark, tmp_path)


def as_of(dim, orders):
    """The version of each order's customer when it was placed, by DuckDB's own ASOF join; 0 where there is none."""
    dims = pa.table({"sk": [r[0] for r in dim], "id": [r[1] for r in dim], "since": [r[6] for r in dim], "until": [r[7] for r in dim]})
    asked = pa.table({"number": [r[0] for r in orders], "id": [r[1] for r in orders], "at": [r[2] for r in orders]})
    with duckdb.connect() as connection:
        connection.register("dims", dims)
        connection.register("asked", asked)
        found = connection.sql(
            "SELECT number, CASE WHEN sk IS NULL OR a.at >= until THEN 0 ELSE sk END "
            "FROM asked a ASOF LEFT JOIN dims d ON a.id = d.id AND a.at >= d.since"
        ).fetchall()
    return sorted(found)


def test_runs_over_batches_in_any_order_give_a_replay_of_all_and_facts_as_duckdb_joins_them(archive):
    """Each run moves the log, the latest states, the history and the facts; at the end a rebuild of any finds nothing to change."""
    dice = random.Random(20)
    events = [event("C0", days=2), *some_events(dice, things=40, each=7)]
    dice.shuffle(events)
    archive.create(LATEST, ORDERS)
    archive.place([(f"C{dice.randrange(42)}", days + dice.choice((0, 0.5))) for days in range(-1, 10) for _ in range(12)])
    orders = [utc(row) for row in archive.rows(ORDERS)]
    heard, taken_back = [], 0

    for batch in (events[:120], events[120:150], events[150:]):
        archive.hear([*batch, *heard[:3]])  # some come again
        heard += batch
        archive.derive(LATEST)
        taken_back += archive.run(DIM, FACT)["gold.dim_customer"].deletes

        dim = [utc(row) for row in archive.rows(DIM) if row[0] != 0]
        assert expected(distinct(heard)) == known(dim)
        assert [UNKNOWN] == [utc(row) for row in archive.rows(DIM) if row[0] == 0]
        living = latest_states(distinct(heard), key=("customer_id", "region"), at="updated_at", is_delete=lambda one: one["is_deleted"])
        assert sorted(repr(tuple(one.values())) for one in living) == sorted(repr(utc(row[1:])) for row in archive.rows(LATEST) if not row[0])
        assert as_of([row for row in dim if row[2] is None], orders) == sorted(archive.rows(FACT))
    assert taken_back > 0  # versions that late events showed not to have been
    again, latest = archive.run(DIM, FACT, rebuild=True), archive.derive(LATEST, rebuild=True)
    assert {(0, 0)} == {(done.upserts, done.deletes) for done in again.values()}
    assert latest.unchanged


def test_only_the_things_that_changed_are_cut_and_nothing_new_writes_nothing(archive):
    """One customer's move touches that customer's versions; a run without news makes no version, whole or not."""
    archive.hear([event("C1", days=1), event("C2", days=1), event("C3", days=1)])
    archive.run(DIM)
    archive.hear([event("C2", "FR", days=2)])

    moved = archive.run(DIM)["gold.dim_customer"].counts
    before = archive.versions(DIM)
    idle = archive.run(DIM)["gold.dim_customer"]

    assert (1, 1, 0, 1) == (moved.inserted, moved.updated, moved.deleted, moved.unchanged)  # C2's two, and the unknown member
    assert (0, 0) == (idle.upserts, idle.deletes)
    assert before == archive.versions(DIM)


def test_a_history_whose_feed_is_gone_is_cut_whole(archive, tmp_path):
    """After VACUUM the log's change files are missing: the result is right all the same."""
    archive.hear([event("C1", days=1), event("C2", days=1)])
    archive.run(DIM)
    archive.hear([event("C1", "FR", days=2, email="b@x"), event("C2", deleted=True, days=3)])
    for file in (tmp_path / "silver/customer_changes/_change_data").rglob("*.parquet"):
        file.unlink()

    archive.run(DIM)

    assert [("C1", "DE", at(2)), ("C1", "FR", None), ("C2", "DE", at(3))] == [
        utc(row) for row in archive.rows(DIM, "customer_id", "country", "valid_to") if row[0] != "unknown"
    ]


def test_a_silver_history_is_written_in_one_commit_and_counted_by_the_log_it_read(archive):
    """Upserts and deletes together; the gap rule looks at the deletes of the version that was consumed."""
    silver = replace(DIM, name="silver.customer_history", layer="silver", file="lake/silver/customer_history.yaml")
    archive.create(silver)
    archive.hear([event("C1", days=1), event("C2", days=3), event("C2", deleted=True, days=5)])
    made = archive.derive(silver, rebuild=True)
    archive.hear([event("C1", "FR", days=0), event("C2", "PL", days=8)])
    moved = archive.derive(silver)

    checked = archive.tables.check(silver, moved.version, consumed=archive.consumed[silver.name])
    idle = archive.derive(silver)

    assert (3, 0, 0) == (made.counts.inserted, made.counts.updated, made.counts.deleted)
    assert (2, 1, 0) == (moved.counts.inserted, moved.counts.updated, moved.counts.deleted)
    assert made.version + 1 == moved.version
    assert {0} == {result.unexpected for result in checked}
    assert (True, moved.version) == (idle.unchanged, idle.version)


def test_a_log_says_what_a_delete_is_for_all_that_is_made_from_it(spark):
    """Another condition, other deletes: the versions follow."""
    events = [event(tier="gold", days=1), event(tier="left", days=2), event(tier="gold", days=3)]
    left = replace(DIM, delete_when="tier = 'left'")

    rows = cut(spark, events, left)

    assert [(at(2)), None] == [row[7] for row in sorted(rows, key=lambda row: row[6])]


PINNED: list[int] = []
