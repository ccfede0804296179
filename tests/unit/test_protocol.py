"""The run protocol, by the code that ships, over a world of fakes: killed at every effect, it loses and doubles nothing."""

import copy
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.choice import choose
from shared.core.errors import ClaimRefused, DeployedMidRun, StaleFence
from shared.core.layout import evidence_key, gate_key, plan_key
from shared.core.messages import LogCommit, TableEvidence
from shared.core.run_documents import GateDecision, Plan
from tests.fakes import START, Version
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


def left_dead() -> Machine:
    """A machine whose first run died with its job, and holds the lake."""
    machine = Machine()
    trade(machine, 1)
    machine.dies_with_job = True
    machine.world.faults = {40: "before"}
    assert "dead" == machine.run()
    return machine


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


@pytest.mark.parametrize("seed", range(100))
def test_limited_and_refreshing_runs_in_any_order_leave_nothing_behind(seed):
    """Whatever runs were limited to, rebuilt, halted or killed at: a whole run catches up all of it, and equals a rebuild."""
    dice = random.Random(seed)
    machine = Machine()
    names = [t.name for t in machine.lake.tables]
    above_bronze = [name for name in names if not name.startswith("bronze.")]
    for day in range(1, 6):
        trade(machine, day)
        tables = tuple(dice.sample(names, dice.choice([0, 1, 1, 2])))
        refresh = tuple(dice.sample(above_bronze, dice.choice([0, 0, 1])))
        machine.dies_with_job = dice.random() < 0.5
        machine.tables.halting = {dice.choice(names)} if dice.random() < 0.2 else set()
        machine.world.faults = {machine.world.effects + dice.randint(1, 170): dice.choice(["before", "after"])} if dice.random() < 0.6 else {}
        left_out = _as_they_are(machine, set(names) - set(choose(machine.lake, tables=tables, full_refresh=refresh).tables))
        unfinished = machine.state._intent

        machine.run(tables=tables, full_refresh=refresh)

        if unfinished is None:
            assert left_out == _as_they_are(machine, left_out)
    machine.tables.halting = set()
    run_until_caught_up(machine)

    assert_whole(machine)


def _as_they_are(machine: Machine, names) -> dict:
    """Everything that a run could change of a table; looking is no effect that a fault could hit."""
    state, tables = machine.state, machine.tables.tables
    return {
        name: (state._certified.tables.get(name), state._progress.get(name), dict(state._pending.get(name, {})), len(tables.get(name, ())))
        for name in names
    }


def test_a_limited_run_reads_merges_and_publishes_its_tables_alone():
    """The others stay as they are, and catch up in the next whole run."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)

    status = machine.run(tables=("silver.orders",))

    planned = machine.documents.get(plan_key(f"run-{machine.number}"), Plan).tables
    assert ("passed", ["bronze.orders", "silver.orders"]) == (status, [table.table for table in planned])
    assert {"o1", "o2", "late2"} == machine.content("silver.orders").keys()
    assert {"p1"} == machine.content("silver.products").keys()
    assert {"o1"} == machine.content("gold.fact_sales").keys()
    assert "passed" == machine.run()
    assert_whole(machine)


def test_the_plan_is_read_once_by_the_ingest_job_and_once_by_each_gate():
    """What a run may touch is one document; whoever needs it asks for it once."""
    machine = Machine()
    trade(machine, 1)
    get, read = machine.documents.get, []
    machine.documents.get = lambda key, kind: read.append(kind) or get(key, kind)

    assert "passed" == machine.run()

    assert 4 == read.count(Plan)


def test_a_run_limited_to_a_dimension_takes_the_fact_that_is_tied_to_it_along():
    """The star stays whole: a fact never shows what its dimension does not."""
    machine = Machine()
    trade(machine, 1)

    machine.run(tables=("gold.dim_product",))

    assert_whole(machine)


def test_a_batch_left_pending_outlives_runs_that_do_not_plan_its_table():
    """It is landed, judged and merged by the next run that does, and its window is not read twice."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    machine.dies_with_job = True
    machine.world.faults = {machine.world.effects + _effects_until(machine, "delta.commit silver.orders"): "before"}
    assert "dead" == machine.run()
    machine.world.faults = {}
    pending = machine.state.pending("bronze.orders")

    assert "passed" == machine.run(tables=("silver.products",))

    assert pending == machine.state.pending("bronze.orders")
    machine.run()
    assert "batch_reused" in [name for name, fields in machine.log.events if fields.get("batch_id") == pending[-1].batch_id]
    assert_whole(machine)


