"""The run protocol, by the code that ships, over a world of fakes: killed at every effect, it loses and doubles nothing."""

import copy
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.errors import ClaimRefused, DeployedMidRun, StaleFence
from shared.core.messages import Plan
from tests.fakes import START
from tests.machine import Machine, dim_product, fact_sales, table

AT = START


def trade(machine: Machine, day: int) -> None:
    """One day at the shop: new rows, an update, a late commit, a delete, and one bad row."""
    t = AT + timedelta(seconds=20 * day)
    machine.world.now = max(machine.world.now, t)
    put = machine.shop.rows.setdefault
    products, orders = put("products", []), put("orders", [])
    products.append((t, {"id": f"p{day}", "title": f"thing {day}", "at": t, "deleted": False}))
    orders.append((t, {"id": f"o{day}", "amount": day, "product": f"p{day}", "at": t, "deleted": False}))
    orders.append((t, {"id": f"bad{day}", "amount": -1, "product": "p1", "at": t, "deleted": False}))
    if day > 1:
        orders.append((t, {"id": f"o{day - 1}", "amount": day * 100, "product": f"p{day - 1}", "at": t, "deleted": False}))
        late = t - timedelta(seconds=3)
        orders.append((t, {"id": f"late{day}", "amount": 7, "product": f"p{day}", "at": late, "deleted": False}))
        products.append((t, {"id": f"p{day - 1}", "title": f"renamed {day}", "at": t, "deleted": False}))
    if day > 2:
        products.append((t, {"id": f"p{day - 2}", "title": "gone", "at": t, "deleted": True}))
    machine.world.now = t + timedelta(seconds=10)


def assert_whole(machine: Machine) -> None:
    """Every table holds what a rebuild from the shop's own content gives; every row is in one batch, once."""
    orders = {row["id"]: row for row in machine.shop.visible("orders", machine.world.now)}
    products = {row["id"]: row for row in machine.shop.visible("products", machine.world.now)}
    live_products = {key: row for key, row in products.items() if not row["deleted"]}
    good = {key: row for key, row in orders.items() if row["amount"] >= 0}
    assert good == machine.content("silver.orders")
    assert live_products == machine.content("silver.products")
    dim = dim_product(live_products)
    assert dim == machine.latest("gold.dim_product") == machine.content("gold.dim_product")
    assert fact_sales(dim, good) == machine.latest("gold.fact_sales") == machine.content("gold.fact_sales")
    for name in ("bronze.orders", "bronze.products"):
        rows = [str(row) for lanes in machine.certified_batches(name).values() if not lanes.pointers for lane in lanes.values() for row in lane]
        assert len(rows) == len(set(rows))
    for name in ("gold.dim_product", "gold.fact_sales"):
        marks = [version.commit.meta for version in machine.tables.tables[name] if version.commit.meta.kind == "publish"]
        assert len(marks) == len({(meta.run, meta.digest, meta.phase) for meta in marks})


def run_until_caught_up(machine: Machine) -> list[str]:
    machine.world.faults = {}
    return [machine.run() for _ in range(2)]


def test_three_days_reach_gold_and_balance():
    """The undisturbed lake equals a rebuild after every run."""
    machine = Machine()

    for day in (1, 2, 3):
        trade(machine, day)
        run_until_caught_up(machine)
        assert_whole(machine)

    assert {"passed"} == {record.status for record in machine.state._runs.values()}


