"""Rejects replayed by Spark: what comes out equals a lake without the faults, each reject goes to one lane once, nothing clear is kept."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from pyspark.sql import functions as F
from shop import LAKE, ORDERS, SILVER_ORDERS, WRITER, Shop, at, batch, order

from cli.duck import Duck
from cli.rejected import account_of
from shared.core.layout import batch_id
from shared.core.messages import Certified, Entry, Progress, Replay
from shared.spark.replay import open_rejects, selected
from tests.fakes import FakeState, World

BEFORE = replace(ORDERS, columns=tuple(replace(item, mask=None, classification=None) if item.name == "card" else item for item in ORDERS.columns))
FIRST = [
    order(1),
    order(2, currency="XXX"),
    order(2, currency="XXX"),
    order(3, quantity="three"),
    order(3, quantity="3000000000"),  # a row of its own, though both are cast to NULL
    *(order(number, customer="nobody") for number in (4, 7, 8, 9)),
    order(5, customer="no one", currency="XXX", quantity=None),
    order(6, currency="XXX", customer="C77"),
    order(None, customer="nobody"),
]
SECOND = [order(10, currency="XXX", days=1.5)]
MENDED = replace(
    ORDERS,
    columns=tuple(replace(item, required=item.required and item.name != "quantity") for item in ORDERS.columns),
    rules=tuple(
        replace(
            rule,
            kwargs=rule.kwargs | {"currency_known": {"value_set": ["USD", "EUR", "XXX"]}, "customer_id.pattern": {"regex": "."}}.get(rule.id, {}),
        )
        for rule in ORDERS.rules
        if rule.id != "quantity.required"
    ),
    contract_hash="mended",
)
WIDER = replace(
    ORDERS,
    columns=tuple(replace(item, type="bigint") if item.name == "quantity" else item for item in ORDERS.columns),
    rules=tuple(
        replace(rule, kwargs=rule.kwargs | {"type_": "bigint"}) if rule.id == "quantity.type" else rule
        for rule in ORDERS.rules
        if rule.id != "currency_known"
    ),
    contract_hash="any currency, wider quantity",
)


@pytest.fixture(scope="module")
def landed(spark, tmp_path_factory):
    """A lake of two windows, frozen by two runs, with rejects of every sort, from before cards were masked."""
    shop = Shop(spark, tmp_path_factory.mktemp("landed"))
    shop.create(BEFORE)
    first = shop.land(1, FIRST, at(0), at(1), of=BEFORE)
    shop.sources.rows[ORDERS.name] = SECOND
    later = replace(batch(ORDERS, 2, at(1), at(2)), run="run-2")
    second = shop.tables.land(BEFORE, later, holds_rows=False, writer=WRITER, guard=shop.guard)
    assert ((1, 11, 0), (0, 1, 0)) == (counted(first), counted(second))
    return shop.root


@pytest.fixture
def shop(spark, landed, tmp_path):
    """That lake, copied; the source holds its rows as they were."""
    shutil.copytree(landed, tmp_path, dirs_exist_ok=True)
    shop = Shop(spark, tmp_path)
    shop.sources.rows[ORDERS.name] = FIRST + SECOND
    return shop


def replayed(shop, seq, lane):
    """What a replay made of its rows: order ids of one lane, with their reasons and the batch of the reject they were."""
    rows = shop.read(ORDERS).where((F.col("_batch_id") == batch_id(ORDERS, seq)) & (F.col("_lane") == lane)).collect()
    pointers = [json.loads(row["_original"])["_replayed_from"] for row in rows]
    told = [(row["order_id"], row["_reasons"], int(pointer.split("/")[0][-1])) for row, pointer in zip(rows, pointers, strict=True)]
    return sorted(told, key=str)


def counted(evidence):
    counts = evidence.counts
    assert counts.read == counts.accepted + counts.rejected + counts.seen
    return (counts.accepted, counts.rejected, counts.seen)


def assert_accounted(shop):
    """No reject is pointed at twice, nothing else is pointed at, and every row of a replay points at one."""
    rows = shop.read(ORDERS).select("_batch_id", "_row_id", "_lane", "_reasons", "_original").collect()
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
    state._progress[ORDERS.name] = Progress(position=at(2), seq=9)
    return SimpleNamespace(lake=LAKE, state=state, bronze=Duck(str(shop.root), {}))


def test_a_replay_of_all_rejects_after_mending_leaves_silver_as_if_there_had_been_no_faults(shop, spark, tmp_path):
    """A looser rule, a value no longer required, a rule on a masked column that only the source can answer: all as if mended before."""
    other = Shop(spark, tmp_path / "other")
    other.create(MENDED, SILVER_ORDERS)
    other.land(1, FIRST + SECOND, at(0), at(2), of=MENDED)
    other.merge(after=0, up_to=1)

    evidence = shop.replay(3, of=MENDED)
    again = shop.replay(4, of=MENDED)
    shop.create(SILVER_ORDERS)
    shop.merge(after=0, up_to=4)

    assert (8, 3, 0) == counted(evidence)
    assert {"quantity.type": 2, "order_id.required": 1, "customer_id.pattern": 1, "key_unknown": 1} == evidence.reasons == again.reasons
    assert (0, 3, 0) == counted(again), "what was brought in cannot be brought in twice"
    assert [[("O4",), ("O5",), ("O7",), ("O8",), ("O9",)]] == shop.sources.asked
    assert other.rows(SILVER_ORDERS) == shop.rows(SILVER_ORDERS)
    columns = ["_row_id", *(column.name for column in MENDED.columns)]
    accepted = [lake.read(ORDERS).where("_lane = 'accepted' and order_id <> 'O1'").select(*columns).collect() for lake in (other, shop)]
    assert sorted(map(str, accepted[0])) == sorted(map(str, accepted[1])), "masked as if they had been accepted at once"
    told, _ = shop.metadata(ORDERS, evidence.version)
    assert {"table": "bronze.orders", "rules": [], "runs": []} == told["batch"]["replay"]
    assert_accounted(shop)


def test_rows_that_are_still_bad_are_rejected_again_and_stay_open(shop, tmp_path):
    """They point back, keep what the source gave, and nothing clear of them is written, though a mask is new. Done again by a job whose first
    commit stands, it is the same. Once mended they are accepted; the chain is closed."""
    first = shop.replay(3)
    second = shop.replay(3, holds_rows=True)
    shop.tables.write_errors(ORDERS, batch(ORDERS, 3, at(2), at(2)), "_errors/x", rejected=second.counts.rejected)
    third = shop.replay(4, of=WIDER)

    assert (first.counts, first.digest, first.reasons) == (second.counts, second.digest, second.reasons)
    bad = {"currency_known": 4, "quantity.type": 2, "quantity.required": 1, "customer_id.pattern": 6, "order_id.required": 1, "key_unknown": 1}
    assert ((0, 11, 0), bad) == (counted(second), second.reasons)
    assert (4, 7, 0) == counted(third)
    assert [("O10", [], 3), ("O2", [], 3), ("O3", [], 3), ("O6", [], 3)] == replayed(shop, 4, "accepted")
    assert [3_000_000_000] == [row[0] for row in shop.read(ORDERS).where("order_id = 'O3' and _lane = 'accepted'").select("quantity").collect()]
    assert ("O5", ["quantity.required", "customer_id.pattern"], 3) in replayed(shop, 4, "rejected")
    lines = [json.loads(line)["original"] for file in (tmp_path / "_errors/x").glob("*.json") for line in file.read_text().splitlines()]
    assert {"1", "three", "3000000000", None} == {line["quantity"] for line in lines}
    assert {("[redacted]", "************1111")} == {(line["address"], line["card"]) for line in lines}
    assert {1, 2} == {int(line["_replayed_from"].split("/")[0][-1]) for line in lines}
    new = shop.read(ORDERS).where(f"_batch_id > '{batch_id(ORDERS, 2)}'").collect()
    assert {"************1111"} == {row["card"] for row in new}, "masked from now on"
    assert 1 == len({row["customer_id"] for row in shop.read(ORDERS).where("order_id = 'O6'").collect()}), "a masked value is carried as it is"
    clear = (b"C77", b"nobody", b"Main St")
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and any(value in file.read_bytes() for value in clear)]
    assert_accounted(shop)


def test_what_only_the_source_can_answer_is_asked_there_and_what_it_no_longer_has_stays_rejected(shop):
    """Found, moved on and accepted since (seen), moved on to a window to come, gone, without a key: each ends in one lane, with the reason."""
    moved = order(7, customer="C2", days=2.5)
    shop.land(3, [moved], at(2), at(3), of=MENDED)
    shop.sources.rows[ORDERS.name] = [order(4, customer="nobody"), order(4, customer="nobody", days=0.2), moved, order(8, days=31), order(6)]

    evidence = shop.replay(4, of=MENDED)

    assert (4, 6, 1) == counted(evidence)
    gone, unasked = ["customer_id.pattern", "not_at_source"], ["order_id.required", "customer_id.pattern", "key_unknown"]
    assert [("O10", [], 2), ("O2", [], 1), ("O4", [], 1), ("O6", [], 1)] == replayed(shop, 4, "accepted")
    assert [("O7", [], 1)] == replayed(shop, 4, "seen")
    expected = [(None, unasked, 1), *[("O3", ["quantity.type"], 1)] * 2, *((f"O{number}", gone, 1) for number in (5, 8, 9))]
    assert sorted(expected, key=str) == replayed(shop, 4, "rejected")
    times = shop.read(ORDERS).where("order_id = 'O4' and _lane = 'accepted'").select("updated_at").collect()
    assert [at(0.5).replace(tzinfo=None)] == [row["updated_at"] for row in times], "the very row, not an older one of its key"
    assert_accounted(shop)


def test_a_replay_takes_only_what_its_rule_and_run_select(shop):
    """Rows alike once conformed share a pointer and go together, so that closing one does not hide another."""

    def taken(*, rules=(), runs=()):
        rows = selected(open_rejects(shop.read(ORDERS)), Replay(table=ORDERS.name, rules=rules, runs=runs))
        return sorted(row["order_id"] for row in rows.select("order_id").collect())

    assert ["O10", "O2", "O5", "O6"] == taken(rules=("currency_known",))
    assert ["O3", "O3", "O5"] == taken(rules=("quantity.type", "quantity.required"))
    assert ["O10"] == taken(runs=("run-2",))
    assert [] == taken(rules=("quantity.type",), runs=("run-2",))