def test_a_halted_table_blocks_only_what_the_run_planned():
    """A run limited to two tables does not end by naming four."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    machine.tables.halting = {"silver.products"}

    status = machine.run(tables=("silver.products",))

    assert "blocked" == status
    assert {"silver.products"} == set(machine.documents.get(gate_key(f"run-{machine.number}", "stage"), GateDecision).blocked)


def test_a_name_that_a_run_cannot_take_is_refused_before_anything_is_touched():
    """With the nearest there is, and no lock taken; bronze has nothing to be rebuilt from."""
    machine = Machine()

    assert "failed" == machine.run(tables=("silver.order",))
    assert "'silver.order' is not a table of this lake. Did you mean 'silver.orders'?" in machine.notify.alerts[-1]["text"]
    assert "failed" == machine.run(full_refresh=("bronze.orders",))
    assert "rebuild what reads it: silver.orders" in machine.notify.alerts[-1]["text"]
    assert (0, {}) == (machine.state._lock.fence, machine.state._runs)


def test_a_full_refresh_of_a_table_in_order_changes_nothing():
    """Incremental equals full: the same rows come out, so that no version is written; and every table was computed from all of its inputs."""
    machine = Machine()
    for day in (1, 2, 3):
        trade(machine, day)
        run_until_caught_up(machine)
    derived = ("silver.orders", "silver.products", "gold.dim_product", "gold.fact_sales")
    before = {name: len(machine.tables.tables[name]) for name in derived}

    status = machine.run(full_refresh=derived)

    assert "passed" == status
    assert before == {name: len(machine.tables.tables[name]) for name in derived}
    run = f"run-{machine.number}"
    evidence = {name: machine.documents.get(evidence_key(run, machine.lake.table(name).stage, name), TableEvidence) for name in derived}
    assert all(evidence[name].unchanged for name in derived[:2])
    assert {(0, 0)} == {(evidence[name].change_set.upserts, evidence[name].change_set.deletes) for name in derived[2:]}


@pytest.mark.parametrize("name", ["silver.orders", "silver.products", "gold.dim_product", "gold.fact_sales"])
def test_a_full_refresh_mends_a_table_that_was_computed_wrong(name):
    """Nothing moved and no definition changed: the refresh alone brings back what the inputs say, for the table and for what reads it."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    entry = machine.state._certified.tables[name]
    machine.tables.tables[name][entry.version].content.clear()
    assert "passed" == machine.run()
    assert {} == machine.content(name)

    machine.run(full_refresh=(name,))

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


