"""History (SCD2), latest states from a log, and facts joined as-of: against a plain replay of the log and against DuckDB."""

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from shop import WRITER, Shop, at, column, rule, source, table, with_columns

from shared.core.layout import table_path
from shared.core.ports import InputRead
from shared.core.verdict import judge_table, verdict_of
from shared.spark.counting import count_rules
from shared.spark.from_log import marked
from shared.spark.history import versions
from shared.spec.history import INVARIANTS
from shared.spec.lake import History, Lake, Relationship
from tests.histories import content, latest_states, replayed

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
ARROW = {"string": pa.string(), "boolean": pa.bool_(), "bigint": pa.int64(), "timestamp": pa.timestamp("us", "UTC")}
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
SEGMENT = column("segment")  # a column that source, log and history have one day, and that is tracked from then on
WIDE_CUSTOMERS, WIDE_LOG = with_columns(CUSTOMERS, SEGMENT), with_columns(LOG, SEGMENT)
WIDE_DIM = replace(with_columns(DIM, SEGMENT), history=replace(HISTORY, tracked=(*HISTORY.tracked, "segment")))
WIDE_LAKE = Lake(tables=(WIDE_CUSTOMERS, WIDE_LOG, WIDE_DIM), environments={})
LONG_AGO = datetime(1850, 1, 1, tzinfo=UTC)


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
    """Versions without their surrogate keys, as a plain replay of these events gives them."""
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
    return Counter(tuple(version[name] for name in names[1:]) for version in found)


def frame(spark, events):
    """Events as a frame, without a Python worker."""
    return spark.createDataFrame(pa.Table.from_pylist(events, pa.schema([(item.name, ARROW[item.type]) for item in STATE])))


def cut(spark, events, of=DIM):
    """All versions of these events, with their surrogate keys, as plain rows."""
    return versions(marked(frame(spark, events), of), of, LOG).toArrow().to_pylist()


def known(rows):
    """Versions without their surrogate keys; the unknown member left out."""
    return Counter(tuple(row.values())[1:] for row in rows if row["customer_sk"])


@pytest.mark.parametrize("first_valid_from", [None, "joined_at"])
def test_versions_are_those_of_a_replay_of_the_log_in_any_order(spark, first_valid_from):
    """Deletes and returns, NULL changes, ties, repeats, several changes at once, events before 1900, untracked columns."""
    dice = random.Random(11)
    events = distinct(some_events(dice, things=700, each=8))
    of = replace(DIM, history=replace(HISTORY, first_valid_from=first_valid_from))
    dice.shuffle(events)

    rows = cut(spark, events, of)

    assert expected(events, of) == known(rows)
    assert len(rows) == len({row["customer_sk"] for row in rows} - {0})


PINNED = {
    ("C1", None, "DE"): -2821651715882454787,
    ("C1", None, "FR"): -1154034615238744263,
    ("C1", "EU", "DE"): -3522480935262299558,
    (None, "C1", "DE"): 4484150601366946746,
}


def test_a_surrogate_key_is_of_its_thing_and_its_event_for_ever(spark):
    """A late event leaves the keys of other versions as they are: facts that point at them stand. Another hash would make all point at nothing."""
    early, last = event(country="DE", days=1), event(country="FR", days=5)
    others = [event("C1", days=1, region="EU"), event(None, days=1, region="C1")]

    before, after = cut(spark, [early, last, *others]), cut(spark, [*others, last, event(country="PL", days=3), early])

    assert PINNED == {(row["customer_id"], row["region"], row["country"]): row["customer_sk"] for row in before}
    assert PINNED == {(row["customer_id"], row["region"], row["country"]): row["customer_sk"] for row in after if row["country"] != "PL"}


def test_a_log_says_what_a_delete_is_for_all_that_is_made_from_it(spark):
    """Another condition, other deletes: the versions follow."""
    events = [event(tier="gold", days=1), event(tier="left", days=2), event(tier="gold", days=3)]

    rows = cut(spark, events, replace(DIM, delete_when="tier = 'left'"))

    assert {at(2), None} == {row["valid_to"] for row in rows}


# ---- the invariants

ONE_CURRENT, NO_OVERLAP, NO_GAP, NEIGHBOURS_DIFFER, CURRENT_IS_OPEN, UNKNOWN_MEMBER = INVARIANTS
KEY_RULE = "expect_column_values_to_be_unique"
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