def test_a_run_with_nothing_new_commits_no_version_and_starts_no_job_after_ingest():
    """Watermarks move; tables and jobs stay."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    versions = {name: len(found) for name, found in machine.tables.tables.items()}
    before = machine.glue_number

    machine.world.now += timedelta(seconds=10)
    status = machine.run()

    assert "passed" == status
    assert versions == {name: len(found) for name, found in machine.tables.tables.items()}
    assert 1 == machine.glue_number - before


def effects_of_second_day() -> int:
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    before = machine.world.effects
    machine.run()
    return machine.world.effects - before


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("execution_dies", [False, True])
def test_killed_at_any_effect_new_runs_leave_the_lake_whole(moment, execution_dies):
    """A process dies at one effect (before it, or with its answer lost), the shop trades on, and later runs end equal to a rebuild."""
    for step in range(1, effects_of_second_day() + 1):
        machine = Machine()
        machine.dies_with_job = execution_dies
        trade(machine, 1)
        run_until_caught_up(machine)
        trade(machine, 2)
        machine.world.faults = {machine.world.effects + step: moment}

        first = machine.run()
        machine.world.faults = {}
        trade(machine, 3)
        run_until_caught_up(machine)

        assert first in ("passed", "failed", "dead"), (step, first)
        assert_whole(machine)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_in_the_first_run_ever_new_runs_leave_the_lake_whole(moment):
    """Nothing is certified yet: tables half created are taken over or taken back."""
    steps = _first_run_effects()
    for step in range(1, steps + 1):
        machine = Machine()
        trade(machine, 1)
        machine.world.faults = {step: moment}

        machine.run()
        machine.world.faults = {}
        trade(machine, 2)
        run_until_caught_up(machine)

        assert_whole(machine)


@pytest.mark.parametrize("seed", range(120))
def test_any_few_kills_over_several_days_leave_the_lake_whole(seed):
    """Kills in one run, in its recovery and in the run after, with or without the fail path, while the shop trades on."""
    dice = random.Random(seed)
    machine = Machine()
    trade(machine, 1)
    machine.run()
    for day in (2, 3, 4):
        trade(machine, day)
        machine.dies_with_job = dice.random() < 0.5
        machine.world.faults = {machine.world.effects + dice.randint(1, 170): dice.choice(["before", "after"]) for _ in range(2)}
        machine.run()
        if dice.random() < 0.3:
            machine.lake = redefined(machine.lake, dice.choice(["silver.orders", "gold.dim_product", "gold.fact_sales"]))
    run_until_caught_up(machine)

    assert_whole(machine)


def _first_run_effects() -> int:
    machine = Machine()
    trade(machine, 1)
    machine.run()
    return machine.world.effects


def test_a_halted_table_keeps_its_certified_version_and_the_rest_moves_on():
    """What hangs on a halted table waits, tied gold waits with it, the next run catches up without losing the waiting rows."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before = {name: machine.content(name) for name in ("silver.products", "gold.dim_product", "gold.fact_sales")}
    trade(machine, 2)
    machine.tables.halting = {"silver.products"}

    status = machine.run()

    assert "blocked" == status
    assert before == {name: machine.content(name) for name in before}
    assert before["gold.dim_product"] == machine.latest("gold.dim_product")
    assert "o2" in machine.content("silver.orders")
    machine.tables.halting = set()
    run_until_caught_up(machine)
    assert_whole(machine)


