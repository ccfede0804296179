"""Rejects replayed by Spark: what comes out equals a lake without the faults, each reject goes to one lane once, nothing clear is kept."""

import json
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import functions as F
from shop import LAKE, ORDERS, SILVER_ORDERS, WRITER, Shop, at, batch, order

from cli.duck import Duck
from cli.rejected import account_of
from shared.core.layout import batch_id
from shared.core.messages import Certified, Entry, Progress
from shared.spark.replay import open_rejects
from tests.fakes import FakeState, World

LO, HI = at(0), at(1)


@pytest.fixture
def shop(spark, tmp_path):
    shop = Shop(spark, tmp_path)
    shop.create(ORDERS)
    return shop


def mended(of=ORDERS, *, without=(), dropping=(), **rules):
    """The contract with some rules loosened (their new arguments), left out, or columns dropped."""
    kept = [rule for rule in of.rules if rule.id not in without and rule.kwargs.get("column") not in dropping]
    return replace(
        of,
        columns=tuple(column for column in of.columns if column.name not in dropping),
        rules=tuple(replace(rule, kwargs={**rule.kwargs, **rules.get(rule.id.replace(".", "_"), {})}) for rule in kept),
        contract_hash=f"mended: {sorted(rules)} {without} {dropping}",
    )


MENDED = mended(dropping=("quantity",), currency_known={"value_set": ["USD", "EUR", "XXX"]}, customer_id_pattern={"regex": "."})
SILVER = replace(SILVER_ORDERS, columns=tuple(column for column in SILVER_ORDERS.columns if column.name != "quantity"))


def pointers(shop, lane):
    rows = shop.read(ORDERS).where((F.col("_lane") == lane) & F.col("_original").isNotNull()).collect()
    return {row["order_id"]: json.loads(row["_original"]).get("_replayed_from") for row in rows}


def reasons(shop, seq):
    rows = shop.read(ORDERS).where(f"_batch_id = '{batch_id(ORDERS, seq)}' and _lane = 'rejected'").collect()
    return {row["order_id"]: row["_reasons"] for row in rows}


def counted(evidence):
    counts = evidence.counts
    assert counts.read == counts.accepted + counts.rejected + counts.seen
    return (counts.accepted, counts.rejected, counts.seen)


def assert_accounted(shop):
    """No reject is pointed at twice, nothing else is pointed at, and every row of a replay points at one."""
    rows = [row.asDict() for row in shop.read(ORDERS).select("_batch_id", "_row_id", "_lane", "_reasons", "_original").collect()]
    back = [(row["_batch_id"], json.loads(row["_original"]).get("_replayed_from")) for row in rows if row["_original"] is not None]
    rejects = Counter(f"{row['_batch_id']}/{row['_row_id']}" for row in rows if row["_lane"] == "rejected" and "exact_copy" not in row["_reasons"])
    consumed = Counter(pointer for _, pointer in back if pointer is not None)
    assert all(rejects[pointer] == times for pointer, times in consumed.items())
    assert all(pointer.split("/")[0] < by for by, pointer in back if pointer is not None)
    still = rejects.total() - consumed.total()
    assert open_rejects(shop.read(ORDERS)).count() == still
    copies = sum("exact_copy" in row["_reasons"] for row in rows)
    assert {"open": still, "replayed": consumed.total(), "copy": copies} == account_of(desk(shop), ORDERS).states, "DuckDB counts as Spark does"


def desk(shop):
    """What `sluice rejects` asks: the same tables, read without Spark."""
    state = FakeState(World())
    state._certified = Certified(run="run-1", tables={ORDERS.name: Entry(version=None, definition_hash="", consumed={})})
    state._progress[ORDERS.name] = Progress(position=HI, seq=99)
    return SimpleNamespace(lake=LAKE, state=state, bronze=Duck(str(shop.root), {}))


def test_a_replay_of_all_rejects_after_mending_leaves_silver_as_if_there_had_been_no_faults(shop, spark, tmp_path):
    """A looser rule, a dropped column, a rule on a masked column that only the source can answer: the rows are those of a lake mended before."""
    rows = [
        order(1),
        order(2, currency="XXX"),
        order(2, currency="XXX"),
        order(3, quantity="three"),
        order(3, quantity="four"),  # without the quantity a copy; with it a row of its own, though both are cast to NULL
        order(3, quantity="3.5", amount="11.00"),
        order(4, customer="nobody", amount="12.34"),
        order(5, customer="no one", currency="XXX", quantity=None),
    ]
    other = Shop(spark, tmp_path / "other")
    other.create(MENDED, SILVER)
    shop.create(SILVER)
    other.land(1, rows, LO, HI, of=MENDED)
    other.merge(SILVER, after=0, up_to=1)
    first = shop.land(1, rows, LO, HI)
    shop.merge(SILVER, after=0, up_to=1)

    evidence = shop.replay(2, of=MENDED)
    shop.merge(SILVER, after=1, up_to=2)

    assert (1, 7, 0) == counted(first)
    assert (5, 1, 0) == counted(evidence), evidence.reasons
    assert {"exact_copy": 1} == evidence.reasons
    assert other.rows(SILVER) == shop.rows(SILVER)
    columns, new = ["_row_id", *(column.name for column in MENDED.columns)], "_lane = 'accepted' and order_id <> 'O1'"
    accepted = [sorted(tuple(row) for row in lake.read(ORDERS).where(new).select(*columns).collect()) for lake in (shop, other)]
    assert accepted[0] == accepted[1]
    assert [[("O4",), ("O5",)]] == shop.sources.asked
    assert_accounted(shop)
    again = shop.replay(3, of=MENDED)
    assert (0, 0, 0) == counted(again)
    assert again.version is None, "a reject cannot be injected twice"