def test_a_source_whose_clock_jumps_back_is_warned_of_and_nothing_is_frozen_until_it_is_past_that():
    """The run passes, nothing is read twice, and what was written meanwhile is read when the clock is there again."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    progress, clock = machine.state.progress("bronze.orders"), machine.tables.clock
    machine.tables.clock = lambda table: replace(clock(table), now=clock(table).now - timedelta(days=1))
    trade(machine, 2)

    assert "passed" == machine.run()

    assert "warn" == machine.state.run(f"run-{machine.number}").verdicts["ingest"]["bronze.orders"]
    assert "its clock was set back" in machine.documents._texts[f"_runs/run-{machine.number}/gate-ingest.json"]
    assert progress == machine.state.progress("bronze.orders")
    machine.tables.clock = clock
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
    machine = left_dead()
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
    machine.plan("run-9")
    machine._glue("run-9", 1, "ingest", "main")
    versions = {name: len(found) for name, found in machine.tables.tables.items()}

    with pytest.raises(ClaimRefused, match="which is succeeded"):
        machine._glue("run-9", 1, "ingest", "main")

    assert versions == {name: len(found) for name, found in machine.tables.tables.items()}


def test_a_twin_of_a_live_claimant_writes_neither_a_claim_nor_a_row():
    """Both Glue runs live: the first goes on as the only writer."""
    machine = Machine()
    trade(machine, 1)
    machine.state._lock = replace(machine.state._lock, run="run-9", fence=1, lake_hash=machine.pinned.hash)
    machine.state._claims["run-9", "ingest", "main"] = "jr-first"
    machine.executions._glue["jr-first"] = "live"

    with pytest.raises(ClaimRefused, match="jr-first, which is live"):
        machine._glue("run-9", 1, "ingest", "main")

    assert "jr-first" == machine.state._claims["run-9", "ingest", "main"]
    assert {} == machine.tables.tables


def test_a_job_with_an_old_fence_stops_before_it_writes():
    """The lock moved on while the job was waiting for a worker."""
    machine = Machine()
    trade(machine, 1)
    machine.state._lock = replace(machine.state._lock, run="run-8", fence=2, lake_hash=machine.pinned.hash)

    with pytest.raises(StaleFence):
        machine._glue("run-7", 1, "ingest", "main")

    assert {} == machine.tables.tables


def test_code_deployed_in_the_middle_of_a_run_stops_it():
    """Jobs and Lambdas refuse a lake.json that the run did not pin."""
    machine = Machine()
    trade(machine, 1)
    machine.state._lock = replace(machine.state._lock, run="run-7", fence=1, lake_hash="another")

    with pytest.raises(DeployedMidRun, match="start again"):
        machine._glue("run-7", 1, "ingest", "main")


def test_a_plan_repeated_by_newly_deployed_code_stops_its_run():
    """Lambda's own retry may run the next deployment's code."""
    machine = Machine()
    machine.state._lock = replace(machine.state._lock, run="run-1", fence=1, lake_hash="another")

    assert "failed" == machine.run()
    assert machine.notify.alerts[-1]["text"].startswith("States.TaskFailed: DeployedMidRun")


def test_a_run_whose_execution_was_stopped_is_closed_by_the_next_one():
    """History does not show two runs running, whatever killed the first; nor does it lose what a run said of its own end."""
    machine = left_dead()
    assert "running" == machine.state._runs["run-1"].status
    machine.world.faults = {}
    machine.state._runs["run-0"] = replace(machine.state._runs["run-1"], run="run-0", status="failed", problem="its own words")

    assert "passed" == machine.run()
    machine.state._lock = replace(machine.state._lock, run="run-0", since=START)
    assert "passed" == machine.run()

    stopped = machine.state._runs["run-1"]
    assert ("failed", "its execution ended without saying why") == (stopped.status, stopped.problem)
    assert stopped.ended is not None
    assert "its own words" == machine.state._runs["run-0"].problem


@pytest.mark.parametrize("gone", ["gold.fact_sales", "gold.dim_product"])
def test_a_table_taken_out_of_the_lake_with_its_publish_unfinished_says_what_to_deploy(gone):
    """The intent can only go forward, by code that knows its tables; then the lake without the table runs."""
    machine = killed_with_its_intent()
    whole, tables = machine.lake, tuple(t for t in machine.lake.tables if gone not in (t.name, *t.inputs))
    began = machine.pinned.hash
    machine.lake = replace(whole, tables=tables)

    assert "failed" == machine.run()

    assert "BadState" in machine.notify.alerts[-1]["text"]
    assert f"hash starts with {began[:12]}" in machine.notify.alerts[-1]["text"]
    machine.lake = whole
    assert "passed" == machine.run()
    assert_whole(machine)
    machine.lake = replace(whole, tables=tables)
    assert "passed" == machine.run()


def killed_with_its_intent() -> Machine:
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    machine.dies_with_job = True
    machine.world.faults = {machine.world.effects + _effects_until(machine, "FakeState.put_intent"): "after"}
    assert "dead" == machine.run()
    machine.world.faults = {}
    return machine


@pytest.mark.parametrize(
    ("stage", "refused", "moved", "kept"),
    [
        ("ingest", "bronze.orders", "silver.products", "silver.orders"),
        ("refine", "silver.orders", "silver.products", "gold.fact_sales"),
        ("stage", "gold.fact_sales", "silver.orders", "gold.dim_product"),
    ],
)
def test_a_table_whose_data_cannot_be_read_halts_alone(stage, refused, moved, kept):
    """A required column is missing: that table says so, what hangs on it waits, the rest moves, and nothing is lost once it is mended."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before = {name: machine.content(name) for name in (moved, kept)}
    trade(machine, 2)
    machine.tables.refused = {refused}

    status = machine.run()

    assert "blocked" == status
    assert "halt" == machine.state._runs[f"run-{machine.number}"].verdicts[stage][refused]
    assert before[moved] != machine.content(moved)
    assert before[kept] == machine.content(kept)
    machine.tables.refused = set()
    run_until_caught_up(machine)
    assert_whole(machine)


