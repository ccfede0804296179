"""Derived tables: affected keys, change sets, overlays, publishing."""

from dataclasses import replace
from decimal import Decimal

import pytest
from costs import cost_of
from shop import CUSTOMERS, FACT, ORDERS, SILVER_ORDERS, WRITER, Shop, column, order, rule, table, with_columns

from shared.core.errors import ContractError, DataRejected, EvidenceInvalid, SchemaMismatch
from shared.core.ports import InputRead


class Gold(Shop):
    """A shop whose two gold tables move together, as a run moves them."""

    def __init__(self, spark, root):
        super().__init__(spark, root)
        self.create(ORDERS, SILVER_ORDERS)
        self.seq = 0
        self.certified = {}  # table -> (version, consumed)

    def trade(self, rows):
        """Land and merge one batch; silver's version."""
        self.seq += 1
        self.lay(self.seq, rows)
        return self.merge(after=self.seq - 1, up_to=self.seq).version

    def inputs(self, of, silver, overlays):
        version, consumed = self.certified.get(of.name, (None, {}))
        read = {
            "silver.orders": lambda: InputRead(table=SILVER_ORDERS, version=silver, consumed=consumed.get("silver.orders"), overlay=None),
            "gold.customers": lambda: InputRead(
                table=CUSTOMERS,
                version=self.certified.get(CUSTOMERS.name, (None, {}))[0],
                consumed=consumed.get("gold.customers"),
                overlay=overlays.get("gold.customers"),
            ),
        }
        return version, [read[name]() for name in of.inputs]

    def run(self, silver, *, tables=(CUSTOMERS, FACT), rebuild_of=()):
        """Stage all, publish all, certify all; what was staged by table."""
        staged, refs, overlays = {}, [], {}
        for of in tables:
            version, inputs = self.inputs(of, silver, overlays)
            path, done = self.stage(of, inputs, version=version, rebuild=of in rebuild_of or version is None, overlays=overlays)
            overlays[of.name], staged[of.name] = path, done
            refs.append((of, self.ref(of, path, done, base=version)))
        self.publish(*refs)
        for of in tables:
            consumed = {"silver.orders": silver}
            if of is FACT:
                consumed["gold.customers"] = self.certified[CUSTOMERS.name][0]
            self.certified[of.name] = (self.tables._store.latest(of), consumed)
        return staged


@pytest.fixture
def gold(spark, tmp_path):
    return Gold(spark, tmp_path)


def test_only_affected_keys_are_compared_and_an_overlay_reaches_its_readers(gold):
    """One customer's new order changes that customer and the facts of that customer; one order less takes its customer along; then nothing is new.

    What was deleted is found through the tombstone in the feed; facts go after their customers' rows are free. Equal versions open no feed.
    """
    gold.run(gold.trade([order(1, customer="C1"), order(2, customer="C1"), order(3, customer="C2")]))

    staged = gold.run(gold.trade([order(4, customer="C1", amount="5.00", days=1.5)]))

    customers, fact = staged["gold.customers"], staged["gold.fact"]
    assert (customers.counts.inserted, customers.counts.updated, customers.deletes) == (0, 1, 0)
    assert (fact.counts.inserted, fact.counts.updated, fact.deletes) == (1, 2, 0)
    assert {share for _, share in gold.rows(FACT, "order_id", "share")} == {Decimal("25.00"), Decimal("10.00")}

    silver = gold.trade([order(3, customer="C2", days=2.5, deleted=True)])
    staged = gold.run(silver)

    assert (staged["gold.customers"].deletes, staged["gold.fact"].deletes) == (1, 1)
    assert {name for (name,) in gold.rows(FACT, "order_id")} == {"O1", "O2", "O4"}
    assert len(gold.rows(CUSTOMERS)) == 1
    before = gold.versions(FACT)

    staged = gold.run(silver)

    assert {(done.upserts, done.deletes) for done in staged.values()} == {(0, 0)}
    assert gold.versions(FACT) == before


def test_silver_and_gold_stay_within_their_budgets(gold, spark):
    """Small tables cost jobs and questions to the JVM, not rows: a rule that asks for itself, or a pass more, would show here."""
    gold.run(gold.trade([order(1, customer="C1"), order(2, customer="C2")]))
    silver = []

    merging = cost_of(spark, lambda: silver.append(gold.trade([order(3, customer="C1", days=1.5)])))
    checking = cost_of(spark, lambda: gold.tables.check(SILVER_ORDERS, silver[0], consumed={}))
    running = cost_of(spark, lambda: gold.run(silver[0]))

    for (jobs, asked), (most_jobs, most_asked) in zip((merging, checking, running), ((11, 460), (3, 100), (47, 1800)), strict=True):
        assert jobs <= most_jobs
        assert asked <= most_asked