def test_rows_that_are_still_bad_are_rejected_again_and_stay_open(shop, tmp_path):
    """They point back, keep what the source gave, and nothing clear of them is written. Once mended they are accepted; the chain is closed."""
    shop.land(1, [order(1), order(2, currency="XXX", customer="C77"), order(3, quantity="three"), order(4, currency="XXX", quantity="x")], LO, HI)

    second = shop.replay(2)
    shop.tables.write_errors(ORDERS, batch(ORDERS, 2, HI, HI), "_errors/x")
    third = shop.replay(3, of=mended(without=("currency_known",)))

    assert (0, 3, 0) == counted(second)
    assert {"currency_known": 2, "quantity.type": 2} == second.reasons
    assert (1, 2, 0) == counted(third)
    assert {"O3": ["quantity.type"], "O4": ["quantity.type"]} == reasons(shop, 3)
    assert pointers(shop, "accepted")["O2"].startswith(f"{batch_id(ORDERS, 2)}/")
    original = json.loads(shop.read(ORDERS).where("order_id = 'O3'").orderBy(F.desc("_batch_id")).first()["_original"])
    assert ("three", "[redacted]", "************1111") == (original["quantity"], original["address"], original["card"])
    lines = [json.loads(line) for file in (tmp_path / "_errors/x").glob("*.json") for line in file.read_text().splitlines()]
    assert {"three", "x", "1"} == {line["original"]["quantity"] for line in lines}
    assert all(line["original"]["_replayed_from"].startswith(batch_id(ORDERS, 1)) for line in lines)
    customers = {row["customer_id"] for row in shop.read(ORDERS).where("order_id = 'O2'").collect()}
    assert 1 == len(customers), "a masked value is carried over as it is"
    assert [] == shop.sources.asked
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and (b"C77" in file.read_bytes() or b"Main St" in file.read_bytes())]
    assert_accounted(shop)


def test_what_only_the_source_can_answer_is_asked_there_and_what_it_no_longer_has_stays_rejected(shop):
    """Found, moved on and accepted since (seen), moved on to a window to come, gone, without a key: each ends in one lane, with the reason."""
    broken = {"customer": "nobody"}
    shop.land(1, [order(n, **broken) for n in (1, 2, 3, 4)] + [order(None, **broken), order(6, currency="XXX")], LO, HI)
    moved = order(2, customer="C2", days=1.5)
    shop.land(2, [moved], at(1), at(2))
    shop.sources.rows["bronze.orders"] = [order(1, **broken), order(1, days=0.2, **broken), moved, order(3, days=31), order(6)]

    looser = mended(customer_id_pattern={"regex": "."}, without=("order_id.required",))
    looser = replace(looser, columns=tuple(replace(column, required=False) for column in looser.columns))
    evidence = shop.replay(3, of=looser)

    assert (1, 4, 1) == counted(evidence)
    assert {"customer_id.pattern": 3, "not_at_source": 2, "key_unknown": 1, "currency_known": 1} == evidence.reasons
    found = reasons(shop, 3)
    assert ["customer_id.pattern", "not_at_source"] == found["O3"] == found["O4"]
    assert ["customer_id.pattern", "key_unknown"] == found[None]
    assert {"O1", "O2"} <= pointers(shop, "accepted").keys() | pointers(shop, "seen").keys()
    assert {"O2"} == pointers(shop, "seen").keys()
    accepted = shop.read(ORDERS).where("order_id = 'O1' and _lane = 'accepted'").collect()
    assert [at(0.5).replace(tzinfo=None)] == [row["updated_at"] for row in accepted]
    assert_accounted(shop)
    shop.land(4, [order(3, days=31)], at(30), at(32), of=looser)
    assert (0, 3, 1) == counted(shop.replay(5, of=looser, position=at(32))), "the state that has come by its own window is seen"
    assert_accounted(shop)