def test_every_way_to_break_a_history_is_counted_and_halts_it_and_a_good_one_breaks_nothing(spark):
    """What no contract writes is asked of every history, after every run, of every one of its rows."""
    made = [(thing, one) for thing, (found, _) in THINGS.items() for one in found]
    rows = [stretch(number, thing, *one) for number, (thing, one) in enumerate(made, start=1)]
    gone = spark.createDataFrame(pa.table({"customer_id": [*THINGS], "region": pa.nulls(len(THINGS), pa.string()), "_at": [at(5)] * len(THINGS)}))
    schema = pa.schema([(item.name, ARROW[item.type]) for item in DIM.columns])

    def counted(*rows):
        given = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema)
        return count_rules(DIM, spark.createDataFrame(given), related=None, deletes=lambda: gone)

    good, broken, doubled = (
        counted(UNKNOWN, *(row for row in rows if row[1].startswith("good"))),
        counted(*rows, stretch(1, "the key of another", 1, None, "DE")),  # and no unknown member
        counted(UNKNOWN, UNKNOWN),
    )

    wanted = Counter(invariant for _, breaking in THINGS.values() for invariant in breaking) + Counter({KEY_RULE: 2, UNKNOWN_MEMBER: 1})
    assert {0} == {result.unexpected for result in good}
    assert "pass" == verdict_of(judge_table(DIM, good, at=at(9)))
    assert wanted == {result.expectation: result.unexpected for result in broken}
    assert {(KEY_RULE, 2), (UNKNOWN_MEMBER, 1)} == {(result.expectation, result.unexpected) for result in doubled if result.unexpected}
    for bad in broken:
        alone = [bad if one.rule == bad.rule else one for one in good]
        assert ("halt", [bad.rule]) == (verdict_of(found := judge_table(DIM, alone, at=at(9))), [one.rule for one in found])


# ---- through the tables


class Archive(Shop):
    """Bronze customers into a log, and from it all that the lake computes, as runs do it."""

    def __init__(self, spark, root, lake=LAKE):
        super().__init__(spark, root, lake)
        self.lake, self.seq, self.consumed = lake, 0, {}

    def hear(self, events, *, rebuild=False):
        """One batch of bronze, merged into the log."""
        customers, log = self.lake.table(CUSTOMERS.name), self.lake.table(LOG.name)
        self.seq += 1
        self.lay(self.seq, [tuple(one.values()) for one in events], of=customers)
        return self.merge(log, customers, after=0 if rebuild else self.seq - 1, up_to=self.seq, rebuild=rebuild)

    def reads(self, of, overlays):
        """Each input as it is now, with what `of` had of it before."""
        for name in of.inputs:
            version = self.tables._store.latest(self.lake.table(name))
            consumed = self.consumed.get(of.name, {}).get(name)
            yield InputRead(table=self.lake.table(name), version=version, consumed=consumed, overlay=overlays.get(name))

    def derive(self, of, *, rebuild=False):
        reads = tuple(self.reads(of, {}))
        done = self.tables.derive(of, reads, rebuild=rebuild, writer=WRITER, guard=self.guard)
        self.consumed[of.name] = {read.table.name: read.version for read in reads}
        return done

    def run(self, *tables, rebuild=False):
        """Stage all, then publish all; what was staged, by table. Every rule holds."""
        staged, refs, overlays = {}, [], {}
        for of in tables:
            reads, version = list(self.reads(of, overlays)), self.tables._store.latest(of)
            path, done = self.stage(of, reads, version=version, rebuild=rebuild or version is None, overlays=overlays)
            assert {} == {result.rule: result.unexpected for result in done.rules if result.unexpected}
            assert [one.id for one in of.rules] == [result.rule for result in done.rules]
            staged[of.name], overlays[of.name] = done, path
            self.consumed[of.name] = {read.table.name: -1 if read.version is None else read.version for read in reads}
            refs.append((of, self.ref(of, path, done, base=version)))
        self.publish(*refs)
        for of in tables:
            self.consumed[of.name] |= {name: self.tables._store.latest(self.lake.table(name)) for name in of.inputs if name.startswith("gold.")}
        return staged

    def place(self, orders):
        """Orders, numbered: by whom, and when."""
        rows = [{"order_id": number, "customer_id": customer, "ordered_at": at(days)} for number, (customer, days) in enumerate(orders)]
        schema = pa.schema([(item.name, ARROW[item.type]) for item in ORDERS.columns])
        write_deltalake(str(self.root / table_path(ORDERS)), pa.Table.from_pylist(rows, schema), mode="append")
        return rows

    def held(self, of):
        """A table's rows as they are now, read without Spark."""
        return DeltaTable(str(self.root / table_path(of))).to_pyarrow_table().to_pylist()