def test_an_edited_table_moves_its_readers_where_rows_appear_and_where_they_vanish(gold):
    """The staged rows of a rebuilt input count as changed, new ones by what they become, removed ones by what they were."""
    silver = gold.trade([order(1, customer="C1"), order(2, customer="C2", amount="1.00")])
    picky = replace(CUSTOMERS, sql=CUSTOMERS.sql.replace("IS NOT NULL", "IS NOT NULL AND amount > 5"))

    def shares():
        return [share for _, share in gold.rows(FACT, "order_id", "share")]

    gold.run(silver, tables=(picky, FACT))
    assert shares() == [Decimal("10.00"), None]

    appeared = gold.run(silver, rebuild_of=(CUSTOMERS,))
    assert shares() == [Decimal("10.00"), Decimal("1.00")]

    vanished = gold.run(silver, tables=(picky, FACT), rebuild_of=(picky,))
    assert shares() == [Decimal("10.00"), None]
    for staged in (appeared, vanished):
        assert (staged["gold.fact"].counts.inserted, staged["gold.fact"].counts.updated, staged["gold.fact"].counts.unchanged) == (0, 1, 0)


def test_a_feed_that_is_gone_means_every_key(gold, tmp_path):
    """After VACUUM the change files are missing: the result is right all the same."""
    gold.run(gold.trade([order(1, customer="C1"), order(2, customer="C2")]))
    silver = gold.trade([order(1, customer="C2", days=1.5)])
    for file in (tmp_path / "silver/orders/_change_data").rglob("*.parquet"):
        file.unlink()

    gold.run(silver)

    assert gold.rows(CUSTOMERS, "orders") == [(2,)]
    assert {customer for (customer,) in gold.rows(FACT, "customer_id")} == {gold.rows(CUSTOMERS, "customer_id")[0][0]}


def test_relationships_are_counted_on_the_state_publishing_would_give(gold):
    """A fact whose customer would be missing is found before anything is visible."""
    broken = replace(CUSTOMERS, sql=CUSTOMERS.sql.replace("customer_id IS NOT NULL", "false"))
    silver = gold.trade([order(1, customer="C1"), order(2, customer=None), order(3, customer="C1")])
    reads = [InputRead(table=SILVER_ORDERS, version=silver, consumed=None, overlay=None)]
    path, _ = gold.stage(broken, reads, version=None, rebuild=True)
    overlaid = InputRead(table=CUSTOMERS, version=None, consumed=None, overlay=path)

    _, fact = gold.stage(FACT, [overlaid, *reads], version=None, rebuild=True, overlays={"gold.customers": path})

    (orphans,) = fact.rules
    assert (orphans.elements, orphans.missing, orphans.unexpected) == (3, 1, 2)


def test_a_change_set_touched_after_its_gate_is_not_published(gold, tmp_path):
    """Publish applies exactly what passed, by digest."""
    silver = gold.trade([order(1)])
    path, done = gold.stage(CUSTOMERS, gold.inputs(CUSTOMERS, silver, {})[1], version=None, rebuild=True)
    ref = gold.ref(CUSTOMERS, path, done, base=None)
    gold.spark.read.parquet(str(tmp_path / path / "upserts")).selectExpr("customer_id", "orders + 1 AS orders", "spent").write.mode("append").parquet(
        str(tmp_path / path / "upserts")
    )

    with pytest.raises(EvidenceInvalid, match="It changed after the gate"):
        gold.publish((CUSTOMERS, ref))

    assert gold.tables._store.latest(CUSTOMERS) == 0


def test_a_published_commit_carries_the_gates_digest_and_the_intents_run(gold):
    """A later run finds in the log what an earlier publish already applied."""
    silver = gold.trade([order(1)])
    path, done = gold.stage(CUSTOMERS, gold.inputs(CUSTOMERS, silver, {})[1], version=None, rebuild=True)
    ref = gold.ref(CUSTOMERS, path, done, base=None)
    gold.create(CUSTOMERS)

    version = gold.tables.publish(CUSTOMERS, ref, "upserts", meta_run="run-0", writer=WRITER, guard=gold.guard)

    meta, _ = gold.metadata(CUSTOMERS, version)
    assert (version, meta["kind"], meta["run"], meta["digest"], meta["phase"]) == (1, "publish", "run-0", done.digest, "upserts")
    assert gold.metadata(CUSTOMERS, 0)[0]["kind"] == "create"


def test_a_change_sets_digest_holds_when_its_contract_gained_a_column_meanwhile(gold):
    """A killed publish is finished by the next deployment's code."""
    silver = gold.trade([order(1)])
    path, done = gold.stage(CUSTOMERS, gold.inputs(CUSTOMERS, silver, {})[1], version=None, rebuild=True)
    ref = gold.ref(CUSTOMERS, path, done, base=None)

    gold.publish((with_columns(CUSTOMERS, column("most", "int")), ref))

    assert gold.rows(CUSTOMERS, "most") == [(None,)]