def test_a_replay_takes_only_what_its_rule_and_run_select(shop):
    """Rows alike once conformed share a pointer and go together, so that closing one does not hide another."""
    shop.land(1, [order(1, currency="XXX"), order(2, quantity="three"), order(2, quantity=None), order(3, currency="YYY", quantity="x")], LO, HI)
    later = replace(batch(ORDERS, 2, at(1), at(2)), run="run-2")
    shop.sources.rows["bronze.orders"] = [order(4, currency="XXX", days=1.5)]
    shop.tables.land(ORDERS, later, holds_rows=False, writer=WRITER, guard=shop.guard)

    by_rule = shop.replay(3, rules=("quantity.type",))
    shop.replay(4, runs=("run-2",))
    by_both = shop.replay(5, rules=("currency_known",), runs=("run-9",))

    assert (0, 3, 0) == counted(by_rule)
    assert {"O2": ["quantity.required"], "O3": ["quantity.type", "currency_known"]}.keys() == reasons(shop, 3).keys()
    assert {"O4": ["currency_known"]} == reasons(shop, 4)
    assert (0, 0, 0) == counted(by_both)
    assert_accounted(shop)


def test_a_row_that_is_accepted_already_is_not_accepted_again(shop):
    """Without the column that told them apart it is the same row. It is seen; its reject is closed by the marker that says so, in the same commit."""
    optional = replace(ORDERS, columns=tuple(replace(column, required=False) for column in ORDERS.columns))
    shop.land(1, [order(1, quantity="three"), order(1, quantity=None)], LO, HI, of=mended(optional, without=("quantity.required",)))

    second = shop.replay(2, of=mended(dropping=("quantity",)))
    third = shop.replay(3, of=mended(dropping=("quantity",)))

    assert (0, 0, 1) == counted(second)
    assert ["O1"] == list(pointers(shop, "seen"))
    assert third.version is None
    text, _ = shop.metadata(ORDERS, second.version)
    assert {"table": "bronze.orders", "rules": [], "runs": []} == text["batch"]["replay"]
    assert_accounted(shop)


def test_a_column_that_is_masked_from_now_on_is_masked_when_it_is_replayed(shop):
    """A reject may hold in clear what was not classified then: it is not carried on so."""
    clear = replace(ORDERS, columns=tuple(replace(column, mask=None) if column.name == "card" else column for column in ORDERS.columns))
    shop.land(1, [order(1, currency="XXX", card="5555444433332222"), order(2, currency="YYY", card="5555444433332222")], LO, HI, of=clear)

    shop.replay(2, of=mended(currency_known={"value_set": ["XXX"]}))

    new = shop.read(ORDERS).where(f"_batch_id = '{batch_id(ORDERS, 2)}'").collect()
    assert {"************2222"} == {row["card"] for row in new}
    assert "************2222" == json.loads(next(row for row in new if row["order_id"] == "O2")["_original"])["card"]


def test_a_replay_landed_again_selects_the_same_rejects_and_leaves_one_copy(shop):
    """A job that died after its commit: certified batches do not change, so neither does what is selected."""
    shop.land(1, [order(1), order(2, currency="XXX"), order(3, quantity="x")], LO, HI)

    first = shop.replay(2)
    again = shop.replay(2, holds_rows=True)

    assert (first.counts, first.digest, first.reasons) == (again.counts, again.digest, again.reasons)
    assert 2 == shop.read(ORDERS).where(f"_batch_id = '{batch_id(ORDERS, 2)}'").count()
    assert_accounted(shop)


FAULTS = {"fine": {}, "currency": {"currency": "XXX"}, "quantity": {"quantity": "three"}, "customer": {"customer": "nobody"}}
CONTRACTS = {
    "as it was": ORDERS,
    "without the currency rule": mended(without=("currency_known",)),
    "without the quantity": mended(dropping=("quantity",)),
    "mended": MENDED,
}


LANDING = st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=4)


@settings(max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LANDING, st.lists(st.one_of(LANDING, st.sampled_from(sorted(CONTRACTS))), min_size=1, max_size=2))
def test_whatever_is_mended_and_replayed_in_between_the_last_replay_leaves_every_row_accepted_once(spark, tmp_path_factory, first, steps):
    """Conservation over any sequence: each row of the source is accepted exactly once, however often it was rejected on the way."""
    shop, rows = Shop(spark, tmp_path_factory.mktemp("lake")), []
    shop.create(ORDERS)
    for seq, step in enumerate([first, *steps], start=1):
        if isinstance(step, str):
            counted(shop.replay(seq, of=CONTRACTS[step], position=at(seq)))
            continue
        new = [order(f"{seq}-{number}", days=seq - 0.5, **FAULTS[fault]) for number, fault in enumerate(step)]
        rows += new
        counted(shop.land(seq, new, at(seq - 1), at(seq)))
        shop.sources.rows["bronze.orders"] = rows

    counted(shop.replay(len(steps) + 2, of=MENDED))

    assert_accounted(shop)
    assert sorted(row[0] for row in rows) == sorted(row[0] for row in shop.read(ORDERS).where("_lane = 'accepted'").select("order_id").collect())
    assert [] == open_rejects(shop.read(ORDERS)).collect()