@pytest.mark.parametrize("lost", ["all", "the last run"])
def test_bronze_of_a_lost_or_rewound_state_table_is_not_read_a_second_time(lost):
    """The batches are there under their run date; frozen anew they would stand twice, and silver would read both."""
    machine = Machine()
    state = copy.deepcopy(machine.state)
    trade(machine, 1)
    run_until_caught_up(machine)
    if lost == "the last run":
        state = copy.deepcopy(machine.state)
    trade(machine, 2)
    run_until_caught_up(machine)
    versions = {name: len(found) for name, found in machine.tables.tables.items()}
    machine.state = state
    state.world = machine.world

    assert "failed" == machine.run()

    assert "restore the state table" in machine.notify.alerts[-1]["text"]
    assert versions == {name: len(found) for name, found in machine.tables.tables.items()}


def test_a_bronze_table_that_no_run_of_ours_began_is_not_written():
    """Somebody else's table at our path is not overwritten."""
    machine = Machine()
    foreign = LogCommit(version=0, operation="WRITE", timestamp=START, meta=None, metrics={}, rows={})
    machine.tables.tables["bronze.orders"] = [Version(content={}, commit=foreign)]
    trade(machine, 1)

    assert "failed" == machine.run()
    assert "BadState: bronze.orders" in machine.notify.alerts[-1]["text"]
    assert 1 == len(machine.tables.tables["bronze.orders"])


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


def test_what_was_computed_from_a_halted_silver_table_stays_with_it():
    """Its own rules may hold: its rows are those of a version that nobody certified, and that will be taken back."""
    machine = Machine()
    enriched = table("silver.enriched", "derive", inputs=("silver.orders",))
    machine.lake = replace(machine.lake, tables=(*machine.lake.tables, enriched))
    machine.tables.derivations["silver.enriched"] = lambda silver_orders: {key: row | {"rich": True} for key, row in silver_orders.items()}
    trade(machine, 1)
    run_until_caught_up(machine)
    before = machine.state._certified.tables["silver.enriched"]
    trade(machine, 2)
    machine.tables.halting = {"silver.orders"}

    status = machine.run()

    assert "blocked" == status
    assert "pass" == machine.state._runs[f"run-{machine.number}"].verdicts["refine"]["silver.enriched"]
    assert before == machine.state._certified.tables["silver.enriched"]
    machine.tables.halting = set()
    run_until_caught_up(machine)
    assert {key: row | {"rich": True} for key, row in machine.content("silver.orders").items()} == machine.content("silver.enriched")
    assert_whole(machine)


def test_a_source_that_starts_in_the_future_waits_without_stopping_the_others():
    """No window opens yet, run after run; once one does, its rows arrive."""
    machine = Machine()
    opens = AT + timedelta(seconds=90)
    machine.lake = with_source(machine.lake, "bronze.products", start_at=opens)

    for day in (1, 2, 3):
        trade(machine, day)
        assert "passed" == machine.run()
    machine.shop.rows["products"].append((opens, {"id": "first", "title": "first", "at": opens, "deleted": False}))
    machine.world.now = opens + timedelta(seconds=1)
    assert "passed" == machine.run()

    assert {"first"} == set(machine.content("silver.products"))
    assert {"o1", "o2", "o3"} <= set(machine.content("silver.orders"))


def with_source(lake, name, **changes):
    return replace(
        lake,
        tables=tuple(
            replace(t, source=replace(t.source, watermark=replace(t.source.watermark, **changes))) if t.name == name else t for t in lake.tables
        ),
    )