def as_of(dim, orders):
    """The version of each order's customer when it was placed, by DuckDB's own ASOF join; 0 where there is none."""
    with duckdb.connect() as connection:
        connection.register("dims", pa.Table.from_pylist(dim))
        connection.register("asked", pa.Table.from_pylist(orders))
        found = connection.sql(
            "SELECT order_id, CASE WHEN customer_sk IS NULL OR ordered_at >= valid_to THEN 0 ELSE customer_sk END "
            "FROM asked a ASOF LEFT JOIN dims d ON a.customer_id = d.customer_id AND a.ordered_at >= d.valid_from"
        ).fetchall()
    return Counter(found)


def test_runs_over_batches_in_any_order_give_a_replay_of_all_and_facts_as_duckdb_joins_them(spark, tmp_path):
    """Each run moves the log, the latest states, the history and the facts. A column tracked from the third batch on cuts all of history anew."""
    archive, dice = Archive(spark, tmp_path), random.Random(20)
    archive.create(CUSTOMERS, LOG, LATEST, ORDERS)
    events = [event("C0", days=2), *some_events(dice, things=40, each=7)]
    dice.shuffle(events)
    orders = archive.place([(f"C{dice.randrange(42)}", days + dice.choice((0, 0.5))) for days in range(-1, 10) for _ in range(12)])
    heard, taken_back = [], 0

    for batch in (events[:120], events[120:]):
        archive.hear([*batch, *heard[:3]])  # some come again
        heard += batch
        archive.derive(LATEST)
        taken_back += archive.run(DIM, FACT)["gold.dim_customer"].deletes

        dim = archive.held(DIM)
        assert expected(distinct(heard)) == known(dim)
        assert [UNKNOWN] == [tuple(row.values()) for row in dim if not row["customer_sk"]]
        living = latest_states(distinct(heard), key=("customer_id", "region"), at="updated_at", is_delete=lambda one: one["is_deleted"])
        assert Counter(map(content, living)) == Counter(content(row) for row in archive.held(LATEST) if not row.pop("_deleted"))
        assert as_of([row for row in dim if row["region"] is None], orders) == Counter(tuple(row.values()) for row in archive.held(FACT))
    assert taken_back > 0  # versions that late events showed not to have been

    wide = Archive(spark, tmp_path, WIDE_LAKE)
    wide.seq, told = archive.seq, [one | {"segment": dice.choice((None, "firm"))} for one in some_events(dice, things=20, each=3)]
    wide.hear(told, rebuild=True)
    wide.run(WIDE_DIM, rebuild=True)

    assert expected(distinct([*(one | {"segment": None} for one in heard), *told]), WIDE_DIM) == known(wide.held(WIDE_DIM))


def test_a_silver_history_is_written_in_one_commit_for_what_changed_or_whole_when_the_feed_is_gone(spark, tmp_path):
    """Upserts and deletes together, of the things that moved; the gap rule looks at the deletes of the version that was consumed."""
    archive = Archive(spark, tmp_path)
    silver = replace(DIM, name="silver.customer_history", layer="silver", file="lake/silver/customer_history.yaml")
    archive.create(CUSTOMERS, LOG, silver)
    archive.hear([event("C1", days=1), event("C2", days=3), event("C2", deleted=True, days=5), event("C3", days=2), event("C3", "PL", days=4)])
    made = archive.derive(silver, rebuild=True)
    archive.hear([event("C2", "PL", days=8)])
    archive.hear([event("C3", "PL", days=1)])

    moved = archive.derive(silver)
    checked = archive.tables.check(silver, moved.version, consumed=archive.consumed[silver.name])
    idle = archive.derive(silver)
    archive.hear([event("C1", "FR", days=2, email="b@x"), event("C3", deleted=True, days=9)])
    log = DeltaTable(str(tmp_path / table_path(LOG)))
    log.optimize.compact()
    log.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    whole = archive.derive(silver)

    assert (5, 0, 0) == (made.counts.inserted, made.counts.updated, made.counts.deleted)
    # C2 returns; C3 turns out to have been PL before. C1 is not looked at.
    assert (2, 1, 0, 3) == (moved.counts.inserted, moved.counts.updated, moved.counts.deleted, moved.counts.unchanged)
    assert made.version + 1 == moved.version
    assert ({0}, len(silver.rules)) == ({result.unexpected for result in checked}, len(checked))
    assert (True, moved.version) == (idle.unchanged, idle.version)
    assert moved.version + 1 == whole.version
    ends = {(row["customer_id"], row["country"], row["valid_to"], row["email"]) for row in archive.held(silver) if row["customer_sk"]}
    assert {
        *(("C1", "DE", at(2), "b@x"), ("C1", "FR", None, "b@x"), ("C2", "DE", at(5), "a@x"), ("C2", "PL", None, "a@x")),
        *(("C3", "PL", at(2), "a@x"), ("C3", "DE", at(4), "a@x"), ("C3", "PL", at(9), "a@x")),
    } == ends