def test_a_halted_batch_holds_back_every_later_one_of_its_table():
    """Position and consumed inputs move along the unbroken prefix only; once mended, nothing is missing."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    t = machine.world.now
    flood = [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    machine.shop.rows["orders"].extend(flood)
    machine.world.now += timedelta(seconds=5)
    progress = machine.state._progress["bronze.orders"]

    status = machine.run()

    assert "blocked" == status
    assert progress == machine.state._progress["bronze.orders"]
    for row in flood:
        machine.shop.rows["orders"].remove(row)
    trade(machine, 2)
    run_until_caught_up(machine)
    assert_whole(machine)


def test_a_passed_batch_behind_a_halted_one_waits_for_it():
    """Only the unbroken prefix moves: silver never sees batch two without batch one."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    t = machine.world.now
    flood = [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    later = t + timedelta(seconds=60)
    machine.shop.rows["orders"] += [*flood, (later, {"id": "behind", "amount": 1, "product": "p1", "at": later, "deleted": False})]
    machine.world.now = later + timedelta(seconds=5)

    status = machine.run()

    assert "blocked" == status
    assert len([batch for batch in machine.state.pending("bronze.orders") if batch.seq > machine.state._progress["bronze.orders"].seq]) == 2
    assert "behind" not in machine.content("silver.orders")
    for row in flood:
        machine.shop.rows["orders"].remove(row)
    run_until_caught_up(machine)
    assert "behind" in machine.content("silver.orders")
    assert_whole(machine)


def test_a_batch_behind_one_that_was_read_again_is_read_again_too():
    """A late row that the second batch had caught is in the first one's second reading: it must not stand in both."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    t = machine.world.now
    edge = t + timedelta(seconds=38)
    flood = [(t, {"id": f"bad{n}", "amount": -1, "product": "p1", "at": t, "deleted": False}) for n in range(9)]
    machine.shop.rows["orders"] += flood
    machine.world.now = t + timedelta(seconds=45)
    late = (t, {"id": "late", "amount": 5, "product": "p1", "at": edge, "deleted": False})

    def commits_late(table, row):
        """The row commits between the reading of the first window and that of the second."""
        if late not in machine.shop.rows["orders"]:
            machine.shop.rows["orders"].append(late)
        return table == "bronze.orders" and row["amount"] < 0

    machine.tables.bad = commits_late
    assert "blocked" == machine.run()
    machine.tables.bad = lambda table, row: False

    run_until_caught_up(machine)

    batches = [b for b, lanes in machine.latest("bronze.orders").items() for lane in lanes.values() for row in lane if row["id"] == "late"]
    assert 1 == len(batches)


def test_silver_starts_from_its_certified_version_after_a_run_that_died():
    """A batch that a dead run had refined is read again under a stricter contract: what the contract now rejects is not left behind in silver."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    machine.dies_with_job = True
    machine.world.faults = {machine.world.effects + n: "after" for n in [_effects_until(machine, "delta.commit silver.orders")]}
    assert "dead" == machine.run()
    assert "o2" in machine.latest("silver.orders")

    machine.tables.bad = lambda table, row: table == "bronze.orders" and (row["amount"] < 0 or row["id"] == "o2")
    machine.lake = replace(
        machine.lake, tables=tuple(replace(t, contract_hash="stricter") if t.name == "bronze.orders" else t for t in machine.lake.tables)
    )
    run_until_caught_up(machine)

    assert "late2" in machine.content("silver.orders")
    assert "o2" not in machine.content("silver.orders")


def _effects_until(machine: Machine, name: str) -> int:
    twin = copy.deepcopy(machine)
    start = twin.world.effects
    twin.run()
    return twin.world.trace.index(name, start) - start + 1


def test_a_dimension_does_not_move_without_the_fact_that_is_tied_to_it():
    """The star stays whole: they pass or halt together."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before = machine.latest("gold.dim_product")
    trade(machine, 2)
    machine.tables.halting = {"gold.fact_sales"}

    status = machine.run()

    assert "blocked" == status
    assert before == machine.latest("gold.dim_product")


def test_a_row_of_a_transaction_still_open_is_read_once_it_commits():
    """The window ends where the oldest open transaction began, however late that one commits."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    began = machine.world.now
    machine.shop.open_since = began
    machine.world.now += timedelta(seconds=30)
    machine.run()
    row = {"id": "slow", "amount": 3, "product": "p1", "at": began, "deleted": False}
    machine.shop.rows["orders"].append((machine.world.now, row))
    machine.shop.open_since = None

    machine.world.now += timedelta(seconds=1)
    run_until_caught_up(machine)

    assert row == machine.content("silver.orders")["slow"]
    assert_whole(machine)


def test_a_second_run_is_refused_with_who_holds_the_lake():
    """Two executions never write the same tables."""
    machine = Machine()
    trade(machine, 1)
    machine.dies_with_job = True
    machine.world.faults = {40: "before"}
    assert "dead" == machine.run()
    machine.world.faults = {}
    machine.executions._running.add("run-1")

    status = machine.run()

    assert "failed" == status
    assert "held by run run-1" in str(machine.log.events[-1])
    machine.executions._running.clear()
    assert "passed" == machine.run()


def test_a_late_twin_of_a_claimed_group_stops_before_it_writes():
    """A start that was retried makes two Glue runs; the second finds the claim of one that lives or succeeded."""
    machine = Machine()
    trade(machine, 1)
    lock = replace(machine.state._lock, run="run-9", fence=1, lake_hash=machine.pinned.hash)
    machine.state._lock = lock
    machine.documents.put("_runs/run-9/plan.json", Plan(run="run-9", fence=1, lake_hash=machine.pinned.hash, at=AT, tables=()))
    machine._glue("run-9", 1, "ingest", "main")
    versions = {name: len(found) for name, found in machine.tables.tables.items()}

    with pytest.raises(ClaimRefused, match="which is succeeded"):
        machine._glue("run-9", 1, "ingest", "main")

    assert versions == {name: len(found) for name, found in machine.tables.tables.items()}


def test_a_job_with_an_old_fence_stops_before_it_writes():
    """The lock moved on while the job was waiting for a worker."""
    machine = Machine()
    trade(machine, 1)
    machine.state._lock = replace(machine.state._lock, run="run-8", fence=2, lake_hash=machine.pinned.hash)

    with pytest.raises(StaleFence):
        machine._glue("run-7", 1, "ingest", "main")

    assert {} == machine.tables.tables


def test_a_lake_with_a_load_that_no_job_serves_is_refused_before_anything_is_touched():
    """What compiles and cannot run yet says so at once, with its file."""
    machine = Machine()
    history = table("gold.dim_customer", "scd2", inputs=("silver.orders",), origin="silver.orders")
    machine.lake = replace(machine.lake, tables=(*machine.lake.tables, history))

    assert "failed" == machine.run()
    assert "lake/gold.dim_customer.yaml" in machine.notify.alerts[-1]["text"]
    assert {} == machine.tables.tables


def test_code_deployed_in_the_middle_of_a_run_stops_it():
    """Jobs and Lambdas refuse a lake.json that the run did not pin."""
    machine = Machine()
    trade(machine, 1)
    machine.state._lock = replace(machine.state._lock, run="run-7", fence=1, lake_hash="another")

    with pytest.raises(DeployedMidRun, match="start again"):
        machine._glue("run-7", 1, "ingest", "main")


def test_an_edited_definition_rebuilds_its_table_and_what_reads_it():
    """The definition hash alone makes the work; inputs did not move."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)

    machine.tables.derivations["gold.dim_product"] = lambda silver_products: {
        key: row | {"title": str(row.get("title")).upper()} for key, row in dim_product(silver_products).items()
    }
    machine.lake = redefined(machine.lake, "gold.dim_product")
    status = machine.run()

    assert "passed" == status
    assert machine.content("gold.dim_product")["p1"]["title"] == "THING 1"


def redefined(lake, name):
    return replace(lake, tables=tuple(replace(t, definition_hash=t.definition_hash + "'") if t.name == name else t for t in lake.tables))