def test_a_gold_table_may_gain_a_column_and_not_change_one(gold):
    """The MERGE adds the column; anything else halts the table before it is staged."""
    silver = gold.trade([order(1, customer="C1"), order(2, customer="C2")])
    gold.run(silver, tables=(CUSTOMERS,))
    sql = CUSTOMERS.sql.replace("count(*)", "max(quantity) AS most, count(*)")
    wider = with_columns(CUSTOMERS, column("most", "int"), sql=sql)
    version, inputs = gold.inputs(CUSTOMERS, silver, {})

    gold.run(silver, tables=(wider,), rebuild_of=(wider,))

    assert gold.rows(CUSTOMERS, "most") == [(1,), (1,)]
    assert gold.read(CUSTOMERS).columns == ["customer_id", "orders", "spent", "most"]
    other = replace(CUSTOMERS, columns=tuple(replace(c, type="int") if c.name == "orders" else c for c in CUSTOMERS.columns))
    with pytest.raises(SchemaMismatch, match="orders: bigint instead of int"):
        gold.stage(other, inputs, version=version, rebuild=True)


def test_a_silver_derived_table_is_written_in_one_commit_or_not_at_all(gold):
    """What comes out, what no longer does, and nothing when nothing differs."""
    derived = table(
        "silver.open_orders",
        "derive",
        [column("order_id", key=1), column("quantity", "int")],
        rules=(rule("expect_column_values_to_be_unique", "order_id", id="primary_key", kind="unique"),),
        inputs=("silver.orders",),
        sql="SELECT order_id, quantity FROM silver.orders WHERE quantity < 5",
    )
    gold.create(derived)
    first = gold.trade([order(1), order(2)])
    reads = (InputRead(table=SILVER_ORDERS, version=first, consumed=None, overlay=None),)
    made = gold.tables.derive(derived, reads, rebuild=True, writer=WRITER, guard=gold.guard)
    second = gold.trade([order(1, quantity="9", days=1.5), order(3, days=1.5)])
    later = (InputRead(table=SILVER_ORDERS, version=second, consumed=first, overlay=None),)

    moved = gold.tables.derive(derived, later, rebuild=False, writer=WRITER, guard=gold.guard)
    again = gold.tables.derive(derived, later, rebuild=False, writer=WRITER, guard=gold.guard)
    whole = (InputRead(table=SILVER_ORDERS, version=second, consumed=None, overlay=None),)
    refreshed = gold.tables.derive(derived, whole, rebuild=True, writer=WRITER, guard=gold.guard)

    assert (made.counts.inserted, moved.counts.inserted, moved.counts.deleted) == (2, 1, 1)
    assert gold.rows(derived) == [("O2", 1), ("O3", 1)]
    assert (again.unchanged, again.version) == (True, moved.version)
    assert (refreshed.unchanged, refreshed.version) == (True, moved.version)


def test_sql_that_cannot_be_published_halts_its_table_without_showing_a_value(gold):
    """Twice the same key, a division by zero, other columns than the contract's, a name that is not there: each says what to do."""
    silver = gold.trade([order(1, customer="C1", amount="0.00"), order(2, customer="C1", amount="7.77")])
    _, inputs = gold.inputs(CUSTOMERS, silver, {})

    def refused(sql):
        gold.stage(replace(CUSTOMERS, sql=sql), inputs, version=None, rebuild=True)

    with pytest.raises(DataRejected, match=r"1 keys \(customer_id\) come out more than once"):
        refused("SELECT customer_id, 1L AS orders, amount AS spent FROM silver.orders")
    with pytest.raises(DataRejected, match="DIVIDE_BY_ZERO") as failed:
        refused("SELECT customer_id, 1L AS orders, max(7.77 / amount) AS spent FROM silver.orders GROUP BY customer_id")
    assert "7.77" not in str(failed.value)
    with pytest.raises(SchemaMismatch, match="gives columns customer_id, spent"):
        refused("SELECT customer_id, sum(amount) AS spent FROM silver.orders GROUP BY customer_id")
    with pytest.raises(ContractError, match="lake/gold/customers.yaml: the SQL does not resolve"):
        refused("SELECT customer_id, count(*) AS orders, sum(amoun) AS spent FROM silver.orders GROUP BY customer_id")


def test_affected_keys_that_cannot_be_computed_halt_their_table_without_showing_a_value(gold):
    """A key is cast before anything is compared: what it fails on is a row's, and stays out of the message."""
    gold.run(gold.trade([order(1, customer="C1")]), tables=(CUSTOMERS,))
    silver = gold.trade([order(2, customer="C-4711", days=1.5)])
    version, inputs = gold.inputs(CUSTOMERS, silver, {})
    casting = replace(CUSTOMERS, affected_sql="SELECT cast(cast(customer_id AS int) AS string) AS customer_id FROM changed.silver.orders")

    with pytest.raises(DataRejected, match=r"gold\.customers: a row cannot be computed \(CAST_INVALID_INPUT\)") as failed:
        gold.stage(casting, inputs, version=version)

    assert "4711" not in str(failed.value)