def test_a_batch_of_rejects_alone_starts_no_job_after_ingest():
    """Silver reads accepted rows: there is nothing to refine, and the position moves all the same."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before, seq = machine.glue_number, machine.state._progress["bronze.orders"].seq
    t = machine.world.now
    machine.shop.rows["orders"].append((t, {"id": "bad", "amount": -1, "product": "p1", "at": t, "deleted": False}))
    machine.world.now += timedelta(seconds=5)

    status = machine.run()

    assert "passed" == status
    assert 1 == machine.glue_number - before
    assert seq < machine.state._progress["bronze.orders"].seq
    trade(machine, 2)
    run_until_caught_up(machine)
    assert_whole(machine)


def test_a_fact_may_go_together_with_what_it_points_at():
    """Facts go first. The machine looks after every commit that none points at a row that is gone; here every run has such a pair."""
    machine = Machine()
    for day in range(8):
        t = AT + timedelta(seconds=20 * day)
        for of, deleted in ((day, False), (day - 1, True)):
            machine.shop.rows.setdefault("products", []).append((t, {"id": f"p{of}", "title": "thing", "at": t, "deleted": deleted}))
            machine.shop.rows.setdefault("orders", []).append((t, {"id": f"o{of}", "amount": 1, "product": f"p{of}", "at": t, "deleted": deleted}))
        machine.world.now = t + timedelta(seconds=10)
        assert "passed" == machine.run()

    assert {"o7"} == machine.content("gold.fact_sales").keys()
    assert {0, "p7"} == machine.content("gold.dim_product").keys()


def test_a_run_that_changes_no_row_of_gold_starts_no_publish():
    """An empty change set moves what its table consumed, and nothing else."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    before, gold = machine.glue_number, machine.state._certified.tables["gold.dim_product"]
    t = machine.world.now
    machine.shop.rows["products"].append((t, {"id": "p1", "title": "thing 1", "at": t, "deleted": False}))
    machine.world.now += timedelta(seconds=5)

    status = machine.run()

    assert "passed" == status
    assert 3 == machine.glue_number - before
    assert gold.version == machine.state._certified.tables["gold.dim_product"].version
    assert gold.consumed != machine.state._certified.tables["gold.dim_product"].consumed
    assert_whole(machine)


def redefined(lake, name):
    return replace(lake, tables=tuple(replace(t, definition_hash=t.definition_hash + "'") if t.name == name else t for t in lake.tables))


def test_a_looser_rule_lets_a_halted_batch_through_in_the_next_run():
    """Nobody resets anything: the batch is read again under the contract that is deployed, and what hung on it goes on."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    trade(machine, 2)
    machine.tables.bad = lambda table, row: table == "bronze.orders"
    assert "blocked" == machine.run()
    before = machine.content("silver.orders")

    machine.tables.bad = lambda table, row: table == "bronze.orders" and row["amount"] < 0
    looser = [replace(t, contract_hash="looser") if t.name == "bronze.orders" else t for t in machine.lake.tables]
    machine.lake = replace(machine.lake, tables=tuple(looser))
    status = run_until_caught_up(machine)

    assert ["passed", "passed"] == status
    assert "o2" not in before
    assert_whole(machine)


def test_a_column_more_is_in_silver_and_gold_after_one_run_with_nothing_new_at_the_source():
    """A new definition is work enough: nobody has to wait for a row, or to ask for a rebuild."""
    machine = Machine()
    trade(machine, 1)
    run_until_caught_up(machine)
    versions = {name: len(found) for name, found in machine.tables.tables.items()}
    for name in ("bronze.orders", "silver.orders", "gold.fact_sales"):
        machine.lake = redefined(machine.lake, name)

    machine.world.now += timedelta(seconds=10)
    status = machine.run()

    certified = machine.state.certified().tables
    assert "passed" == status
    assert {table.name: table.definition_hash for table in machine.lake.tables} == {name: entry.definition_hash for name, entry in certified.items()}
    assert versions["bronze.orders"] == len(machine.tables.tables["bronze.orders"])
    assert versions["gold.fact_sales"] + 1 == len(machine.tables.tables["gold.fact_sales"]), "its columns, without a row"
    assert machine.tables.latest("gold/fact_sales") == certified["gold.fact_sales"].version
    assert_whole(machine)
